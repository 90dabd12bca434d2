//! The start of a guest on nftables, against the bare commit of the very same elements.

use crate::hooks::{Hooks, Life};
use crate::median::medians;
use crate::process::Process;
use crate::recorded::Guest;
use crate::table::{Limit, Row};
use crate::world::{libvirt_nftables, make_libvirt_nftables, remove_libvirt_nftables, FOLDER};
use std::io;
use std::path::Path;

/// Who else has forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// Nobody: the tables come and go with the guest.
    Nobody,
    /// Another guest: nothing but elements comes and goes.
    OneGuest,
}

/// Measures for a guest with so many forwards.
///
/// # Errors
/// Those of the processes.
pub fn measure(hooks: &Hooks, forwards: u32, others: Others, runs: u32) -> io::Result<Row> {
    make_libvirt_nftables()?;
    // libvirt changes its firewall at a restart of the daemon alone, which makes the hooks look.
    hooks.daemon_start().run()?;
    let guest = Guest::alone(forwards);
    let other = Guest {
        number: forwards + 1,
        first_port: 50_000,
        forwards: 10,
    };
    let both = [guest, other];
    let life = hooks.life(&both[0], &both)?;
    let life_of_other = hooks.life(&both[1], &both)?;
    life.gain_trust()?;
    let file = |name: &str, text: &str| {
        let file = Path::new(FOLDER).join(name);
        std::fs::write(&file, text)?;
        Ok::<_, io::Error>(Process::new("nft", ["-f", "-"]).reading(&file))
    };
    let undo = libvirt_nftables() + "delete table inet portero\n";
    let undo = file("undo-nftables", &undo)?;
    let rules = committed_rules(hooks, &life, &undo)?;
    let (rules, undo) = match others {
        Others::Nobody => (rules, undo),
        Others::OneGuest => {
            let elements = elements(&rules);
            let gone = elements.replace("add element", "delete element");
            (elements, file("undo-elements", &gone)?)
        }
    };
    let bare = file("nftables", &rules)?;
    if others == Others::OneGuest {
        life_of_other.begin()?;
        life.gain_trust()?;
    }
    // Both sides have the same events before and after.
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
        undo.run()?;
        life.end()?;
        Ok(time)
    };
    let times = medians(runs, vec![Box::new(hook), Box::new(commit)])?;
    if others == Others::OneGuest {
        life_of_other.end()?;
    }
    remove_libvirt_nftables()?;
    hooks.daemon_start().run()?;
    let plural = if forwards == 1 { "" } else { "s" };
    let beside = match others {
        Others::Nobody => "",
        Others::OneGuest => " beside another guest",
    };
    let what = format!("nftables, {forwards} forward{plural}{beside}: qemu start / bare nft -f");
    Ok(Row::costs(what, times[0], times[1], Limit::default()))
}

/// The elements of a script.
fn elements(rules: &str) -> String {
    let elements = rules.lines().filter(|line| line.starts_with("add element"));
    elements.map(|line| format!("{line}\n")).collect()
}

/// What the hooks commit for this guest: what `portero plan` wants while the guest runs and its
/// rules are gone.
fn committed_rules(hooks: &Hooks, life: &Life, undo: &Process) -> io::Result<String> {
    life.begin()?;
    undo.run()?;
    let rules = Process::new(hooks.operator_command(), ["plan"]).output()?;
    if !rules.starts_with("# nft") {
        return Err(io::Error::other(format!(
            "portero plan printed nothing for nft: {rules}"
        )));
    }
    // The hooks notice that the rules are gone, and trust their records again.
    std::fs::remove_file("/run/portero/clean")?;
    life.end()?;
    Ok(rules)
}
