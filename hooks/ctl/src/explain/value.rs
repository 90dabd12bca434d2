//! What is known of a port of the host and of the way behind it, as a value: gathered in one place,
//! judged in another.

use crate::doctor::Finding;
use crate::policy::Ruling;
use portero_engine::ApplyError;
use portero_inventory::{Answer, Exit, LinkState, ObjectState};
use portero_libvirt::{MacAddress, NicKind};
use portero_model::{Family, Owner, Protocol};
use portero_system::RouteLookup;
use portero_trace::{Flow, Judgement, Leg, Settings, Stop};
use std::net::IpAddr;

/// What is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The host's address; any when absent.
    pub(crate) address: Option<IpAddr>,
    pub(crate) port: u16,
    pub(crate) protocol: Protocol,
    /// The client; any machine outside when absent.
    pub(crate) from: Option<IpAddr>,
}

/// Everything that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// What is asked about.
    pub(super) asked: Asked,
    /// The host's addresses, each with its interface.
    pub(super) own: Vec<(String, IpAddr)>,
    /// Whose the address is that is asked about or that the forward names, where the host lacks it.
    pub(super) lacking: Option<AddressOf>,
    /// Who wants the port forwarded.
    pub(super) wanted: Wanted,
    /// What keeps libvirt from running the hooks.
    pub(super) hooks: Option<Finding>,
    /// Why rules are in another firewall than libvirt's.
    pub(super) backend: Option<Finding>,
    /// Where the port leads, once that is known.
    pub(super) way: Option<GuestPath>,
}

/// Whose an address is that the host does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AddressOf {
    /// A guest's, or nobody's, in the subnet of a virtual network.
    Network {
        /// The network.
        name: String,
        /// A port of the host that leads to the port there, as `portero explain` takes it.
        leads: Option<String>,
    },
    /// Somebody's who answers for it.
    Somebody {
        /// The host's interface behind which they are.
        dev: String,
        /// Who.
        who: String,
    },
    /// Nobody's in the subnet of an interface: nobody answers for it.
    Nobody {
        /// The interface.
        dev: String,
    },
    /// That cannot be known: it is in no subnet of the host's, or nobody can be asked.
    Unknown,
}

/// Who wants the port forwarded, and what has come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Nobody.
    Nobody,
    /// No domain or network; another program of the host has it.
    Published(Publisher),
    /// Nobody whose metadata can be understood.
    Unclear {
        /// What is wrong, with the object.
        problem: String,
    },
    /// Somebody, for other clients or another interface only.
    ForOthers {
        /// The domain or network.
        owner: Owner,
        /// Whom it is for.
        whom: String,
    },
    /// Somebody who is not active.
    Off {
        /// The domain or network.
        owner: Owner,
        /// Why its start would be refused, if it would.
        refusal: Option<RefusalReason>,
        /// Its networks that are not active.
        inactive: Vec<MissingNetwork>,
    },
    /// Somebody, from its next start on.
    Later {
        /// The domain or network.
        owner: Owner,
        /// The forward, as `portero forward add` takes it.
        spec: String,
    },
    /// Somebody who cannot have it.
    Refused {
        /// The domain or network.
        owner: Owner,
        /// Why.
        refusal: RefusalReason,
    },
    /// Somebody of whom portero was not told.
    Untold {
        /// The domain or network.
        owner: Owner,
    },
    /// Somebody of whom something is missing yet.
    Pending {
        /// The domain or network.
        owner: Owner,
        /// What is missing, in words.
        reason: String,
        /// The same, and what there is instead.
        waits: Waits,
    },
    /// Somebody who was given it.
    Given {
        /// The domain or network.
        owner: Owner,
        /// Whether it is active.
        state: ObjectState,
        /// Its networks that are not active.
        inactive: Vec<MissingNetwork>,
    },
}

/// Somebody else who has the port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Publisher {
    /// Whether it is docker.
    pub(super) is_docker: bool,
    /// The rule or the process.
    pub(super) what: String,
}

/// What a forward waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Waits {
    /// Nothing any more: the guest's addresses are known by now.
    Known(Vec<IpAddr>),
    /// An interface on a virtual network; those that the domain has are of these kinds.
    Interface(Vec<NicKind>),
    /// The interface that the forward names; the domain has these on virtual networks.
    NamedInterface(Vec<MacAddress>),
    /// A network.
    Network(MissingNetwork),
    /// A subnet of the family.
    Subnet {
        /// The network.
        network: String,
        /// The family.
        family: Family,
    },
    /// An address that the network gives by itself to nobody; the forward without one, where `portero forward` can
    /// change it.
    Address(Option<String>),
    /// The guest's question for an address.
    Lease,
}

/// A network that is not active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MissingNetwork {
    pub(super) name: String,
    /// Whether libvirt has its definition.
    pub(super) is_defined: bool,
}

/// Why somebody cannot have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RefusalReason {
    /// In words.
    pub(super) reason: String,
    /// Whether `[limits]` of portero.toml can permit it.
    pub(super) can_be_permitted: bool,
}

impl From<&ApplyError> for RefusalReason {
    fn from(error: &ApplyError) -> Self {
        Self {
            reason: error.to_string(),
            can_be_permitted: error.can_be_permitted(),
        }
    }
}

