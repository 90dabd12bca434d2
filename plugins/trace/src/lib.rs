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
pub use packet::{Leg, Packet};
pub use rules::{ForeignRules, Settings};
pub use verdict::{Base, Judgement, Owner, Stop};

/// What becomes of a packet on its way through the host: the first that stops it, else the first that
/// may.
#[must_use]
pub fn judge(rules: &ForeignRules, packet: &Packet) -> Judgement {
    let mut doubt = Judgement::Passes;
    let of_iptables = rules
        .iptables
        .iter()
        .filter(|(family, _)| *family == packet.family())
        .map(|(_, text)| iptables::judge(text, packet));
    let has_iptables = of_iptables.clone().count() > 0;
    let of_nftables = rules
        .nftables
        .iter()
        .flat_map(|text| nftables::judge(text, packet, has_iptables));
    for judgement in of_iptables.chain(of_nftables) {
        match judgement {
            Judgement::Passes => {}
            Judgement::Stopped(_) => return judgement,
            Judgement::Doubtful(_) if doubt == Judgement::Passes => doubt = judgement,
            Judgement::Doubtful(_) => {}
        }
    }
    doubt
}

#[cfg(test)]
mod tests;
