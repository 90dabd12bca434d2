//! libvirt's daemon hook: `portero-daemon-hook OBJECT OPERATION SUB-OPERATION EXTRA`.

use portero_apply::{run_hook, Hook};
use std::process::ExitCode;

fn main() -> ExitCode {
    run_hook(Hook::Daemon)
}
