//! The part of a network's and a network port's XML that portero uses.

use crate::domain::{defined_uuid_of, name_of, uuid_of};
use crate::port::PortSettings;
use crate::{InterfaceName, MacAddress, ObjectName};
use ipnet::IpNet;
use portero_xml::{own_metadata, Element, Problem};
use std::net::IpAddr;
use uuid::Uuid;

/// A virtual network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Its name.
    pub name: ObjectName,
    /// Its UUID.
    pub uuid: Uuid,
    /// How libvirt connects it to the rest of the world.
    pub mode: ForwardMode,
    /// Whether its IPv6 connections are masqueraded too (`<nat ipv6='yes'/>`).
    pub masquerades_ipv6: bool,
    /// The one interface of the host's that its guests may use (`dev` of `<forward>`), any when
    /// absent. Whether it can be the name of one is not checked.
    pub forward_dev: Option<String>,
    /// Its bridge on the host.
    pub bridge: Option<InterfaceName>,
    /// The host's addresses on the bridge, each with its subnet.
    pub subnets: Vec<Subnet>,
    /// What the host reaches by way of a guest (`<route>`).
    pub routes: Vec<IpNet>,
    /// DHCP reservations of all subnets.
    pub reservations: Vec<Reservation>,
    /// The element as parsed, for [`Network::metadata`].
    root: Element,
}

/// libvirt's forward modes (<https://libvirt.org/formatnetwork.html#connectivity>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardMode {
    /// No `<forward>`.
    Isolated,
    /// `nat`, also the meaning of `<forward/>`.
    Nat,
    /// `route`.
    Route,
    /// `open`.
    Open,
    /// `bridge`: guests are on a bridge of the host's, or on a NIC, and so not behind its routing.
    Bridge,
    /// `private`, `vepa`, `passthrough`, `hostdev`: nor are they here.
    Direct,
}

impl ForwardMode {
    /// Its name: libvirt's, where there is one.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Isolated => "isolated",
            Self::Nat => "nat",
            Self::Route => "route",
            Self::Open => "open",
            Self::Bridge => "bridge",
            Self::Direct => "direct",
        }
    }

    /// Whether the host itself routes to the network's guests.
    #[must_use]
    pub fn is_routed_by_host(self) -> bool {
        !matches!(self, Self::Bridge | Self::Direct)
    }
}

/// One `<ip>` of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    /// The host's own address.
    pub address: IpAddr,
    /// Length of the prefix in bits: 0 to 32, or 0 to 128.
    pub prefix: u8,
    /// Whether DHCP gives an address to a guest without a reservation (`<range>`).
    pub has_dhcp_range: bool,
}

/// A DHCP reservation: `<host mac= ip=>` or, in IPv6, `<host id= ip=>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// The client's MAC address (IPv4).
    pub mac: Option<MacAddress>,
    /// The client's DUID (IPv6).
    pub duid: Option<Duid>,
    /// The reserved address.
    pub address: IpAddr,
}

/// A DHCPv6 client's identifier, RFC 8415 section 11.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duid(Vec<u8>);

impl Duid {
    /// Reads octets in hexadecimal with `:` between them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let octets: Option<Vec<u8>> = text
            .split(':')
            .map(|octet| u8::from_str_radix(octet, 16).ok())
            .collect();
        octets.filter(|octets| octets.len() > 2).map(Self)
    }

    /// Whether it was made from this MAC address: types DUID-LLT (1) and DUID-LL (3) over Ethernet
    /// end in it.
    #[must_use]
    pub fn is_of(&self, mac: MacAddress) -> bool {
        let made_of_mac = matches!(
            (self.0.as_slice(), self.0.len()),
            ([0, 1, 0, 1, ..], 14) | ([0, 3, 0, 1, ..], 10)
        );
        made_of_mac && self.0.ends_with(&mac.octets())
    }
}

