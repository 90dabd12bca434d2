//! What is known of a guest and of what it needs of the host, as a value: gathered in one place, judged in another.

use crate::explain::value::Asked;
use crate::policy::Ruling;
use portero_inventory::{LinkState, ObjectState};
use portero_libvirt::ForwardMode;
use portero_system::RouteLookup;
use portero_trace::{Flow, Judgement, Leg, Settings};
use std::net::IpAddr;

/// A guest and its interfaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leaving {
    /// Its name.
    pub(super) name: String,
    /// What virsh has to be told to find it.
    pub(super) connect: &'static str,
    pub(super) state: ObjectState,
    /// Networks of its interfaces that are not active.
    pub(super) inactive: Vec<String>,
    pub(super) nics: Vec<LeavingNic>,
    /// Ports of the host that lead to it, each by its first.
    pub(super) forwards: Vec<Asked>,
    /// What others' configuration says.
    pub(super) settings: Settings,
    /// Rules that could not be read.
    pub(super) unread: Vec<String>,
    /// What restarts the daemon that has the networks.
    pub(super) restart: String,
}

/// An interface of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeavingNic {
    pub(super) mac: String,
    /// The host's end, and what sysfs says of it.
    pub(super) tap: Option<(String, Option<LinkState>)>,
    /// The virtual network, where it is on one that is active.
    pub(super) network: Option<LeavingNetwork>,
    /// Addresses that reservations or leases give it.
    pub(super) addresses: Vec<IpAddr>,
    /// What it sends to, and what becomes of that, where it has an address.
    pub(super) way: Option<Way>,
}

/// The network of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeavingNetwork {
    pub(super) name: String,
    pub(super) mode: ForwardMode,
    pub(super) bridge: String,
    pub(super) link: Option<LinkState>,
    /// Whether its dnsmasq runs; nothing where it has none.
    pub(super) has_dnsmasq: Option<bool>,
    /// Questions of a guest to it and its answers.
    pub(super) questions: Vec<AskedService>,
}

/// A packet between a guest and its dnsmasq, and what rules make of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AskedService {
    /// `names (DNS)`.
    pub(super) service: &'static str,
    pub(super) flow: Flow,
    pub(super) leg: Leg,
    pub(super) judgement: Judgement,
}

/// The way to a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) from: IpAddr,
    pub(super) to: IpAddr,
    /// Whether the host passes packets of the family on.
    pub(super) passes_on: bool,
    /// Uplinks whose default route comes from router advertisements, where the host is to become a router.
    pub(super) advertised: Vec<String>,
    /// Where the host sends them.
    pub(super) route: RouteLookup,
    /// What policies and libvirt's modes say of the packet and of its reply.
    pub(super) rulings: (Ruling, Option<Ruling>),
    pub(super) flow: Flow,
    /// What everybody's rules make of both.
    pub(super) judgements: [(Leg, Judgement); 2],
    /// What else decides about them, in words.
    pub(super) also: Option<String>,
    /// The table of routes that says so, where the guest's packets do not go by the host's own routes.
    pub(super) table: Option<String>,
    /// Whether a rule of ip-rule(8) leaves them without the route that the host itself has.
    pub(super) is_refused: bool,
    /// Rules of libvirt's own that are gone.
    pub(super) missing: Vec<&'static str>,
}
