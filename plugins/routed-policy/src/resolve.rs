//! `<peer>`: whom a rule is about, and which addresses and interfaces that is now.

use crate::attribute::{address, is_yes, number, optional, word};
use crate::compile::Surroundings;
use ipnet::IpNet;
use portero_libvirt::{MacAddress, ObjectName};
use portero_model::{Family, Named, Nets, Peer};
use portero_xml::{Element, Problem};

/// One `<peer>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenPeer {
    /// Whom it names.
    pub target: PeerTarget,
    /// Whether everybody else is meant (`match='no'`).
    pub is_negated: bool,
    /// Whether guests keep their own addresses towards it (`nat='no'`).
    pub keeps_sources: bool,
    /// Line of the element.
    pub line: usize,
}

/// Whom a `<peer>` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerTarget {
    /// The guests of a virtual network.
    Network(ObjectName),
    /// The peers in /etc/portero/groups/NAME.xml.
    Group(ObjectName),
    /// Addresses.
    Net(IpNet),
    /// The host itself.
    Host,
    /// The one with this MAC address.
    Mac(MacAddress),
}

/// The attributes of which a `<peer>` has one.
const KINDS: [&str; 5] = ["network", "group", "address", "host", "mac"];

impl WrittenPeer {
    /// Reads a `<peer>`.
    ///
    /// # Errors
    /// [`Problem`] at an attribute that is not as the grammar has it.
    pub(crate) fn of(element: &Element) -> Result<Self, Problem> {
        let known: Vec<&str> = KINDS
            .into_iter()
            .chain(["prefix", "match", "nat"])
            .collect();
        element.only_attributes(&known)?;
        element.expect_nothing()?;
        let given = KINDS
            .iter()
            .filter(|kind| element.attribute(kind).is_some());
        if given.count() != 1 {
            let kinds = KINDS.join(", ");
            return Err(element.problem(format!("expected one of the attributes {kinds}")));
        }
        if element.attribute("prefix").is_some() && element.attribute("address").is_none() {
            return Err(element.problem("prefix without address"));
        }
        let name = |text: &str| text.parse().map_err(|error| format!("{error}"));
        let network = optional(element, "network", name)?.map(PeerTarget::Network);
        let group = optional(element, "group", name)?.map(PeerTarget::Group);
        let mac = optional(element, "mac", |text| {
            text.parse().map_err(|error| format!("{error}"))
        })?;
        let target = match (network.or(group), mac, net(element)?) {
            (Some(named), _, _) => named,
            (None, Some(mac), _) => PeerTarget::Mac(mac),
            (None, None, Some(net)) => PeerTarget::Net(net),
            (None, None, None) if is_yes(element, "host")? => PeerTarget::Host,
            (None, None, None) => return Err(element.problem("host: expected yes")),
        };
        let yes_no = [("yes", false), ("no", true)];
        let is_no = |name: &str| {
            optional(element, name, |text| word(text, &yes_no)).map(Option::unwrap_or_default)
        };
        Ok(Self {
            target,
            is_negated: is_no("match")?,
            keeps_sources: is_no("nat")?,
            line: element.line(),
        })
    }
}

fn net(element: &Element) -> Result<Option<IpNet>, Problem> {
    let Some(address) = optional(element, "address", address)? else {
        return Ok(None);
    };
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let prefix = optional(element, "prefix", |text| number(text, 0, longest))?.unwrap_or(longest);
    let net = u8::try_from(prefix)
        .ok()
        .and_then(|prefix| IpNet::new(address, prefix).ok());
    // Both are within their bounds.
    Ok(net.map(|net| net.trunc()))
}

/// Who a rule's peers are now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// Whether the host itself is among them.
    pub(crate) host: bool,
    /// The others.
    pub(crate) peers: Vec<Peer>,
}

/// Whom one `<peer>` names, with groups opened.
#[derive(Debug, Default)]
struct Opened {
    host: bool,
    nets: Vec<IpNet>,
    interfaces: Vec<String>,
    macs: Vec<String>,
}

impl Opened {
    fn open(
        &mut self,
        target: &PeerTarget,
        around: &Surroundings<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<(), String> {
        match target {
            PeerTarget::Host => self.host = true,
            PeerTarget::Net(net) => self.nets.push(*net),
            PeerTarget::Mac(mac) => self.macs.push(mac.to_string()),
            PeerTarget::Network(name) => {
                let network = around.networks.iter().find(|network| network.name == *name);
                let Some(network) = network else {
                    warnings.push(format!(
                        "network '{name}' is not active, so nobody is of it"
                    ));
                    return Ok(());
                };
                // A bridge of the host's has others behind it too.
                let is_told = network.mode.is_routed_by_host();
                let bridge = network.bridge.as_ref().filter(|_| is_told).ok_or_else(|| {
                    format!("network '{name}' has no bridge by which its packets could be told")
                })?;
                self.interfaces.push(bridge.to_string());
            }
            PeerTarget::Group(name) => {
                for target in (around.groups)(name)?.targets() {
                    self.open(target, around, warnings)?;
                }
            }
        }
        Ok(())
    }
}

/// Finds out who the peers of a rule are.
pub(crate) fn resolve(
    written: &[WrittenPeer],
    around: &Surroundings<'_>,
    warnings: &mut Vec<String>,
) -> Result<Resolved, String> {
    let mut resolved = Resolved::default();
    for peer in written {
        let mut opened = Opened::default();
        opened.open(&peer.target, around, warnings)?;
        let nets: Vec<IpNet> = opened.nets;
        if peer.is_negated {
            if opened.interfaces.len() > 1 || opened.macs.len() > 1 {
                return Err(
                    "match='no' can be said of one network and one MAC address at a time"
                        .to_owned(),
                );
            }
            let not_in = if nets.is_empty() {
                Nets::Any
            } else {
                // Addresses of one family say nothing of the other.
                let is_of =
                    |family: &Family| nets.iter().any(|net| Family::of(net.addr()) == *family);
                let unsaid = Family::ALL.into_iter().filter(|family| !is_of(family));
                Nets::NotIn(
                    nets.iter()
                        .copied()
                        .chain(unsaid.map(Family::all))
                        .collect(),
                )
            };
            resolved.peers.push(Peer {
                nets: not_in,
                interface: opened.interfaces.pop().map(Named::IsNot),
                mac: opened.macs.pop().map(Named::IsNot),
            });
            continue;
        }
        resolved.host |= opened.host;
        if !nets.is_empty() {
            resolved.peers.push(Peer {
                nets: Nets::In(nets),
                ..Peer::default()
            });
        }
        for bridge in opened.interfaces {
            resolved.peers.push(Peer {
                interface: Some(Named::Is(bridge)),
                ..Peer::default()
            });
        }
        for mac in opened.macs {
            resolved.peers.push(Peer {
                mac: Some(Named::Is(mac)),
                ..Peer::default()
            });
        }
    }
    Ok(resolved)
}