/// A guest's interface on a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkPort {
    /// The port's UUID.
    pub uuid: Uuid,
    /// UUID of the domain that owns it.
    pub owner: Uuid,
    /// The guest's MAC address.
    pub mac: MacAddress,
    /// What it has besides a place in the bridge.
    pub settings: PortSettings,
}

impl Network {
    /// Reads a `<network>` element.
    ///
    /// # Errors
    /// [`Problem`] when the name, the UUID, the bridge or an address is not valid.
    pub fn from_element(root: &Element) -> Result<Self, Problem> {
        check_name(root)?;
        let bridge = root.child("bridge").map(bridge_of).transpose()?.flatten();
        Self::with(root, uuid_of(root)?, bridge)
    }

    /// Reads a file with a `<network>` of libvirt's, or with the `<hookData>` that earlier versions of portero
    /// kept; nothing when it cannot be understood.
    #[must_use]
    pub fn read(xml: &[u8]) -> Option<Self> {
        let root = Element::parse(xml).ok()?;
        let network = match root.name() {
            "hookData" => root.into_child("network")?,
            _ => root,
        };
        Self::from_element(&network).ok()
    }

    /// Whether this is the name of its bridge.
    #[must_use]
    pub fn has_bridge(&self, name: &str) -> bool {
        let bridge = self.bridge.as_ref();
        bridge.is_some_and(|bridge| bridge.as_str() == name)
    }

    /// Reads a `<network>` as it is given to `virsh net-define`: libvirt finds a UUID, here the nil
    /// one, where there is none, and a bridge, here `virbr0`, where there is none or `virbr%d`.
    ///
    /// # Errors
    /// As [`Network::from_element`].
    pub fn from_definition(root: &Element) -> Result<Self, Problem> {
        check_name(root)?;
        let named = root.child("bridge").filter(|bridge| {
            bridge
                .attribute("name")
                .is_some_and(|name| name != "virbr%d")
        });
        let bridge = match named {
            Some(bridge) => bridge_of(bridge)?,
            None if mode_of(root).is_routed_by_host() => "virbr0".parse().ok(),
            None => None,
        };
        Self::with(root, defined_uuid_of(root)?, bridge)
    }

    fn with(root: &Element, uuid: Uuid, bridge: Option<InterfaceName>) -> Result<Self, Problem> {
        let mut subnets = Vec::new();
        let mut reservations = Vec::new();
        for ip in root.all("ip") {
            subnets.extend(Subnet::from_element(ip)?);
            for host in ip.all("dhcp").flat_map(|dhcp| dhcp.all("host")) {
                reservations.extend(Reservation::from_element(host));
            }
        }
        Ok(Self {
            name: name_of(root)?,
            uuid,
            mode: mode_of(root),
            masquerades_ipv6: root
                .child("forward")
                .and_then(|forward| forward.child("nat"))
                .is_some_and(|nat| nat.attribute("ipv6") == Some("yes")),
            forward_dev: root.child("forward").and_then(forward_dev_of),
            bridge,
            subnets,
            routes: root.all("route").filter_map(route_of).collect(),
            reservations,
            root: root.clone(),
        })
    }

    /// portero's element in the network's `<metadata>`.
    ///
    /// # Errors
    /// [`Problem`] when it is of another namespace version or not `<network>`.
    pub fn metadata(&self) -> Result<Option<Element>, Problem> {
        own_metadata(&self.root, "network")
    }
}

/// The interface that libvirt's own rules name: `dev`, which is the first `<interface>` too
/// (`virNetworkDefForwardIf` in src/conf/network_conf.c).
fn forward_dev_of(forward: &Element) -> Option<String> {
    let first = || forward.child("interface")?.attribute("dev");
    forward.attribute("dev").or_else(first).map(str::to_owned)
}

fn check_name(root: &Element) -> Result<(), Problem> {
    if root.name() != "network" || root.namespace().is_some() {
        return Err(root.problem("expected <network>"));
    }
    Ok(())
}

/// The name in a `<bridge>`.
fn bridge_of(bridge: &Element) -> Result<Option<InterfaceName>, Problem> {
    bridge
        .attribute("name")
        .map(|name| name.parse().map_err(|error| bridge.problem(error)))
        .transpose()
}

