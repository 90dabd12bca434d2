//! Measurement 2: the start of a guest, against the bare commit of the very same rules.

use crate::hooks::{Hooks, Life};
use crate::median::medians;
use crate::process::Process;
use crate::recorded::Guest;
use crate::table::{Limit, Row};
use crate::world::FOLDER;
use std::io;
use std::path::Path;

/// At most this many times what the bare commit takes.
const LIMIT: Limit = Limit {
    ratio: Some(1.25),
    time: None,
};

/// Measures for a guest with so many forwards and no other guest.
///
/// # Errors
/// Those of the processes.
pub fn measure(hooks: &Hooks, forwards: u32, runs: u32) -> io::Result<Row> {
    let guest = Guest::alone(forwards);
    let life = hooks.life(&guest, std::slice::from_ref(&guest))?;
    life.gain_trust()?;
    let rules = committed_rules(hooks, &life)?;
    let file = |name: &str, text: &str| {
        let file = Path::new(FOLDER).join(name);
        std::fs::write(&file, text)?;
        Ok::<_, io::Error>(Process::new("iptables-restore", ["--noflush"]).reading(&file))
    };
    let bare = file("rules", &rules)?;
    let undo_bare = file("undo", &inverse(&rules))?;
    // Both sides have the same events before and after, so that they find the kernel equally busy
    // with what was undone last.
    let hook = || {
        life.prepare.run()?;
        life.port_created.run()?;
        let time = life.start.run()?;
        life.end()?;
        Ok(time)
    };
    let commit = || {
        life.prepare.run()?;
        life.port_created.run()?;
        let time = bare.run()?;
        undo_bare.run()?;
        life.end()?;
        Ok(time)
    };
    let times = medians(runs, vec![Box::new(hook), Box::new(commit)])?;
    let plural = if forwards == 1 { "" } else { "s" };
    let what = format!("{forwards} forward{plural}: qemu start / bare iptables-restore");
    Ok(Row::costs(what, times[0], times[1], LIMIT))
}

/// What the hooks commit for this guest: what `portero plan` wants while the guest runs and its
/// rules are gone.
fn committed_rules(hooks: &Hooks, life: &Life) -> io::Result<String> {
    life.begin()?;
    let standing = Process::new("iptables-save", [""; 0]).output()?;
    let clear = Path::new(FOLDER).join("clear");
    std::fs::write(&clear, inverse(&standing))?;
    Process::new("iptables-restore", ["--noflush"])
        .reading(&clear)
        .run()?;
    std::fs::remove_file("/run/portero/clean")?;
    let rules = Process::new(hooks.operator_command(), ["plan"]).output()?;
    if !rules.contains("COMMIT") || rules.contains("ip6tables") {
        return Err(io::Error::other(format!(
            "portero plan printed no IPv4 rules alone: {rules}"
        )));
    }
    // The hooks notice that the rules are gone, and trust their records again.
    life.end()?;
    Ok(rules)
}

/// The script that takes away what a script or `iptables-save` has of portero's.
fn inverse(rules: &str) -> String {
    let mut text = String::new();
    let (mut jumps, mut flushed, mut removed) = (String::new(), String::new(), String::new());
    for line in rules.lines() {
        if line.starts_with('*') {
            text += &format!("{line}\n");
        } else if let Some(chain) = line.strip_prefix(":PORTERO-") {
            let chain = chain.split(' ').next().unwrap_or_default();
            flushed += &format!("-F PORTERO-{chain}\n");
            removed += &format!("-X PORTERO-{chain}\n");
        } else if line.starts_with("-A PORTERO-") {
            // Goes with its chain.
        } else if let Some(rule) = line.strip_prefix("-A ").or(line.strip_prefix("-I ")) {
            if rule.contains("-j PORTERO-") {
                jumps += &format!("-D {rule}\n");
            }
        } else if line == "COMMIT" {
            for part in [&mut jumps, &mut flushed, &mut removed] {
                text += &std::mem::take(part);
            }
            text += "COMMIT\n";
        }
    }
    text
}
