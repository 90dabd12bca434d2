//! portero on a machine of its own: booted by systemd, with AppArmor, Debian's libvirt, its managers of networks and its
//! firewalls, and guests that run on its emulated virtualization. An outside client sits at the other end of its NIC.

mod bridges;
mod doctor;
mod firewalls;
mod life;
mod power;
mod shells;
mod units;
mod world;

use portero_lab::{enter, run_scenarios, Options, Scenario};
use std::process::ExitCode;
use world::World;

fn main() -> ExitCode {
    enter();
    let agent = env!("CARGO_BIN_EXE_portero-lab-agent");
    let mut world = World::new(&Options::from_environment(agent));
    let scenarios: Vec<Scenario<World>> = [
        life::SCENARIOS,
        firewalls::SCENARIOS,
        power::SCENARIOS,
        units::SCENARIOS,
        shells::SCENARIOS,
        doctor::SCENARIOS,
        bridges::SCENARIOS,
    ]
    .concat();
    run_scenarios(&mut world, &scenarios, World::explain)
}
