//! A DHCP reservation for an interface that has none, so that its forward leads to one address.

use super::args::Reserve;
use super::error::Error;
use super::guest::LibvirtGuest;
use super::host::{failed, Host, HostPlace};
use crate::terminal::{ask, can_ask, warning};
use portero_engine::leases;
use portero_libvirt::{Domain, EventError, MacAddress, Network};
use portero_model::{Family, Owner};
use portero_port_forward::{plan_domain, AddressSources, Attachment, Forward, ForwardError, Lease};
use portero_system::Paths;
use portero_xml::Element;
use std::net::{IpAddr, Ipv4Addr};
use virt::sys;

/// The position libvirt is told to look for by itself.
const ANY_IP: i32 = -1;

/// A reservation that can be made.
pub(crate) struct NewReservation {
    network: OnNetwork,
    mac: MacAddress,
    address: IpAddr,
}

/// A virtual network by way of libvirt.
struct OnNetwork {
    handle: virt::network::Network,
    network: Network,
    root: Element,
}

/// Decides on a reservation for the interface that a new forward leads to; nothing when it needs none
/// or nobody wants it.
///
/// # Errors
/// [`Error`] when the guest can never get an address, or none can be reserved although it shall be.
pub(crate) fn decide(
    host: &Host,
    guest: &LibvirtGuest,
    domain: &Domain,
    forward: &Forward,
    reserve: Option<Reserve>,
) -> Result<Option<NewReservation>, Error> {
    let mut nics = domain.nics.iter().filter_map(|nic| {
        let is_meant = forward.interface.is_none_or(|mac| mac == nic.mac);
        Some((nic.mac, nic.network.as_deref().filter(|_| is_meant)?))
    });
    let Some((mac, name)) = nics.next() else {
        return Ok(None);
    };
    if forward.guest.is_some() || !forward.takes(Family::Ipv4) {
        return Ok(None);
    }
    let network = OnNetwork::find(host, name)?;
    let target = |leases: &[Lease]| network.address_of(domain, forward, mac, leases);
    if target(&[])?.is_some() {
        return Ok(None);
    }
    if !network.has_dhcp() {
        return Err(Error::NoDhcp {
            network: name.escape_debug().to_string(),
        });
    }
    let bridge = network.network.bridge.as_ref();
    let bridge = bridge.filter(|_| host.place == HostPlace::Here);
    let known = bridge.map(|bridge| leases(&Paths::default(), bridge));
    let own = known.clone().unwrap_or_else(|| guest.leases());
    let found = match (target(&own)?, &known) {
        (Some(address), _) => Ok(address),
        (None, Some(known)) => network.free(known).ok_or("all of its range is taken"),
        (None, None) => Err("the domain has no lease yet, and those of others are not known here"),
    };
    let is_terminal = can_ask();
    let has_none = format!(
        "{mac} of {guest} has no DHCP reservation on network '{}'",
        name.escape_debug()
    );
    let wanted = match (reserve, &found) {
        (Some(Reserve::Yes), _) => true,
        (Some(Reserve::No), _) => false,
        (Some(Reserve::Ask), Ok(address)) => ask(&format!("{has_none}. Reserve {address} for it?")),
        (None, Ok(address)) if is_terminal => ask(&format!(
            "{has_none}, so its address can change. Reserve {address} for it?"
        )),
        (None, Ok(address)) => {
            warning(format_args!(
                "{has_none}: the forward follows its lease (--reserve=yes reserves {address})"
            ));
            false
        }
        (_, Err(_)) => false,
    };
    if !wanted {
        return Ok(None);
    }
    let address = found.map_err(|reason| Error::NoAddress {
        network: name.escape_debug().to_string(),
        reason,
    })?;
    Ok(Some(NewReservation {
        network,
        mac,
        address,
    }))
}

impl NewReservation {
    /// Makes it, at once and for the network's next start.
    ///
    /// # Errors
    /// [`Error::Libvirt`].
    pub(crate) fn make(&self) -> Result<(), Error> {
        self.update(sys::VIR_NETWORK_UPDATE_COMMAND_ADD_LAST)
    }

