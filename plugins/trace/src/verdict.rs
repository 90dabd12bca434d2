//! What rules make of a packet, and whose they are.

use portero_model::Family;

/// What becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// Everybody lets it pass.
    Passes,
    /// Somebody stops it.
    Stopped(Stop),
    /// Somebody may; what decides cannot be seen from here.
    Doubtful(Stop),
}

/// Who stops a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// Whose rules they are.
    pub by: RuleOwner,
    /// `drop` or `reject`.
    pub verdict: &'static str,
    /// The rule, or that it is the policy of a chain.
    pub rule: String,
    /// The base chain that was asked.
    pub base: BaseChain,
}

/// Whose rules they are, by the names of chains and tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleOwner {
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
pub enum BaseChain {
    /// Of nftables: family, table and chain.
    Nftables(String, String, String),
    /// FORWARD of iptables.
    Iptables(Family),
}
