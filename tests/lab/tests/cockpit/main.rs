//! portero's page in Cockpit, in a real browser: what is clicked there is served to a machine on the LAN.

mod browser;
#[path = "../docs/world.rs"]
mod host;
mod page;
mod world;

use portero_lab::{enter, run_scenarios, Lab, Options};
use std::process::ExitCode;
use world::World;

fn main() -> ExitCode {
    enter();
    let agent = env!("CARGO_BIN_EXE_portero-lab-agent");
    let lab = Lab::boot_without_portero(&Options::from_environment(agent));
    let mut world = World::new(lab);
    run_scenarios(&mut world, page::SCENARIOS, World::explain)
}
