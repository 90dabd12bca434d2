//! Thousands of events on the real firewall, and thousands of forwards: nothing lost, no rule too many,
//! nothing that grows.
//!
//! Guests and networks are recorded: the hooks are run with what libvirt would tell them, and its
//! state is written as it would write it. One guest is real, and has to be served throughout.

mod act;
mod calm;
mod crowd;
mod flush;
mod forward;
mod frames;
mod iptables;
mod kills;
mod nftables;
mod recorded;
mod scale;
mod soak;
mod steps;
mod view;
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
    let scenarios: Vec<Scenario<World>> = [soak::SCENARIOS, scale::SCENARIOS].concat();
    run_scenarios(&mut world, &scenarios, World::explain)
}
