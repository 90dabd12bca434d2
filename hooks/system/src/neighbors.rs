//! Lets the host answer for guests' addresses on its own interfaces: proxy ARP and proxy NDP, an
//! entry for each address (ip-neighbour(8)).
//!
//! IPv4 needs no sysctl for that; IPv6 needs `proxy_ndp` of the interface.

use crate::programs::{read, run};
use crate::{Deadline, Result, SystemError};
use nix::sys::socket::{setsockopt, sockopt};
use portero_model::{Family, Neighbor};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::UdpSocket;
use std::time::Duration;

/// How long somebody may take to answer for an address: a neighbour on a LAN takes milliseconds, and
/// the kernel asks three times, once a second.
const ANSWER: Duration = Duration::from_millis(1200);

/// The port of what is thrown away (RFC 863); no more than a reason to look for the neighbour.
const DISCARD: u16 = 9;

/// States of a neighbour (ip-neighbour(8)) that say somebody has answered.
const ANSWERED: [&str; 4] = ["REACHABLE", "DELAY", "STALE", "PROBE"];

/// See [`crate::System::check_neighbors`].
pub(crate) fn check(neighbors: &[Neighbor], deadline: Deadline) -> Result<()> {
    if neighbors.is_empty() {
        return Ok(());
    }
    let entries = proxies(deadline)?;
    let is_new = |neighbor: &&Neighbor| !entries.contains(neighbor);
    let new: Vec<&Neighbor> = neighbors.iter().filter(is_new).collect();
    if new.is_empty() {
        return Ok(());
    }
    for neighbor in &new {
        // What was learnt earlier is no proof; the entry goes, if there is one.
        let _ = ip("del", neighbor, deadline);
        ask(neighbor)?;
    }
    std::thread::sleep(ANSWER.min(deadline.left()));
    for neighbor in new {
        let listing = ip("show", neighbor, deadline)?;
        let mut lines = listing.split_whitespace();
        let mac = lines.by_ref().skip_while(|word| *word != "lladdr").nth(1);
        let has_answered = lines.any(|word| ANSWERED.contains(&word));
        if let (Some(mac), true) = (mac, has_answered) {
            return Err(SystemError::Taken {
                address: neighbor.address,
                dev: neighbor.dev.clone(),
                mac: mac.to_owned(),
            });
        }
    }
    Ok(())
}

/// `ip neighbour VERB ADDRESS dev DEV`; what it prints.
fn ip(verb: &str, neighbor: &Neighbor, deadline: Deadline) -> Result<String> {
    let address = neighbor.address.to_string();
    let words = ["neighbour", verb, &address, "dev", &neighbor.dev];
    let listing = read("ip", &words, deadline)?;
    Ok(String::from_utf8_lossy(&listing).into_owned())
}

/// Makes the kernel look for an address on a LAN.
fn ask(neighbor: &Neighbor) -> Result<()> {
    let Neighbor { address, dev } = neighbor;
    let failed = |source| SystemError::file(format!("{address} on {dev}"))(source);
    let any = Family::from(*address).all().addr();
    let socket = UdpSocket::bind((any, 0)).map_err(failed)?;
    setsockopt(&socket, sockopt::BindToDevice, &dev.into())
        .map_err(|errno| failed(errno.into()))?;
    let sent = socket.send_to(b"?", (*address, DISCARD));
    sent.map(drop).map_err(failed)
}

/// The addresses that the host answers for already.
pub(crate) fn proxies(deadline: Deadline) -> Result<BTreeSet<Neighbor>> {
    let listing = read("ip", &["neighbour", "show", "proxy"], deadline)?;
    let listing = String::from_utf8_lossy(&listing);
    let entries = listing.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let address = words.next()?.parse().ok()?;
        let dev = words.skip_while(|word| *word != "dev").nth(1)?.to_owned();
        Some(Neighbor { dev, address })
    });
    Ok(entries.collect())
}

/// See [`crate::System::set_neighbors`].
pub(crate) fn set(wanted: &[Neighbor], gone: &[Neighbor], deadline: Deadline) -> Result<()> {
    let there = proxies(deadline)?;
    let mut commands = String::new();
    let gone: Vec<&Neighbor> = gone.iter().filter(|gone| there.contains(gone)).collect();
    let new: Vec<&Neighbor> = wanted.iter().filter(|new| !there.contains(new)).collect();
    for (verb, neighbors) in [("delete", &gone), ("add", &new)] {
        for Neighbor { dev, address } in neighbors {
            // Writing to a String cannot fail.
            let _ = writeln!(commands, "neighbour {verb} proxy {address} dev {dev}");
        }
    }
    if commands.is_empty() {
        return Ok(());
    }
    run("ip", &["-batch", "-"], &commands, deadline)
}
