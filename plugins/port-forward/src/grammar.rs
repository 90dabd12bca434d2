//! Reads `<portForward>`: libvirt's own grammar for passt, with `source` and `guest` added
//! (<https://libvirt.org/formatdomain.html#userspace-connection-using-passt>).

use crate::ranges::{all_without, host_range, mappings, Mapping};
use crate::source::{network, WrittenSource};
use ipnet::IpNet;
use portero_libvirt::{InterfaceName, MacAddress};
use portero_model::{Claim, Family, NftSet, Origin, OwnerKind, PortRange, Protocol};
use portero_xml::{check_root, Element, Problem};
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

/// One `<portForward>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// Transport protocol.
    pub protocol: Protocol,
    /// The host's address; any local one except loopback when absent.
    pub address: Option<IpAddr>,
    /// The host's interface.
    pub dev: Option<InterfaceName>,
    /// Whether the address or the interface is not written, but what portero.toml says of all that name none.
    pub has_defaults: bool,
    /// Who may use it.
    pub source: Option<IpNet>,
    /// Who else, or who not, as it is written; [`Forward::with_sources`] gives the networks that it comes to.
    pub sources: Vec<WrittenSource>,
    /// The sets of nftables whose addresses may not, once that is resolved.
    pub bans: BTreeSet<NftSet>,
    /// The guest's address.
    pub guest: Option<IpAddr>,
    /// Whether the guest sees the host's address in the place of whoever connects: it answers then although its way out is not
    /// by this host.
    pub masquerade: bool,
    /// Whether the guest's answers leave by the uplink that the connection came by; portero.toml says when absent.
    pub symmetric: Option<bool>,
    /// Which of the domain's interfaces.
    pub interface: Option<MacAddress>,
    /// Which ports lead where; never empty, no host port twice.
    pub mappings: Vec<Mapping>,
    /// Whether it is one of the three that an `<address>` comes to, one for each protocol: all of that address of the host
    /// leads to the guest.
    pub is_whole_address: bool,
    /// Where it was written.
    pub origin: Origin,
    /// Line of the element.
    pub line: usize,
}

/// Whose turn it is when a forward cannot be had: advice goes by this, never by the words of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Whoever wrote it: it is not as it has to be.
    Invalid,
    /// The administrator: `[limits]` of portero.toml can permit it.
    Unpermitted,
    /// Nobody, while another forward has the port.
    Taken,
}

/// The result of a check or a plan of forwards.
pub type Result<T, E = ForwardError> = std::result::Result<T, E>;

/// Something wrong with a forward: where, and what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin}, {problem}")]
pub struct ForwardError {
    /// The file or the object.
    pub origin: Origin,
    /// The element and what is wrong with it.
    pub problem: Problem,
    /// Who can do something about it.
    pub kind: ErrorKind,
}

impl Forward {
    /// The host ports it holds.
    pub fn claims(&self) -> impl Iterator<Item = Claim> + '_ {
        self.mappings.iter().map(|mapping| Claim {
            protocol: self.protocol,
            family: self.families().next(),
            address: self.address,
            dev: self.dev.as_ref().map(|dev| dev.as_str().to_owned()),
            source: self.source,
            ports: mapping.host,
            is_whole_address: self.is_whole_address,
        })
    }

    /// An error at this element.
    pub fn error(&self, kind: ErrorKind, reason: impl fmt::Display) -> ForwardError {
        ForwardError {
            origin: self.origin.clone(),
            problem: Problem {
                line: self.line,
                element: self.element().to_owned(),
                reason: reason.to_string(),
            },
            kind,
        }
    }

    /// The name of its element.
    #[must_use]
    pub fn element(&self) -> &'static str {
        match self.is_whole_address {
            true => "address",
            false => "portForward",
        }
    }

    /// What is wrong with it for whoever wrote it.
    pub(crate) fn invalid(&self, reason: impl fmt::Display) -> ForwardError {
        self.error(ErrorKind::Invalid, reason)
    }

    /// What of it the administrator can permit.
    pub(crate) fn unpermitted(&self, reason: impl fmt::Display) -> ForwardError {
        self.error(ErrorKind::Unpermitted, reason)
    }

    /// The families of whatever addresses were given; the grammar lets them differ in nothing.
    fn families(&self) -> impl Iterator<Item = Family> {
        let addresses = [
            self.guest,
            self.address,
            self.source.map(|source| source.addr()),
        ];
        addresses.into_iter().flatten().map(Family::from)
    }

    /// Whether a guest's address of this family can be meant.
    #[must_use]
    pub fn takes(&self, family: Family) -> bool {
        self.families().all(|given| given == family)
    }
}

