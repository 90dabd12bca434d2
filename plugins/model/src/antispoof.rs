//! What a network's guests may not pretend, told by the host's ends of their interfaces.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What the guests of one network may not pretend, also towards each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Antispoof {
    /// What it is.
    pub against: BTreeSet<Spoof>,
    /// The network's subnets.
    pub nets: Vec<IpNet>,
    /// Whose packets are looked at.
    pub taps: BTreeSet<Tap>,
    /// Interfaces in the network's bridge that are no guest's on it, as far as is known: nobody says what they may
    /// send.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unguarded: BTreeSet<String>,
}

/// Something a guest may pretend: `antispoof` of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Spoof {
    /// To have addresses that are not the network's.
    Ip,
    /// To have a MAC address that libvirt did not give it.
    Mac,
    /// To be a DHCP server.
    Dhcp,
    /// To be an IPv6 router.
    Ra,
}

/// The host's end of a guest's interface.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tap {
    /// Its name.
    pub name: String,
    /// The MAC address that libvirt gave the guest, in lower case.
    pub mac: String,
}
