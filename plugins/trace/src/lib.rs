//! What everybody's rules make of a forwarded packet. Rules are read as the firewalls list them and a packet is walked
//! through them; nothing is asked of the kernel, so some of it stays in doubt, and that is said.

mod iptables;
mod mend;
mod nftables;
mod packet;
mod rules;
mod verdict;
mod walk;

pub use mend::{mend, word, Scope, LENIENT};
pub use packet::{Packet, Way};
pub use rules::{ForeignRules, Settings};
pub use verdict::{Base, Owner, Passage, Stop};

/// What becomes of a packet on its way through the host: the first that stops it, else the first that
/// may.
#[must_use]
pub fn passage(rules: &ForeignRules, packet: &Packet) -> Passage {
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

#[cfg(test)]
mod tests;