/// Reads all forwards of a `<portero:domain>` or `<portero:network>`.
///
/// # Errors
/// [`ForwardError`] at the first element or attribute that is not as the grammar has it.
pub fn parse(root: &Element, kind: OwnerKind, origin: &Origin) -> Result<Vec<Forward>> {
    parse_all(root, kind, origin).map_err(|problem| ForwardError {
        origin: origin.clone(),
        problem,
        kind: ErrorKind::Invalid,
    })
}

fn parse_all(root: &Element, kind: OwnerKind, origin: &Origin) -> Result<Vec<Forward>, Problem> {
    check_root(root, kind.name())?;
    root.only_attributes(&[])?;
    root.expect_elements()?;
    // A network's bridge on the host and its policy are other plugins'.
    let (mut forwards, mut addresses) = (Vec::new(), Vec::new());
    for element in root.children() {
        match element.own_name() {
            Some("portForward") => forwards.push(forward(element, kind, origin)?),
            Some("address") => addresses.extend(whole_address(element, kind, origin)?),
            Some("hostBridge" | "policy") if kind == OwnerKind::Network => {}
            _ => {
                let reason =
                    "not known here, expected <portForward> or <address> of portero's namespace";
                return Err(element.problem(reason));
            }
        }
    }
    forwards.extend(addresses);
    Ok(forwards)
}

/// `<address>`: all of an address of the host, IPv4, but for excluded ports, leads to a guest. What has ports comes to a
/// forward for each protocol.
fn whole_address(
    element: &Element,
    kind: OwnerKind,
    origin: &Origin,
) -> Result<Vec<Forward>, Problem> {
    element.expect_elements()?;
    element.only_attributes(match kind {
        OwnerKind::Domain => &["host", "guest", "interface"],
        OwnerKind::Network => &["host", "guest"],
    })?;
    let address = element.required("host", "an IPv4 address of the host", ipv4_address)?;
    let guest = element.optional("guest", ipv4_address)?;
    if kind == OwnerKind::Network && guest.is_none() {
        return Err(element.problem("guest is missing, expected the guest's address"));
    }
    let mut excluded: Vec<(Protocol, PortRange)> = Vec::new();
    for child in element.children() {
        if child.own_name() != Some("exclude") {
            return Err(child.problem("not known in an address, expected <exclude>"));
        }
        child.only_attributes(&["proto", "start", "end"])?;
        child.expect_nothing()?;
        let protocol = child.required("proto", "tcp, udp or sctp", str::parse)?;
        excluded.push((protocol, host_range(child)?));
    }
    let forwards = Protocol::ALL.into_iter().map(|protocol| {
        let of_protocol = excluded.iter().filter(|(of, _)| *of == protocol);
        let holes = of_protocol.map(|(_, ports)| *ports).collect();
        Forward {
            protocol,
            address: Some(address),
            dev: None,
            has_defaults: false,
            source: None,
            sources: Vec::new(),
            bans: BTreeSet::new(),
            guest,
            masquerade: false,
            symmetric: None,
            interface: None,
            mappings: all_without(holes),
            is_whole_address: true,
            origin: origin.clone(),
            line: element.line(),
        }
    });
    let interface = element.optional("interface", str::parse)?;
    let forwards = forwards.filter(|forward| !forward.mappings.is_empty());
    let forwards: Vec<Forward> = forwards.map(|one| Forward { interface, ..one }).collect();
    if forwards.is_empty() {
        return Err(element.problem("every port is excluded, expected at least one left"));
    }
    Ok(forwards)
}

