//! Medians of measurements that take turns.

use crate::cost::Cost;
use crate::process::counting;
use std::io;
use std::time::Duration;

/// One of the things that are compared: sets up, measures, undoes, and gives what it measured.
pub type Side<'a> = Box<dyn FnMut() -> io::Result<Cost> + 'a>;

/// Lets the sides take turns `runs` times, after one turn that does not count, so that whatever
/// slows the machine meets all of them; gives the median of each, with the instructions of one turn more.
///
/// # Errors
/// Those of the sides.
pub fn medians(runs: u32, mut sides: Vec<Side<'_>>) -> io::Result<Vec<Cost>> {
    let mut times = vec![Vec::new(); sides.len()];
    for run in 0..=runs {
        for (side, times) in sides.iter_mut().zip(&mut times) {
            let cost = side()?;
            if run > 0 {
                times.push(cost.time);
            }
        }
    }
    let sides = sides.iter_mut().zip(times);
    let costs = sides.map(|(side, times)| {
        Ok(Cost {
            time: median(times),
            ..counting(side)?
        })
    });
    costs.collect()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    let middle = times.len() / 2;
    if times.len() % 2 == 1 {
        times[middle]
    } else {
        (times[middle - 1] + times[middle]) / 2
    }
}