    /// Takes it back.
    ///
    /// # Errors
    /// [`Error::Libvirt`].
    pub(crate) fn unmake(&self) -> Result<(), Error> {
        self.update(sys::VIR_NETWORK_UPDATE_COMMAND_DELETE)
    }

    fn update(&self, command: sys::virNetworkUpdateCommand) -> Result<(), Error> {
        let handle = &self.network.handle;
        let name = self.network.network.name.as_str().escape_debug();
        let failed = || failed(format!("update network '{name}'"));
        let mut flags = sys::VIR_NETWORK_UPDATE_AFFECT_CURRENT;
        if handle.is_active().map_err(failed())? {
            flags |= sys::VIR_NETWORK_UPDATE_AFFECT_LIVE;
        }
        if handle.is_persistent().map_err(failed())? {
            flags |= sys::VIR_NETWORK_UPDATE_AFFECT_CONFIG;
        }
        let section = sys::VIR_NETWORK_SECTION_IP_DHCP_HOST;
        let xml = format!("<host mac='{}' ip='{}'/>", self.mac, self.address);
        handle
            .update(command, section, ANY_IP, &xml, flags)
            .map_err(failed())
    }
}

impl std::fmt::Display for NewReservation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.network.network.name.as_str().escape_debug();
        write!(
            formatter,
            "network '{name}' reserves {} for {}",
            self.address, self.mac
        )
    }
}

impl OnNetwork {
    fn find(host: &Host, name: &str) -> Result<Self, Error> {
        let object = format!("network '{}'", name.escape_debug());
        let handle = virt::network::Network::lookup_by_name(&host.connect, name)
            .map_err(failed(format!("get {object}")))?;
        let xml = handle
            .get_xml_desc(0)
            .map_err(failed(format!("get the XML of {object}")))?;
        let parse = || -> Result<Self, EventError> {
            let root = Element::parse(xml.as_bytes())?;
            Ok(Self {
                handle,
                network: Network::from_element(&root)?,
                root,
            })
        };
        parse().map_err(|source| Error::Xml { object, source })
    }

    /// The IPv4 address that a forward leads to by reservations and these leases, by the planner's
    /// own rules.
    fn address_of(
        &self,
        domain: &Domain,
        forward: &Forward,
        mac: MacAddress,
        leases: &[Lease],
    ) -> Result<Option<IpAddr>, ForwardError> {
        let owner = Owner::from(domain);
        let attachments = [Attachment {
            mac,
            network_name: self.network.name.as_str(),
            network: Some(&self.network),
        }];
        let forwards = std::slice::from_ref(forward);
        let sources = AddressSources {
            leases: &|_| leases.into(),
            last: &[],
            seen: &|_, _| Vec::new(),
        };
        let plan = plan_domain(owner, forwards, &attachments, sources)?;
        let mut guests = plan.ruleset.dnats().map(|dnat| dnat.guest);
        Ok(guests.find(IpAddr::is_ipv4))
    }

    /// Whether it gives IPv4 addresses at all.
    fn has_dhcp(&self) -> bool {
        let mut ips = self.root.all("ip");
        ips.any(|ip| ip.attribute("family") != Some("ipv6") && ip.child("dhcp").is_some())
    }

    /// The first address of its DHCP ranges that nobody has.
    fn free(&self, leases: &[Lease]) -> Option<IpAddr> {
        let reserved = self.network.reservations.iter();
        let reserved = reserved.map(|reservation| reservation.address);
        let leased = leases.iter().map(|lease| lease.address);
        let own = self.network.subnets.iter().map(|subnet| subnet.address);
        let taken: Vec<IpAddr> = reserved.chain(leased).chain(own).collect();
        let dhcp = self.root.all("ip").flat_map(|ip| ip.all("dhcp"));
        let ranges = dhcp.flat_map(|dhcp| dhcp.all("range")).filter_map(|range| {
            let end = |name| range.attribute(name)?.parse::<Ipv4Addr>().ok();
            Some(u32::from(end("start")?)..=u32::from(end("end")?))
        });
        let addresses = ranges
            .flatten()
            .map(|address| Ipv4Addr::from(address).into());
        let mut free = addresses.filter(|address| !taken.contains(address));
        free.next()
    }
}
