//! Containers of libvirt's LXC driver have what QEMU's guests have.

#[allow(dead_code, reason = "other frames are tried with other guests")]
#[path = "../policy/frames.rs"]
mod frames;
mod guard;
mod lives;
mod world;

use portero_lab::{enter, mount_cgroups, run_scenarios, Lab, Options, Scenario};
use std::process::ExitCode;
use world::World;

fn main() -> ExitCode {
    enter();
    let agent = env!("CARGO_BIN_EXE_portero-lab-agent");
    let lab = Lab::boot(&Options::from_environment(agent));
    mount_cgroups();
    let mut world = World::new(lab);
    let scenarios: Vec<Scenario<World>> = [lives::SCENARIOS, guard::SCENARIOS].concat();
    run_scenarios(&mut world, &scenarios, World::explain)
}
