//! Waits for what comes by itself.

use std::time::{Duration, Instant};

/// How often it is looked for.
const INTERVAL: Duration = Duration::from_millis(20);

/// Waits until something is so.
///
/// # Panics
/// With `what` when it is not within the limit.
pub fn wait_until(limit: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(INTERVAL);
    }
}
