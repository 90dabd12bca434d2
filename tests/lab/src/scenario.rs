//! Runs named scenarios one after the other and counts what holds.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::process::ExitCode;
use std::time::Instant;

/// One thing that has to hold, on a lab of the type `L`.
#[derive(Debug)]
pub struct Scenario<L> {
    /// Its name.
    pub name: &'static str,
    /// What panics if it does not hold.
    pub run: fn(&mut L),
}

/// Runs the scenarios whose names contain one of the program's arguments (all without one). An argument that is in no
/// name fails: what it means is not tried.
pub fn run_scenarios<L>(lab: &mut L, scenarios: &[Scenario<L>], on_failure: fn(&L)) -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (mut passed, mut failed) = (0, 0);
    for word in &words {
        if scenarios
            .iter()
            .all(|scenario| !scenario.name.contains(word.as_str()))
        {
            failed += 1;
            println!("FAILED no scenario's name contains '{word}'");
        }
    }
    for scenario in scenarios {
        let is_named = |word: &String| scenario.name.contains(word.as_str());
        if !words.is_empty() && !words.iter().any(is_named) {
            continue;
        }
        let start = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| (scenario.run)(lab)));
        let seconds = start.elapsed().as_secs_f64();
        if result.is_ok() {
            passed += 1;
            println!("ok {} ({seconds:.1} s)", scenario.name);
        } else {
            failed += 1;
            println!("FAILED {} ({seconds:.1} s)", scenario.name);
            on_failure(lab);
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 && passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

impl<L> Clone for Scenario<L> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<L> Copy for Scenario<L> {}