fn mode_of(root: &Element) -> ForwardMode {
    match root
        .child("forward")
        .map(|forward| forward.attribute("mode"))
    {
        None | Some(Some("none")) => ForwardMode::Isolated,
        Some(None | Some("nat")) => ForwardMode::Nat,
        Some(Some("route")) => ForwardMode::Route,
        Some(Some("open")) => ForwardMode::Open,
        Some(Some("bridge")) => ForwardMode::Bridge,
        Some(Some(_)) => ForwardMode::Direct,
    }
}

impl Subnet {
    fn from_element(ip: &Element) -> Result<Option<Self>, Problem> {
        let Some(text) = ip.attribute("address") else {
            return Ok(None);
        };
        let address: IpAddr = text
            .parse()
            .map_err(|_| ip.problem(format!("'{}' is not an IP address", text.escape_debug())))?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match (ip.attribute("prefix"), ip.attribute("netmask"), address) {
            (Some(prefix), _, _) => prefix.parse().ok(),
            (None, Some(mask), IpAddr::V4(_)) => mask.parse().ok().and_then(mask_length),
            (None, None, IpAddr::V4(address)) => Some(classful_prefix(address.octets()[0])),
            (None, _, IpAddr::V6(_)) => Some(64),
        };
        let has_dhcp_range = ip.all("dhcp").any(|dhcp| dhcp.child("range").is_some());
        let subnet = |prefix| Self {
            address,
            prefix,
            has_dhcp_range,
        };
        prefix
            .filter(|prefix| *prefix <= longest)
            .map(|prefix| Some(subnet(prefix)))
            .ok_or_else(|| ip.problem("prefix or netmask is not valid"))
    }
}

/// Where a `<route>` leads; libvirt refuses one that is not valid (`virNetDevIPRouteCreate`).
fn route_of(route: &Element) -> Option<IpNet> {
    let address: IpAddr = route.attribute("address")?.parse().ok()?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match (route.attribute("prefix"), route.attribute("netmask")) {
        (Some(prefix), _) => prefix.parse().ok()?,
        (None, Some(mask)) => mask_length(mask.parse().ok()?)?,
        (None, None) => longest,
    };
    Some(IpNet::new(address, prefix).ok()?.trunc())
}

/// Length of a netmask, if its bits are contiguous.
fn mask_length(mask: std::net::Ipv4Addr) -> Option<u8> {
    let bits = u32::from(mask);
    let length = bits.leading_ones();
    (bits.checked_shl(length).unwrap_or(0) == 0)
        .then(|| u8::try_from(length).ok())
        .flatten()
}

/// libvirt's default without prefix and netmask (`virSocketAddrGetIPPrefix`).
fn classful_prefix(first: u8) -> u8 {
    match first {
        0..=127 => 8,
        128..=191 => 16,
        _ => 24,
    }
}

impl Reservation {
    fn from_element(host: &Element) -> Option<Self> {
        Some(Self {
            mac: host.attribute("mac").and_then(|mac| mac.parse().ok()),
            duid: host.attribute("id").and_then(Duid::parse),
            address: host.attribute("ip")?.parse().ok()?,
        })
    }
}

impl NetworkPort {
    /// Reads a `<networkport>` element; ports without a MAC address give nothing.
    ///
    /// # Errors
    /// [`Problem`] when the port's or the owner's UUID is missing or not valid.
    pub fn from_element(root: &Element) -> Result<Option<Self>, Problem> {
        let owner = root
            .child("owner")
            .ok_or_else(|| root.problem("expected an <owner> in it"))?;
        let Some(mac) = root.child("mac").and_then(|mac| mac.attribute("address")) else {
            return Ok(None);
        };
        Ok(Some(Self {
            uuid: uuid_of(root)?,
            owner: uuid_of(owner)?,
            mac: mac.parse().map_err(|error| root.problem(error))?,
            settings: PortSettings::of_element(root),
        }))
    }
}
