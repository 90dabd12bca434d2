//! Bridges of the host on a real one: its NIC is configured by the programs that hosts use, a
//! connection runs through it, and guests join its LAN.

mod guests;
mod host;
mod lifecycle;
mod manager;
mod owners;

use host::Host;
use portero_lab::{enter, run_scenarios, Lab, Options, Scenario};
use std::process::ExitCode;

fn main() -> ExitCode {
    enter();
    let agent = env!("CARGO_BIN_EXE_portero-lab-agent");
    let lab = Lab::boot(&Options::from_environment(agent));
    let mut host = Host::new(lab);
    let scenarios: Vec<Scenario<Host>> =
        [lifecycle::SCENARIOS, owners::SCENARIOS, guests::SCENARIOS].concat();
    run_scenarios(&mut host, &scenarios, Host::explain)
}
