//! What is known of a host before it is drawn.

use portero_inventory::{ActiveNetwork, HostFacts, OwnerStatus};
use portero_libvirt::{ForwardMode, Network};
use portero_system::Interface;
use serde::Serialize;
use std::collections::BTreeMap;

/// What is known of a host.
#[derive(Debug)]
pub(crate) struct MapSources {
    /// Its name.
    pub(crate) host: String,
    /// All its interfaces.
    pub(crate) interfaces: Vec<Interface>,
    /// All active networks.
    pub(crate) networks: Vec<ActiveNetwork>,
    /// All running guests.
    pub(crate) guests: Vec<portero_inventory::Guest>,
    /// All owners of forwards.
    pub(crate) owners: Vec<OwnerStatus>,
    /// What the host does with others' packets.
    pub(crate) facts: HostFacts,
    /// By the names of networks, what the rules that are there do otherwise.
    pub(crate) contradictions: BTreeMap<String, Vec<String>>,
}

/// What joins guests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SegmentKind {
    /// A bridge of the host.
    Bridge,
    /// An interface of the host without a bridge (macvtap, SR-IOV).
    Direct,
    /// A network that is masqueraded.
    Nat,
    /// A network that is routed.
    Route,
    /// A network without rules of libvirt's.
    Open,
    /// A network that only the host reaches.
    Isolated,
    /// None of these.
    #[default]
    Elsewhere,
}

impl SegmentKind {
    /// What a network is.
    pub(crate) fn from_network(network: &Network) -> Self {
        match network.mode {
            ForwardMode::Isolated => Self::Isolated,
            ForwardMode::Nat => Self::Nat,
            ForwardMode::Route => Self::Route,
            ForwardMode::Open => Self::Open,
            ForwardMode::Bridge if network.bridge.is_some() => Self::Bridge,
            ForwardMode::Bridge | ForwardMode::Direct => Self::Direct,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Direct => "direct",
            Self::Nat => "nat",
            Self::Route => "route",
            Self::Open => "open",
            Self::Isolated => "isolated",
            Self::Elsewhere => "elsewhere",
        }
    }

    /// Whether guests are behind the host.
    pub(super) fn is_behind_host(self) -> bool {
        matches!(self, Self::Nat | Self::Route | Self::Open | Self::Isolated)
    }
}

/// What is not as it should be of a network.
pub(crate) fn problems(active: &ActiveNetwork) -> Vec<String> {
    let mut problems = Vec::new();
    let name = active.network.name.as_str();
    if !active.is_in_firewall {
        problems.push(format!(
            "what network '{name}' was given is not in the firewall; run 'portero sync'"
        ));
    }
    problems.extend(active.written.as_ref().err().map(ToString::to_string));
    problems.extend(active.unguarded().map(|(_, what)| what));
    problems
}
