//! The Ansible collection on two hosts, with the playbooks of docs/guide/many-hosts.md: what they say has changed, what an
//! outside client gets then, and that a second run changes nothing.

mod bridges;
mod forwards;
mod page;
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
    let scenarios: Vec<Scenario<World>> =
        [page::SCENARIOS, forwards::SCENARIOS, bridges::SCENARIOS].concat();
    run_scenarios(&mut world, &scenarios, World::explain)
}
