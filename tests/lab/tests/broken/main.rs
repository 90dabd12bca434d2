//! Set-ups that are broken for real: a packet does not arrive, `portero explain` or `portero doctor`
//! says why, and after the command that it names the packet does.

mod firewalls;
mod guest;
mod hooks;
mod host;
mod mends;
mod odd;
mod reads;
mod repairs;
mod statuses;
mod waits;
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
        guest::SCENARIOS,
        host::SCENARIOS,
        mends::SCENARIOS,
        waits::SCENARIOS,
        firewalls::SCENARIOS,
        hooks::SCENARIOS,
        reads::SCENARIOS,
        repairs::SCENARIOS,
        odd::SCENARIOS,
        statuses::SCENARIOS,
    ]
    .concat();
    run_scenarios(&mut world, &scenarios, World::explain)
}
