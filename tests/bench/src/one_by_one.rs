//! Measurement 4: against one `iptables` process per rule, as saschpe/libvirt-hook-qemu works.

use crate::hooks::{domain_event, Hooks};
use crate::median::medians;
use crate::process::{run_all, Process};
use crate::recorded::Guest;
use crate::table::{Limit, Row};
use crate::worker::Firewall;
use crate::world::{make_libvirt_nftables, remove_libvirt_nftables, FOLDER};
use std::io;
use std::path::Path;

/// The host address that the rules of the other way name.
const PUBLIC: &str = "203.0.113.1";

/// The processes that make and undo a guest's forwards in the other way.
struct Other {
    start: Vec<Process>,
    stop: Vec<Process>,
}

/// Measures the whole start of a guest: all events of ours, against the rules alone, or against
/// the qemu events of the program `other`.
///
/// # Errors
/// Those of the processes.
pub fn measure(
    hooks: &Hooks,
    firewall: Firewall,
    forwards: u32,
    runs: u32,
    other: Option<&Path>,
) -> io::Result<Row> {
    if firewall == Firewall::Nftables {
        make_libvirt_nftables()?;
        hooks.daemon_start().run()?;
    }
    let guest = Guest::alone(forwards);
    let life = hooks.life(&guest, std::slice::from_ref(&guest))?;
    life.gain_trust()?;
    let (name, other) = match other {
        Some(program) => (program.display().to_string(), hook_events(program, &guest)),
        None => ("one iptables process per rule".into(), rules(&guest)),
    };
    let ours = || {
        let time = life.begin()?;
        life.end()?;
        Ok(time)
    };
    let theirs = || {
        let time = run_all(&other.start)?;
        run_all(&other.stop)?;
        Ok(time)
    };
    let times = if runs == 1 {
        // Too slow for a turn that does not count.
        vec![ours()?, theirs()?]
    } else {
        medians(runs, vec![Box::new(ours), Box::new(theirs)])?
    };
    if firewall == Firewall::Nftables {
        remove_libvirt_nftables()?;
        hooks.daemon_start().run()?;
    }
    let plural = if forwards == 1 { "" } else { "s" };
    let what = format!("{firewall}, {forwards} forward{plural}: whole start / {name}");
    Ok(Row::costs(what, times[0], times[1], Limit::default()))
}

/// Another hook with the argv and stdin that libvirt gives.
fn hook_events(program: &Path, guest: &Guest) -> Other {
    let domain = Path::new(FOLDER).join(format!("{}.xml", guest.name()));
    let events = |operations: &[&str]| {
        let event = |operation: &&str| domain_event(program, &guest.name(), operation, &domain);
        operations.iter().map(event).collect()
    };
    Other {
        start: events(&["prepare", "start", "started"]),
        stop: events(&["stopped", "release"]),
    }
}

/// Three chains, the jumps to them, and for each forward the four rules of that hook: sent, its
/// source changed on the way out, its source changed for the guest itself, accepted. What Python
/// itself takes is not counted.
fn rules(guest: &Guest) -> Other {
    let name = guest.name();
    let (dnat, snat, forward) = (
        format!("DNAT-{name}"),
        format!("SNAT-{name}"),
        format!("FWD-{name}"),
    );
    let chains = [("nat", &dnat), ("nat", &snat), ("filter", &forward)];
    let private = guest.address();
    let mut start: Vec<Process> = chains
        .iter()
        .map(|(table, chain)| iptables(&format!("-t {table} -N {chain}")))
        .collect();
    for (host, port) in guest.ports() {
        start.extend(
            [
                format!(
                    "-t nat -A {dnat} -p tcp -d {PUBLIC} --dport {host} -j DNAT --to {private}:{port}"
                ),
                format!(
                    "-t nat -A {snat} -p tcp -s {private} --dport {port} -j SNAT --to-source {PUBLIC}"
                ),
                format!(
                    "-t nat -A {snat} -p tcp -s {private} -d {private} --dport {host} -j MASQUERADE"
                ),
                format!("-t filter -A {forward} -p tcp -d {private} --dport {port} -j ACCEPT"),
            ]
            .iter()
            .map(|rule| iptables(rule)),
        );
    }
    let jumps = |action: &str| {
        [
            format!("-t nat {action} OUTPUT -d {PUBLIC} -j {dnat}"),
            format!("-t nat {action} PREROUTING -d {PUBLIC} -j {dnat}"),
            format!("-t nat {action} POSTROUTING -s {private} -d {private} -j {snat}"),
            format!("-t filter {action} FORWARD -d {private} -j {forward}"),
        ]
        .map(|rule| iptables(&rule))
    };
    start.extend(jumps("-I"));
    let mut stop = Vec::from(jumps("-D"));
    for (table, chain) in chains {
        stop.push(iptables(&format!("-t {table} -F {chain}")));
        stop.push(iptables(&format!("-t {table} -X {chain}")));
    }
    Other { start, stop }
}

fn iptables(arguments: &str) -> Process {
    Process::new("iptables", arguments.split(' '))
}
