//! Policies of networks on a real libvirt: who reaches whom, with real packets.

mod flood;
mod frames;
mod guard;
mod lives;
mod map;
mod table;
mod tables;
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
        tables::SCENARIOS,
        map::SCENARIOS,
        lives::SCENARIOS,
        flood::SCENARIOS,
        guard::SCENARIOS,
    ]
    .concat();
    run_scenarios(&mut world, &scenarios, World::explain)
}
