//! portero's page in Cockpit, in a real browser on another machine: who is served there after what was clicked here.

mod bridges;
mod browser;
mod forwards;
#[path = "../docs/world.rs"]
mod host;
mod page;
mod repairs;
mod world;

use portero_lab::{enter, run_scenarios, Lab, Options, Scenario};
use std::process::ExitCode;
use world::World;

fn main() -> ExitCode {
    enter();
    let agent = env!("CARGO_BIN_EXE_portero-lab-agent");
    let lab = Lab::boot_without_portero(&Options::from_environment(agent));
    let mut world = World::new(lab);
    let scenarios: Vec<Scenario<World>> = [
        page::FIRST,
        forwards::SCENARIOS,
        repairs::SCENARIOS,
        bridges::SCENARIOS,
        page::SCENARIOS,
    ]
    .concat();
    run_scenarios(&mut world, &scenarios, World::explain)
}
