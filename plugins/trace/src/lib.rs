//! What everybody's rules make of a packet. Rules are read as the firewalls list them, and a packet is walked
//! through all hooks of the kernel that it passes; nothing is asked of the kernel, so some of it stays in doubt, and that is
//! said.

mod flow;
mod iptables;
mod kept;
mod libvirt;
mod mend;
mod nftables;
mod rules;
mod verdict;
mod walk;

pub use flow::{Flow, Hook, Leg, Link, Side, Traffic, Translated};
pub use iptables::Iptables;
pub use kept::Kept;
pub use mend::{mend, word, Scope, LENIENT};
pub use rules::{Rules, Settings, Unlisted};
pub use verdict::{Acceptance, BaseChain, Judgement, RuleOwner, Stop};

#[cfg(test)]
mod tests;
