//! Work that is done by several threads.

use std::thread::{self, Builder};

/// Does the same work for each, at most so many at one time; the results are in the order of the items.
pub fn side_by_side<T: Sync, R: Send>(
    items: &[T],
    at_once: usize,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let work = &work;
    let some = |items: &[T]| -> Vec<R> {
        if let [one] = items {
            return vec![work(one)];
        }
        thread::scope(|scope| {
            let spawn = |item| Builder::new().spawn_scoped(scope, move || work(item));
            let threads: Vec<_> = items.iter().map(|item| (item, spawn(item))).collect();
            let results = threads.into_iter().map(|(item, thread)| {
                let result = thread.ok().and_then(|thread| thread.join().ok());
                // Where no thread is to be had, one after the other.
                result.unwrap_or_else(|| work(item))
            });
            results.collect()
        })
    };
    items.chunks(at_once.max(1)).flat_map(some).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_the_order_of_what_was_asked() {
        let numbers: Vec<u64> = (0..20).collect();
        let slow_first = |number: &u64| {
            thread::sleep(std::time::Duration::from_millis(20 - number));
            number * 2
        };
        let doubled: Vec<u64> = numbers.iter().map(|number| number * 2).collect();
        for at_once in [0, 1, 8, 20] {
            assert_eq!(side_by_side(&numbers, at_once, slow_first), doubled);
        }
    }
}
