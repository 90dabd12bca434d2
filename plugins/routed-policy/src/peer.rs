//! `<peer>`: whom a rule is about, as it is written.

use crate::attribute::{address, is_yes, number, word};
use ipnet::IpNet;
use portero_libvirt::{MacAddress, ObjectName};
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
    pub(crate) fn read(element: &Element) -> Result<Self, Problem> {
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
        let network = element.optional("network", str::parse)?;
        let network = network.map(PeerTarget::Network);
        let group = element.optional("group", str::parse)?;
        let group = group.map(PeerTarget::Group);
        let mac = element.optional("mac", str::parse)?;
        let target = match (network.or(group), mac, net(element)?) {
            (Some(named), _, _) => named,
            (None, Some(mac), _) => PeerTarget::Mac(mac),
            (None, None, Some(net)) => PeerTarget::Net(net),
            (None, None, None) if is_yes(element, "host")? => PeerTarget::Host,
            (None, None, None) => return Err(element.problem("host: expected yes")),
        };
        let yes_no = [("yes", false), ("no", true)];
        let is_no = |name: &str| {
            element
                .optional(name, word(&yes_no))
                .map(Option::unwrap_or_default)
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
    let Some(address) = element.optional("address", address)? else {
        return Ok(None);
    };
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let prefix = element
        .optional("prefix", |text| number(text, 0, longest))?
        .unwrap_or(longest);
    let net = u8::try_from(prefix)
        .ok()
        .and_then(|prefix| IpNet::new(address, prefix).ok());
    // Both are within their bounds.
    Ok(net.map(|net| net.trunc()))
}
