//! The rules portero can ask for, free of any firewall's syntax.

use crate::{Antispoof, Ban, Claim, Dnat, Family, NftSet, Owner, Policy, ReplyRoute};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

/// One thing the firewall shall do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
pub enum Rule {
    /// Send what comes for ports of the host to a guest, and let such connections pass in both directions.
    Dnat(Dnat),
    /// Give connections to a guest that were sent there by DNAT the host's address as source.
    Masquerade {
        /// From whom; everybody when absent.
        source: Option<IpNet>,
        /// The guest's address.
        guest: IpAddr,
        /// The bridge of the subnet that is the source: what claims to come from there and comes by another interface is
        /// dropped.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bridge: Option<String>,
    },
    /// Send what comes for an address of the host and has no ports to a guest, let all that is sent there by that address pass,
    /// and give what the guest opens elsewhere that address as source. Of what has ports the [`Rule::Dnat`]s say which.
    Address {
        /// The host's address.
        address: IpAddr,
        /// The guest's address, of the same family.
        guest: IpAddr,
        /// The bridge that the guest is behind: there it keeps its own address.
        bridge: String,
    },
    /// Let answers of connections that came for an address of the host and lead to a guest leave by the routing table by which
    /// the host's own answers from that address leave.
    Symmetric {
        /// The host's address.
        address: IpAddr,
        /// The guest's address, of the same family.
        guest: IpAddr,
        /// The mark of such connections, and the table.
        route: ReplyRoute,
    },
    /// Drop what an address in a set of somebody else's sends to ports of the host, before it is sent to a guest: in nftables,
    /// whichever firewall has the rest.
    Ban(Ban),
    /// Let 127.0.0.0/8 be routed by way of this bridge, and let nothing but portero's own
    /// connections use that.
    Localnet {
        /// The bridge.
        bridge: String,
    },
}

impl Rule {
    /// The family of addresses the rule is about.
    #[must_use]
    pub fn family(&self) -> Family {
        match self {
            Self::Dnat(dnat) => dnat.family(),
            Self::Ban(ban) => ban.family,
            Self::Masquerade { guest, .. }
            | Self::Address { guest, .. }
            | Self::Symmetric { guest, .. } => Family::from(*guest),
            Self::Localnet { .. } => Family::Ipv4,
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dnat(dnat) => dnat.fmt(formatter),
            Self::Masquerade { source, guest, .. } => match source {
                Some(source) => write!(formatter, "masquerade {source} to {guest}"),
                None => write!(formatter, "masquerade all to {guest}"),
            },
            Self::Address { address, guest, .. } => {
                write!(formatter, "all of {address} to {guest}, and from there")
            }
            Self::Symmetric {
                address,
                guest,
                route,
            } => write!(
                formatter,
                "answer from {guest} as from {address}, by table {}",
                route.table
            ),
            Self::Ban(ban) => write!(
                formatter,
                "refuse {} port {} to who is in set '{}'",
                ban.protocol, ban.ports, ban.set
            ),
            Self::Localnet { bridge } => write!(formatter, "route loopback by {bridge}"),
        }
    }
}

/// All rules of one owner, in the order in which they were planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruleset {
    /// Who they belong to.
    pub owner: Owner,
    /// The host ports the owner holds, whether or not their rules could be made yet.
    pub claims: Vec<Claim>,
    /// The rules.
    pub rules: Vec<Rule>,
    /// Of a network, who may reach it and whom it may reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// Of a network with a policy, what its guests may not pretend: in nftables, whichever firewall
    /// has the rest.
    #[serde(default, alias = "guards", skip_serializing_if = "Option::is_none")]
    pub antispoof: Option<Antispoof>,
}

impl Ruleset {
    /// An owner without rules.
    #[must_use]
    pub fn empty(owner: Owner) -> Self {
        Self {
            owner,
            claims: Vec::new(),
            rules: Vec::new(),
            policy: None,
            antispoof: None,
        }
    }

    /// Whether it asks for nothing, now or later.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.claims.is_empty() && !self.has_rules()
    }

    /// Whether anything of it belongs in the firewall.
    #[must_use]
    pub fn has_rules(&self) -> bool {
        !self.rules.is_empty() || self.policy.is_some()
    }

    /// Whether it asks the firewall for the same as another.
    #[must_use]
    pub fn has_rules_of(&self, other: &Self) -> bool {
        self.rules == other.rules && self.policy == other.policy
    }

    /// Its forwards, in the order in which they were planned.
    pub fn dnats(&self) -> impl Iterator<Item = &Dnat> + Clone {
        self.rules.iter().filter_map(|rule| match rule {
            Rule::Dnat(dnat) => Some(dnat),
            _ => None,
        })
    }

    /// Who is kept from them by sets of somebody else's.
    pub fn bans(&self) -> impl Iterator<Item = &Ban> + Clone {
        self.rules.iter().filter_map(|rule| match rule {
            Rule::Ban(ban) => Some(ban),
            _ => None,
        })
    }

    /// Those sets of one forward.
    pub fn ban_sets<'r>(&'r self, dnat: &'r Dnat) -> impl Iterator<Item = &'r NftSet> {
        self.bans()
            .filter(|ban| ban.is_of(dnat))
            .map(|ban| &ban.set)
    }

    /// The guests that they lead to.
    #[must_use]
    pub fn guests(&self) -> BTreeSet<IpAddr> {
        self.dnats().map(|dnat| dnat.guest).collect()
    }

    /// The marks that answers are routed by.
    pub fn reply_routes(&self) -> impl Iterator<Item = ReplyRoute> + '_ {
        self.rules.iter().filter_map(|rule| match rule {
            Rule::Symmetric { route, .. } => Some(*route),
            _ => None,
        })
    }

    /// Bridges that loopback connections are routed by.
    pub fn localnet_bridges(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().filter_map(|rule| match rule {
            Rule::Localnet { bridge } => Some(bridge.as_str()),
            _ => None,
        })
    }
}
