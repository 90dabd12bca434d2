//! Attacks on a host with a real libvirt: by who may edit a guest's metadata, by a guest, by a local
//! user, and by who runs the hooks. Each comes with its control, the same without what is hostile.

mod bulk;
mod caller;
mod leases;
mod live;
mod local;
mod metadata;
mod names;
mod planted;
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
        metadata::SCENARIOS,
        names::SCENARIOS,
        bulk::SCENARIOS,
        leases::SCENARIOS,
        local::SCENARIOS,
        planted::SCENARIOS,
        caller::SCENARIOS,
        live::SCENARIOS,
    ]
    .concat();
    let code = run_scenarios(&mut world, &scenarios, World::explain);
    println!("{} attacks refused", world.refused);
    code
}
