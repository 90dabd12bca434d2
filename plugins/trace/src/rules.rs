//! Everybody's rules, and what other firewalls are told to do, as they are read of a host.

use portero_model::Family;

/// All rules of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ForeignRules {
    /// `nft -j list ruleset`; nothing where nft is not installed.
    pub nftables: Option<String>,
    /// `iptables-save -t filter` of each family and variant that has rules.
    pub iptables: Vec<(Family, String)>,
    /// What could not be read, and why.
    pub unread: Vec<String>,
}

/// What other firewalls' own configuration says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Whether firewalld is told to reject what others forward (`StrictForwardPorts=yes`).
    pub is_firewalld_strict: bool,
}
