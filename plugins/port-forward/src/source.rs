//! `<source>`: who may use a forward, as it is written.

use ipnet::IpNet;
use portero_libvirt::ObjectName;
use portero_model::{NftSet, Origin, OwnerKind};
use portero_xml::{Element, Problem};
use std::fmt;
use std::net::IpAddr;

/// One `<source>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenSource {
    /// Whom it names.
    pub target: SourceTarget,
    /// Whether it is excepted (`match='no'`).
    pub is_negated: bool,
}

/// Whom a `<source>` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceTarget {
    /// Addresses.
    Net(IpNet),
    /// The addresses in /etc/portero/groups/NAME.xml.
    Group(ObjectName),
    /// The addresses that are in a set of nftables at the time: always excepted.
    Set(NftSet),
}

impl WrittenSource {
    /// Reads a `<source>`.
    ///
    /// # Errors
    /// [`Problem`] at an attribute that is not as the grammar has it.
    pub(crate) fn read(
        element: &Element,
        kind: OwnerKind,
        origin: &Origin,
    ) -> Result<Self, Problem> {
        element.only_attributes(&["address", "prefix", "group", "set", "match"])?;
        element.expect_nothing()?;
        let address = element.attribute("address");
        let target = match (address, element.attribute("prefix")) {
            (None, Some(_)) => return Err(element.problem("prefix without address")),
            (None, None) => None,
            (Some(address), prefix) => {
                if address.contains('/') {
                    return Err(element.problem(format!(
                        "address is '{}', expected an address, and prefix beside it",
                        address.escape_debug()
                    )));
                }
                let text =
                    prefix.map_or(address.to_owned(), |prefix| format!("{address}/{prefix}"));
                Some(network(&text).map_err(|reason| element.problem(reason))?)
            }
        };
        let group: Option<ObjectName> = element.optional("group", str::parse)?;
        let set: Option<NftSet> = element.optional("set", str::parse)?;
        let target = match (target, group, set) {
            (Some(net), None, None) => SourceTarget::Net(net),
            (None, Some(group), None) => SourceTarget::Group(group),
            (None, None, Some(set)) => SourceTarget::Set(set),
            _ => return Err(element.problem("expected one of the attributes address, group, set")),
        };
        let is_negated = match element.attribute("match") {
            None | Some("yes") => false,
            Some("no") => true,
            Some(other) => {
                return Err(element.problem(format!(
                    "match is '{}', expected yes or no",
                    other.escape_debug()
                )))
            }
        };
        if matches!(target, SourceTarget::Set(_)) {
            if !is_negated {
                return Err(element.problem(
                    "a set says who may not use the forward, expected match='no' beside it",
                ));
            }
            if (kind, origin.is_metadata()) == (OwnerKind::Domain, true) {
                return Err(element.problem(
                    "metadata of a domain cannot name a set of the host's firewall (write it in /etc/portero or in the \
                     network's metadata)",
                ));
            }
        }
        Ok(Self { target, is_negated })
    }
}

impl fmt::Display for WrittenSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_negated {
            formatter.write_str("not ")?;
        }
        match &self.target {
            SourceTarget::Net(net) => write!(formatter, "{net}"),
            SourceTarget::Group(name) => write!(formatter, "group {name}"),
            SourceTarget::Set(set) => write!(formatter, "set {set}"),
        }
    }
}

/// An address, or a network as ADDRESS/PREFIX. ipnet's own reader takes 010.0.0.0/8 for 10.0.0.0/8,
/// which others take for 8.0.0.0/8.
///
/// # Errors
/// What was expected.
pub fn network(text: &str) -> Result<IpNet, String> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let is_number = |prefix: &str| prefix.bytes().all(|byte| byte.is_ascii_digit());
    let network = address
        .parse()
        .ok()
        .and_then(|address: IpAddr| match prefix {
            None => Some(IpNet::from(address)),
            Some(prefix) if is_number(prefix) => IpNet::new(address, prefix.parse().ok()?).ok(),
            Some(_) => None,
        });
    network.map(|network| network.trunc()).ok_or_else(|| {
        format!(
            "'{}' is not a network, expected ADDRESS/PREFIX",
            text.escape_debug()
        )
    })
}
