//! Port forwarding on a real libvirt: real guests answer, or must not.

mod addresses;
mod bans;
mod commands;
mod daemons;
mod docker;
mod guests;
mod import;
mod lifecycle;
mod live;
mod places;
mod refusals;
mod session;
mod shown;
mod status;
mod strangers;
mod told;
mod uplinks;
mod watch;
mod world;

use portero_lab::{enter, run_scenarios, Lab, Options, Scenario};
use std::process::ExitCode;
use world::World;

fn main() -> ExitCode {
    enter();
    let agent = env!("CARGO_BIN_EXE_portero-lab-agent");
    let lab = Lab::boot(&Options::from_environment(agent));
    let mut world = World::new(lab);
    let mut scenarios: Vec<Scenario<World>> = [
        places::SCENARIOS,
        strangers::SCENARIOS,
        bans::SCENARIOS,
        docker::SCENARIOS,
        guests::SCENARIOS,
        addresses::SCENARIOS,
        shown::SCENARIOS,
        uplinks::SCENARIOS,
        lifecycle::SCENARIOS,
        daemons::SCENARIOS,
        refusals::SCENARIOS,
        status::SCENARIOS,
        watch::SCENARIOS,
        import::SCENARIOS,
        live::SCENARIOS,
        commands::SCENARIOS,
        told::SCENARIOS,
        session::SCENARIOS,
    ]
    .concat();
    if world.lab.is_modular() {
        scenarios.extend(daemons::MODULAR);
    }
    run_scenarios(&mut world, &scenarios, World::explain)
}
