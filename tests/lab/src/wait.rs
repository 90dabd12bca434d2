//! Waits for what comes by itself.

use std::time::{Duration, Instant};

/// A limit where as many want to run as can, and so many times that where more do: then each gets its share only, whoever it
/// is.
///
/// # Panics
/// When the kernel does not tell the load.
#[must_use]
pub fn limit_by_load(limit: Duration) -> Duration {
    let load = std::fs::read_to_string("/proc/loadavg").expect("the load");
    let load: f64 = load
        .split(' ')
        .next()
        .expect("a number")
        .parse()
        .expect("a number");
    let cores = std::thread::available_parallelism().expect("cores").get();
    limit.mul_f64((load / cores as f64).max(1.0))
}

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
