//! libvirt's lxc hook: `portero-lxc-hook OBJECT OPERATION SUB-OPERATION EXTRA`.

use portero_engine::run_hook;
use portero_libvirt::{Driver, Hook};
use std::process::ExitCode;

fn main() -> ExitCode {
    run_hook(Hook::Domain(Driver::Lxc))
}
