//! Runs the present program anew in namespaces of its own.

use nix::sys::wait::{waitpid, WaitStatus};
use nix::unistd::Pid;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Set inside the namespaces: `init` for the first process, `lab` for the program itself.
const INSIDE: &str = "PORTERO_LAB_INSIDE";

/// Returns inside new mount, network and PID namespaces; outside it does not return. Whoever cannot
/// make namespaces is told so, and the program fails: a test that did not run has not passed.
pub fn enter() {
    match std::env::var(INSIDE).as_deref() {
        Ok("lab") => return,
        Ok(_) => init(),
        Err(_) => {}
    }
    if !nix::unistd::geteuid().is_root() {
        eprintln!("portero-lab: needs root to make namespaces and run a private libvirtd");
        std::process::exit(1);
    }
    let works = Command::new("unshare")
        .args(["--mount", "--net", "--pid", "--fork", "true"])
        .status();
    if !works.is_ok_and(|status| status.success()) {
        eprintln!("portero-lab: this machine does not let root make namespaces (unshare fails)");
        std::process::exit(1);
    }
    let program = std::env::current_exe().expect("the path of this program");
    let error = Command::new("unshare")
        .args([
            "--mount",
            "--net",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "--",
        ])
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "init")
        .exec();
    panic!("cannot run unshare: {error}");
}

/// The first process of a PID namespace: runs the program and buries every orphan, since libvirt
/// waits for QEMU processes that have put themselves in the background to be gone.
#[allow(clippy::zombie_processes, reason = "the loop waits for every child")]
fn init() -> ! {
    let child = Command::new(std::env::current_exe().expect("the path of this program"))
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "lab")
        .spawn()
        .expect("the program itself");
    let child = Pid::from_raw(i32::try_from(child.id()).expect("a PID"));
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, code)) if pid == child => std::process::exit(code),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => {
                eprintln!("portero-lab: ended by {signal}");
                std::process::exit(1);
            }
            _ => {}
        }
    }
}
