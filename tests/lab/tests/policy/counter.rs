//! Named counters of nft's. They are never reset: nft 1.0.6 gives up a reset when somebody commits
//! meanwhile (EINTR), and what it had counted is gone.

use portero_lab::Lab;
use std::sync::atomic::{AtomicU64, Ordering};

/// A counter, and what it was when it was read last.
pub struct Counter {
    /// Family, table and name.
    words: [&'static str; 3],
    last: AtomicU64,
}

impl Counter {
    /// One that has counted nothing yet.
    pub const fn new(words: [&'static str; 3]) -> Self {
        Self {
            words,
            last: AtomicU64::new(0),
        }
    }

    /// Its table was made anew.
    pub fn begin(&self) {
        self.last.store(0, Ordering::Relaxed);
    }

    /// How many packets it has counted since the last time.
    pub fn since(&self, lab: &Lab) -> u64 {
        let listing = lab.must("nft", &[&["list", "counter"], &self.words[..]].concat());
        let now = packets(&listing);
        now - self.last.swap(now, Ordering::Relaxed)
    }
}

/// The first number of packets in what nft lists.
pub fn packets(listing: &str) -> u64 {
    let mut words = listing.split_ascii_whitespace();
    let packets = words
        .find(|word| *word == "packets")
        .and_then(|_| words.next());
    packets
        .and_then(|count| count.parse().ok())
        .expect("a counter")
}
