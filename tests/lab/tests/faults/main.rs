//! What fails under portero: single system calls, kills, programs that hang or are missing, full and
//! read-only folders. A real guest is served all the time.

mod act;
mod conditions;
mod crowds;
mod errors;
mod kills;
mod kind;
mod program;
mod rules;
mod trace;
mod world;

use portero_lab::{enter, run_scenarios, Lab, Options, Scenario};
use std::process::ExitCode;
use world::World;

fn main() -> ExitCode {
    enter();
    let agent = env!("CARGO_BIN_EXE_portero-lab-agent");
    let lab = Lab::boot(&Options::from_environment(agent));
    let mut world = World::new(lab);
    let scenarios: Vec<Scenario<World>> = [
        errors::SCENARIOS,
        kills::SCENARIOS,
        conditions::SCENARIOS,
        crowds::SCENARIOS,
    ]
    .concat();
    run_scenarios(&mut world, &scenarios, World::explain)
}
