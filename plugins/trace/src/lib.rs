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
pub use packet::{ForwardedPacket, Leg};
pub use rules::{ForeignRules, Settings};
pub use verdict::{BaseChain, Judgement, RuleOwner, Stop};

/// What becomes of a packet on its way through the host: the first that stops it, else the first that
/// may.
#[must_use]
pub fn judge(rules: &ForeignRules, packet: &ForwardedPacket) -> Judgement {
    let listings = rules.iptables.iter();
    let listings = listings.filter(|(family, _)| *family == packet.family());
    let iptables = listings.map(|(_, text)| iptables::judge(text, packet));
    let has_iptables = iptables.clone().count() > 0;
    let nftables = rules.nftables.iter();
    let nftables = nftables.flat_map(|text| nftables::judge(text, packet, has_iptables));
    let judgements = iptables.chain(nftables).min_by_key(|one| match one {
        Judgement::Stopped(_) => 0,
        Judgement::Doubtful(_) => 1,
        Judgement::Passes => 2,
    });
    judgements.unwrap_or(Judgement::Passes)
}

#[cfg(test)]
mod tests;
