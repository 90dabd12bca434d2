//! Policies of networks on a real libvirt: who reaches whom, with real packets.

mod counter;
mod flood;
mod frames;
mod guard;
mod lives;
mod map;
mod table;
mod tables;
mod world;

use portero_lab::{enter, run_scenarios, Backend, Lab, Options, Scenario};
use std::process::ExitCode;
use world::World;

fn main() -> ExitCode {
    enter();
    let agent = env!("CARGO_BIN_EXE_portero-lab-agent");
    let lab = Lab::boot(&Options::from_environment(agent));
    // Guards are one table whichever firewall libvirt uses: a libvirt that knows both is tried with
    // nftables, one that knows iptables alone with that.
    let is_told_elsewhere = lab.backend() == Backend::Iptables && lab.can_switch_backend();
    let mut world = World::new(lab);
    let mut scenarios: Vec<Scenario<World>> = [
        tables::SCENARIOS,
        map::SCENARIOS,
        lives::SCENARIOS,
        flood::SCENARIOS,
    ]
    .concat();
    if is_told_elsewhere {
        println!("guards are tried in this libvirt's other cell");
    } else {
        scenarios.extend(guard::SCENARIOS);
    }
    run_scenarios(&mut world, &scenarios, World::explain)
}