/// The way from the host's port on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GuestPath {
    /// The host's address in the forward; any when absent.
    pub(super) address: Option<IpAddr>,
    /// The interface that packets come by, and answers go by.
    pub(super) outside: Option<String>,
    /// The forward as `portero forward` takes it, where the metadata of a domain has it.
    pub(super) written: Option<Written>,
    pub(super) guest: IpAddr,
    pub(super) port: u16,
    /// Whether all rules of the owner are in the firewall.
    pub(super) is_in_firewall: bool,
    /// Whether the host passes packets of the family on.
    pub(super) passes_on: bool,
    /// Interfaces whose IPv6 default route goes when it does.
    pub(super) advertised: Vec<String>,
    /// The virtual network.
    pub(super) network: Option<GuestNetwork>,
    /// Where the host sends packets to the guest.
    pub(super) route: RouteLookup,
    /// What libvirt's rules and policies say of the packet and of its reply.
    pub(super) rulings: (Ruling, Option<Ruling>),
    /// The connection as rules meet it.
    pub(super) flow: Flow,
    /// What everybody's rules make of its packet and of the reply.
    pub(super) judgements: [(Leg, Judgement); 2],
    /// What others' configuration says.
    pub(super) settings: Settings,
    /// Rules that could not be read.
    pub(super) unread: Vec<String>,
    /// What else decides about the packet, in words.
    pub(super) also: Option<String>,
    /// The guest that the address should be of.
    pub(super) domain: Option<GuestDomain>,
    /// MAC addresses that answer for the guest's address on the bridge, where that could be asked.
    pub(super) heard: Option<Vec<String>>,
    /// What keeps the guest's answers to neighbour discovery from the host.
    pub(super) discovery: Option<(Flow, Stop)>,
    /// Domains that have one of those MAC addresses, by MAC address.
    pub(super) others_macs: Vec<(String, String)>,
    /// How the guest's port answers the host.
    pub(super) answer: Answer,
    /// How it answers the host's address outside the guest's network.
    pub(super) answer_beyond: Option<(IpAddr, Answer)>,
    /// What keeps the host itself from the guest, in words.
    pub(super) host_is_kept_out: Option<String>,
    /// Where the host sends what comes for the guest from outside, if that is elsewhere than what it sends itself.
    pub(super) diverted: Option<Diverted>,
    /// Where answers to the client go; nothing when no client is named.
    pub(super) back: Option<RouteLookup>,
    /// Whether what the guest answers the client has no route, though the host itself may have one.
    pub(super) is_reply_refused: bool,
    /// The interface by which the kernel would have what the guest sends to the client leave; nothing when no client is named.
    pub(super) leaves_by: Option<String>,
    /// By which interface the packet comes and its reply leaves, where these are two by the routes of the host's address.
    pub(super) crossing: Option<Crossing>,
    /// Whether the client is on the guest's own bridge, and the guest sees its address: it answers it past the host.
    pub(super) is_bare_neighbor: bool,
    /// The interface that replies leave by because the forward is symmetric.
    pub(super) symmetric: Option<String>,
    /// `rp_filter` of the interface that packets come by.
    pub(super) reverse_path_filter: Option<u32>,
}

/// Where packets from outside go by rules of ip-rule(8) that the host's own do not meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Diverted {
    /// The client.
    pub(super) from: IpAddr,
    /// The interface that its packets come by.
    pub(super) came: String,
    /// Where they leave; nowhere when absent.
    pub(super) leaves: Option<Exit>,
}

/// A reply that leaves by another interface than the packet came by, since the routes of the host's address
/// (ip-rule(8)) are not those of the guest's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Crossing {
    /// The host's address.
    pub(super) address: IpAddr,
    /// The interface that packets from the client to that address come by.
    pub(super) came: String,
    /// The table that says so.
    pub(super) table: Option<String>,
    /// The interface that the reply leaves by.
    pub(super) leaves: String,
}

/// A forward as `portero forward` takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    /// With the guest's address.
    pub(super) spec: String,
    /// Without, so that DHCP tells it.
    pub(super) without_guest: String,
}

/// The virtual network of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GuestNetwork {
    pub(super) name: String,
    pub(super) bridge: String,
    /// The bridge as an interface, if it is there.
    pub(super) link: Option<LinkState>,
    /// The host's address in the guest's subnet.
    pub(super) gateway: IpAddr,
    /// Whether all connections come with the host's address, since guests have no other way back.
    pub(super) is_isolated: bool,
}

/// A guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GuestDomain {
    pub(super) name: String,
    /// What virsh has to be told to find it ([`portero_libvirt::Driver::connect_option`]).
    pub(super) connect: &'static str,
    /// Whether it runs.
    pub(super) state: ObjectState,
    /// Its interfaces on the network.
    pub(super) nics: Vec<DomainNic>,
}

impl GuestDomain {
    /// Whether an interface has this MAC address.
    pub(super) fn has(&self, mac: &str) -> bool {
        self.nics.iter().any(|nic| nic.mac == mac)
    }
}

/// An interface of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DomainNic {
    /// Its MAC address, in lower case.
    pub(super) mac: String,
    /// The host's end, and what sysfs says of it.
    pub(super) tap: Option<(String, Option<LinkState>)>,
    /// Addresses that DHCP gives it.
    pub(super) addresses: Vec<IpAddr>,
}
