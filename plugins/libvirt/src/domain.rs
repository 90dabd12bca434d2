//! The part of a domain's XML that portero uses.

use crate::port::PortSettings;
use crate::{Driver, InterfaceName, MacAddress, ObjectName};
use portero_xml::{own_metadata, Element, Problem};
use uuid::Uuid;

/// A domain (guest).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// Its name.
    pub name: ObjectName,
    /// Whose it is.
    pub driver: Driver,
    /// Its UUID: what portero's chains and state files are named by.
    pub uuid: Uuid,
    /// Its network interfaces, in document order.
    pub nics: Vec<Nic>,
    /// portero's element in the domain's `<metadata>`, or what is wrong with it.
    metadata: Result<Option<Element>, Problem>,
}

/// One `<interface>` of a domain that has a MAC address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nic {
    /// The guest's MAC address.
    pub mac: MacAddress,
    /// What connects it.
    pub kind: NicKind,
    /// Name of the virtual network, for `<interface type='network'>`.
    pub network: Option<String>,
    /// The bridge of the host's, for `<interface type='bridge'>`.
    pub bridge: Option<InterfaceName>,
    /// The host's end (`vnet0`), once libvirt has made it.
    pub target: Option<InterfaceName>,
    /// What the host's end has besides a place in a bridge.
    pub settings: PortSettings,
}

/// What connects an interface of a domain: the `type` of `<interface>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NicKind {
    /// `network`.
    Network,
    /// `bridge`: a bridge of the host's.
    Bridge,
    /// `direct`: macvtap, on a NIC of the host's.
    Direct,
    /// `user`: a program that sends with the host's own sockets (SLIRP, passt).
    User,
    /// Any other.
    Other,
}

impl Domain {
    /// Reads a `<domain>` element.
    ///
    /// # Errors
    /// [`Problem`] when the name or the UUID is missing or not valid.
    pub fn from_element(root: &Element) -> Result<Self, Problem> {
        Self::with_uuid(root, uuid_of)
    }

    /// Reads a file with a `<domain>` of libvirt's; nothing when it cannot be understood.
    #[must_use]
    pub fn read(xml: &[u8]) -> Option<Self> {
        Self::from_element(&Element::parse(xml).ok()?).ok()
    }

    /// Reads a `<domain>` as it is given to `virsh define`: libvirt finds a UUID, here the nil one,
    /// where there is none.
    ///
    /// # Errors
    /// [`Problem`] when the name is missing or not valid, or the UUID is not valid.
    pub fn from_definition(root: &Element) -> Result<Self, Problem> {
        Self::with_uuid(root, defined_uuid_of)
    }

    fn with_uuid(
        root: &Element,
        uuid: impl Fn(&Element) -> Result<Uuid, Problem>,
    ) -> Result<Self, Problem> {
        if root.name() != "domain" || root.namespace().is_some() {
            return Err(root.problem("expected <domain>"));
        }
        let nics = root
            .child("devices")
            .into_iter()
            .flat_map(|devices| devices.all("interface"))
            .filter_map(Nic::from_element)
            .collect();
        Ok(Self {
            name: name_of(root)?,
            driver: Driver::of_type(root.attribute("type")),
            uuid: uuid(root)?,
            nics,
            metadata: own_metadata(root, "domain"),
        })
    }

    /// portero's element in the domain's `<metadata>`.
    ///
    /// # Errors
    /// [`Problem`] when it is of another namespace version or not `<domain>`.
    pub fn metadata(&self) -> Result<Option<Element>, Problem> {
        self.metadata.clone()
    }

    /// The domain with another element in its `<metadata>`.
    #[must_use]
    pub fn with_metadata(self, metadata: Option<Element>) -> Self {
        let metadata = Ok(metadata);
        Self { metadata, ..self }
    }
}

impl Nic {
    fn from_element(element: &Element) -> Option<Self> {
        let mac = element.child("mac")?.attribute("address")?.parse().ok()?;
        let source = element.child("source");
        let kind = match element.attribute("type") {
            Some("network") => NicKind::Network,
            Some("bridge") => NicKind::Bridge,
            Some("direct") => NicKind::Direct,
            Some("user") => NicKind::User,
            _ => NicKind::Other,
        };
        let network = match kind {
            NicKind::Network => source.and_then(|source| source.attribute("network")),
            _ => None,
        };
        let bridge = match kind {
            NicKind::Bridge => source.and_then(|source| source.attribute("bridge")),
            _ => None,
        };
        let target = element
            .child("target")
            .and_then(|target| target.attribute("dev"))
            .and_then(|name| name.parse().ok());
        Some(Self {
            mac,
            kind,
            network: network.map(str::to_owned),
            bridge: bridge.and_then(|name| name.parse().ok()),
            target,
            settings: PortSettings::of_element(element),
        })
    }
}

/// The `<name>` of a domain or network.
pub(crate) fn name_of(root: &Element) -> Result<ObjectName, Problem> {
    let name = root
        .child("name")
        .ok_or_else(|| root.problem("expected a <name> in it"))?;
    name.text().parse().map_err(|error| name.problem(error))
}

/// The `<uuid>` of a domain, network or port.
pub(crate) fn uuid_of(root: &Element) -> Result<Uuid, Problem> {
    let uuid = root
        .child("uuid")
        .ok_or_else(|| root.problem("expected a <uuid> in it"))?;
    Uuid::try_parse(uuid.text())
        .map_err(|_| uuid.problem(format!("'{}' is not a UUID", uuid.text().escape_debug())))
}

/// The same of what may not be defined yet; the nil one where there is none.
pub(crate) fn defined_uuid_of(root: &Element) -> Result<Uuid, Problem> {
    match root.child("uuid") {
        Some(_) => uuid_of(root),
        None => Ok(Uuid::nil()),
    }
}