fn ipv4_address(text: &str) -> Result<IpAddr, String> {
    match unicast(text)? {
        address if address.is_loopback() => Err(format!(
            "{address} is a loopback address, expected one that others reach"
        )),
        address @ IpAddr::V4(_) => Ok(address),
        other => Err(format!(
            "{other} is an IPv6 address, expected an IPv4 address"
        )),
    }
}

fn forward(element: &Element, kind: OwnerKind, origin: &Origin) -> Result<Forward, Problem> {
    element.expect_elements()?;
    let known = [
        "proto",
        "address",
        "dev",
        "source",
        "guest",
        "masquerade",
        "symmetric",
        "interface",
    ];
    element.only_attributes(match kind {
        OwnerKind::Domain => &known,
        OwnerKind::Network => &known[..7],
    })?;
    let protocol = element
        .attribute("proto")
        .ok_or_else(|| element.problem("proto is missing, expected tcp, udp or sctp"))?
        .parse()
        .map_err(|error| element.problem(error))?;
    let forward = Forward {
        protocol,
        address: element.optional("address", host_address)?,
        dev: element.optional("dev", str::parse)?,
        has_defaults: false,
        source: element.optional("source", network)?,
        sources: sources(element, kind, origin)?,
        bans: BTreeSet::new(),
        guest: element.optional("guest", guest_address)?,
        masquerade: element.optional("masquerade", yes_or_no)?.unwrap_or(false),
        symmetric: element.optional("symmetric", yes_or_no)?,
        interface: element.optional("interface", str::parse)?,
        mappings: mappings(element)?,
        is_whole_address: false,
        origin: origin.clone(),
        line: element.line(),
    };
    if kind == OwnerKind::Network && forward.guest.is_none() {
        return Err(element.problem("guest is missing, expected the guest's address"));
    }
    if Family::ALL.into_iter().all(|family| !forward.takes(family)) {
        return Err(element.problem(
            "address, guest and source mix IPv4 and IPv6, expected one family in a portForward",
        ));
    }
    Ok(forward)
}

fn sources(
    element: &Element,
    kind: OwnerKind,
    origin: &Origin,
) -> Result<Vec<WrittenSource>, Problem> {
    let sources = element.children().iter();
    let sources = sources.filter(|child| child.own_name() == Some("source"));
    let read = |source| WrittenSource::read(source, kind, origin);
    sources.map(read).collect()
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(format!(
            "'{}' is neither, expected yes or no",
            text.escape_debug()
        )),
    }
}

/// Reads an address of the host that packets may be for.
///
/// # Errors
/// Why it is not the address of one machine, or cannot be forwarded.
pub fn host_address(text: &str) -> Result<IpAddr, String> {
    let address = unicast(text)?;
    if address == IpAddr::V6(std::net::Ipv6Addr::LOCALHOST) {
        return Err(
            "::1 cannot be forwarded (Linux routes no IPv6 loopback), expected 127.0.0.1 or \
             another of the host's addresses"
                .to_owned(),
        );
    }
    Ok(address)
}

fn guest_address(text: &str) -> Result<IpAddr, String> {
    let address = unicast(text)?;
    if address.is_loopback() {
        return Err(format!(
            "{address} is a loopback address, expected a guest's"
        ));
    }
    Ok(address)
}

fn unicast(text: &str) -> Result<IpAddr, String> {
    let address: IpAddr = text
        .parse()
        .map_err(|_| format!("'{}' is not an IP address", text.escape_debug()))?;
    let broadcast = address == IpAddr::V4(std::net::Ipv4Addr::BROADCAST);
    if address.is_unspecified() || address.is_multicast() || broadcast {
        return Err(format!("{address} is not the address of one machine"));
    }
    Ok(address)
}
