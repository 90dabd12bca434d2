//! What everybody's rules make of a forwarded packet: read, not asked, so some of it stays in doubt.

mod iptables;
mod mend;
mod nftables;

pub(crate) use mend::{mend, Scope, LENIENT};

use portero_inventory::ForeignRules;
use portero_model::{Family, Protocol};
use std::net::IpAddr;

/// A packet of a forwarded connection, as it is when the host passes it on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    /// Its protocol.
    pub(crate) protocol: Protocol,
    /// Which way it goes.
    pub(crate) way: Way,
    /// The interface towards the client; any when absent.
    pub(crate) outside: Option<String>,
    /// The interface towards the guest.
    pub(crate) inside: String,
    /// The client; anybody when absent.
    pub(crate) client: Option<IpAddr>,
    /// The host's address that the client named, if that is known.
    pub(crate) host: Option<IpAddr>,
    /// The host's port.
    pub(crate) host_port: u16,
    /// The guest.
    pub(crate) guest: IpAddr,
    /// The guest's port.
    pub(crate) guest_port: u16,
}

/// Which way a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// To the guest; it opens the connection.
    There,
    /// Back to the client; the first answer.
    Back,
}

/// Whether a packet comes to a rule at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Certainty {
    Sure,
    Maybe,
}

/// How a chain ends early.
enum End {
    Accept,
    Stop(Stop),
    Return,
}

impl Packet {
    fn family(&self) -> Family {
        Family::of(self.guest)
    }

    fn in_dev(&self) -> Option<&str> {
        match self.way {
            Way::There => self.outside.as_deref(),
            Way::Back => Some(&self.inside),
        }
    }

    fn out_dev(&self) -> Option<&str> {
        match self.way {
            Way::There => Some(&self.inside),
            Way::Back => self.outside.as_deref(),
        }
    }

    fn source(&self) -> Option<IpAddr> {
        match self.way {
            Way::There => self.client,
            Way::Back => Some(self.guest),
        }
    }

    fn destination(&self) -> Option<IpAddr> {
        match self.way {
            Way::There => Some(self.guest),
            Way::Back => self.client,
        }
    }

    /// Ports of source and destination, as far as they are known.
    fn ports(&self) -> (Option<u16>, Option<u16>) {
        match self.way {
            Way::There => (None, Some(self.guest_port)),
            Way::Back => (Some(self.guest_port), None),
        }
    }

    /// Its state for connection tracking.
    fn state(&self) -> &'static str {
        match self.way {
            Way::There => "new",
            Way::Back => "established",
        }
    }
}

/// What becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Passage {
    /// Everybody lets it pass.
    Passes,
    /// Somebody stops it.
    Stopped(Stop),
    /// Somebody may; what decides cannot be seen from here.
    Doubtful(Stop),
}

/// Who stops a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stop {
    /// Whose rules they are.
    pub(crate) by: Owner,
    /// `drop` or `reject`.
    pub(crate) verdict: &'static str,
    /// The rule, or that it is the policy of a chain.
    pub(crate) rule: String,
    /// The base chain that was asked.
    pub(crate) base: Base,
}

/// Whose rules they are, by the names of chains and tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// docker's.
    Docker,
    /// ufw's.
    Ufw,
    /// firewalld's.
    Firewalld,
    /// libvirt's.
    Libvirt,
    /// portero's.
    Portero,
    /// Somebody's.
    Other,
}

/// A chain that the kernel asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Base {
    /// Of nftables: family, table and chain.
    Nftables(String, String, String),
    /// FORWARD of iptables.
    Iptables(Family),
}

/// What becomes of a packet on its way through the host: the first that stops it, else the first that
/// may.
pub(crate) fn passage(rules: &ForeignRules, packet: &Packet) -> Passage {
    let mut doubt = Passage::Passes;
    let of_iptables = rules
        .iptables
        .iter()
        .filter(|(family, _)| *family == packet.family())
        .map(|(_, text)| iptables::passage(text, packet));
    let has_iptables = of_iptables.clone().count() > 0;
    let of_nftables = rules
        .nftables
        .iter()
        .flat_map(|text| nftables::passages(text, packet, has_iptables));
    for passage in of_iptables.chain(of_nftables) {
        match passage {
            Passage::Passes => {}
            Passage::Stopped(_) => return passage,
            Passage::Doubtful(_) if doubt == Passage::Passes => doubt = passage,
            Passage::Doubtful(_) => {}
        }
    }
    doubt
}

/// What is known so far while rules are walked through.
#[derive(Debug, Default)]
struct Doubts {
    /// A rule that may have stopped the packet.
    stop: Option<Stop>,
    /// Whether a rule may have let it pass before it is stopped.
    may_have_passed: bool,
}

impl Doubts {
    /// The passage when the walk has ended: stopped, or not.
    fn passage(self, stopped: Option<Stop>) -> Passage {
        match (stopped, self.stop, self.may_have_passed) {
            (Some(stop), _, false) => Passage::Stopped(stop),
            (Some(stop), _, true) => Passage::Doubtful(stop),
            (None, Some(stop), _) => Passage::Doubtful(stop),
            (None, None, _) => Passage::Passes,
        }
    }
}

/// Whether an interface has a name, of which the end may be left open (`vnet*`, `vnet+`).
fn is_interface(name: &str, pattern: &str, open: char) -> bool {
    match pattern.strip_suffix(open) {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

/// Most chains that are walked through one from another; the kernel has as many.
const DEPTH: usize = 16;

#[cfg(test)]
mod tests;
