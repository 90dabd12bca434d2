//! Guests move between two hosts with their forwards, or stay where they are with them.

mod moves;
mod stays;
mod world;

use portero_lab::{enter, run_scenarios, Lab, Options, Scenario, Second};
use std::process::ExitCode;
use world::World;

fn main() -> ExitCode {
    enter();
    let options = Options::from_environment(env!("CARGO_BIN_EXE_portero-lab-agent"));
    let second = Second::begin(&options);
    let first = Lab::boot(&options);
    let second = second.join(&first);
    let mut world = World::new(first, second);
    let scenarios: Vec<Scenario<World>> = [stays::SCENARIOS, moves::SCENARIOS].concat();
    run_scenarios(&mut world, &scenarios, World::explain)
}
