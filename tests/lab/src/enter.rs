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
    if let Some(refused) = refused_namespace() {
        eprintln!("portero-lab: {refused}");
        eprintln!(
            "portero-lab: a container needs CAP_SYS_ADMIN and CAP_NET_ADMIN and no seccomp filter for it, as with 'docker run \
             --privileged' or 'systemd-nspawn --capability=all'; on a real or virtual machine root has them"
        );
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

/// The first of the calls that make namespaces and mount in them that is refused, and why; none where all are allowed.
fn refused_namespace() -> Option<String> {
    let tries: [(&str, &[&str]); 4] = [
        ("unshare(CLONE_NEWNS)", &["--mount", "true"]),
        ("unshare(CLONE_NEWNET)", &["--net", "true"]),
        ("unshare(CLONE_NEWPID)", &["--pid", "--fork", "true"]),
        (
            "mount(\"tmpfs\")",
            &["--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
        ),
    ];
    tries.iter().find_map(|(call, arguments)| {
        let ran = Command::new("unshare").args(*arguments).output();
        let why = match ran {
            Ok(output) if output.status.success() => return None,
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => format!("cannot run unshare: {error}"),
        };
        Some(format!("this machine refuses root {call}: {why}"))
    })
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
