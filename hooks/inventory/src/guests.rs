//! What the operator is told of running guests, those without forwards included.

use crate::Snapshot;
use portero_engine::{by_owner, leases, ApplyError, PortState, Record};
use portero_libvirt::{Domain, Driver, InterfaceName, MacAddress, Network, ObjectName};
use portero_model::{Family, OwnerKind};
use portero_port_forward::{address_of, LastAddress, Lease};
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Display;
use std::net::IpAddr;
use uuid::Uuid;

/// A running guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Guest {
    /// Its name; not known of one of another driver than QEMU's and LXC's.
    #[serde(serialize_with = "optional")]
    pub name: Option<ObjectName>,
    /// Its driver, where that is known.
    pub driver: Option<Driver>,
    /// Its UUID.
    pub uuid: Uuid,
    /// Its interfaces.
    #[serde(rename = "interfaces")]
    pub nics: Vec<GuestNic>,
}

/// An interface of a running guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GuestNic {
    /// Its MAC address.
    #[serde(serialize_with = "text")]
    pub mac: MacAddress,
    /// The virtual network that it is on.
    pub network: Option<String>,
    /// The host's end.
    #[serde(serialize_with = "optional")]
    pub target: Option<InterfaceName>,
    /// Addresses that the network's reservations or leases give it.
    pub addresses: Vec<IpAddr>,
}

fn text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn optional<T: Display, S: Serializer>(
    value: &Option<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let text = value.as_ref().map(ToString::to_string);
    text.serialize(serializer)
}

impl Guest {
    /// Its name, or its UUID where that is not known.
    #[must_use]
    pub fn shown_name(&self) -> String {
        let name = self.name.as_ref().map(ToString::to_string);
        name.unwrap_or_else(|| self.uuid.to_string())
    }
}

impl From<Domain> for Guest {
    fn from(domain: Domain) -> Self {
        let nics = domain.nics.into_iter().map(|nic| GuestNic {
            mac: nic.mac,
            network: nic.network,
            target: nic.target,
            addresses: Vec::new(),
        });
        Self {
            name: Some(domain.name),
            driver: Some(domain.driver),
            uuid: domain.uuid,
            nics: nics.collect(),
        }
    }
}

impl Snapshot<'_, '_> {
    /// All running guests, in the order of their names: those that libvirt's drivers keep, and
    /// others of which a port on a virtual network was told.
    ///
    /// # Errors
    /// [`ApplyError`].
    pub fn guests(&mut self) -> Result<Vec<Guest>, ApplyError> {
        let domains = self.running_domains()?.into_iter();
        let mut guests: Vec<Guest> = domains.map(Guest::from).collect();
        let known: HashSet<Uuid> = guests.iter().map(|guest| guest.uuid).collect();
        for port in self.engine.state.all_ports()? {
            if port.state == PortState::Detached
                || known.contains(&port.owner)
                || self.engine.is_port_gone(&port)
            {
                continue;
            }
            let network = self.networks.iter().find(|one| one.uuid == port.network);
            let nic = GuestNic {
                mac: port.mac,
                network: network.map(|network| network.name.to_string()),
                target: None,
                addresses: Vec::new(),
            };
            match guests.iter_mut().find(|guest| guest.uuid == port.owner) {
                Some(guest) => guest.nics.push(nic),
                None => guests.push(Guest {
                    name: None,
                    driver: None,
                    uuid: port.owner,
                    nics: vec![nic],
                }),
            }
        }
        self.find_addresses(&mut guests);
        guests.sort_by_cached_key(|guest| (guest.name.is_none(), guest.name.clone(), guest.uuid));
        Ok(guests)
    }

    /// Guests that have ended and of which something is left.
    ///
    /// # Errors
    /// [`ApplyError`].
    pub fn ended_guests(&mut self) -> Result<BTreeSet<Uuid>, ApplyError> {
        self.engine.ended_guests()
    }

    fn find_addresses(&self, guests: &mut [Guest]) {
        let mut known: BTreeMap<&InterfaceName, Vec<Lease>> = BTreeMap::new();
        let records = by_owner(&self.records);
        let nics = guests.iter_mut().flat_map(|guest| {
            let record = records.get(&(OwnerKind::Domain, guest.uuid));
            let last = record.map_or(&[][..], |one| &one.addresses);
            guest.nics.iter_mut().map(move |nic| (nic, last))
        });
        for (nic, last) in nics {
            let of_nic = |network: &&Network| Some(network.name.as_str()) == nic.network.as_deref();
            let network = self.networks.iter().find(of_nic);
            let bridge = network.and_then(|network| network.bridge.as_ref());
            let (Some(network), Some(bridge)) = (network, bridge) else {
                continue;
            };
            for family in Family::ALL {
                let last = LastAddress::find(last, network, nic.mac, family);
                let address = address_of(network, nic.mac, family, last, || {
                    let read = || leases(&self.engine.paths, bridge);
                    known.entry(bridge).or_insert_with(read)
                });
                nic.addresses.extend(address);
            }
        }
    }

    /// The domains in libvirt's own state, or, where it keeps none there, those with forwards.
    fn running_domains(&mut self) -> Result<Vec<Domain>, ApplyError> {
        let mut domains = Vec::new();
        let mut silent = Vec::new();
        for driver in Driver::ALL {
            if !self.engine.paths.running_domains(driver).is_dir() {
                silent.push(driver);
            }
            let running = self.engine.running_domains(driver)?;
            domains.extend(running.into_iter().map(|running| running.domain));
        }
        // A record of before containers had forwards is of a domain of QEMU's.
        let driver = |one: &Record| one.ruleset.owner.driver.unwrap_or(Driver::Qemu);
        let mut records = self.records.iter();
        if records
            .any(|one| one.ruleset.owner.kind == OwnerKind::Domain && silent.contains(&driver(one)))
        {
            let mut known = self.engine.state.domains()?;
            known.retain(|domain| silent.contains(&domain.driver));
            domains.extend(known);
        }
        Ok(domains)
    }
}
