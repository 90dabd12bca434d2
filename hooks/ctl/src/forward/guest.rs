//! A domain by way of libvirt: its XML and portero's element in its metadata.

use super::args::{Activity, Target};
use super::document::Document;
use super::error::Error;
use super::host::{failed, Host};
use portero_libvirt::Domain;
use portero_model::{Origin, Owner, OwnerKind};
use portero_port_forward::{parse, Forward, Lease};
use portero_xml::{Element, NAMESPACE};
use virt::error::ErrorNumber;
use virt::sys;

/// The prefix that libvirt is told to write portero's element with.
const PREFIX: &str = "portero";

/// portero's element, for libvirt.
const ELEMENT: i32 = sys::VIR_DOMAIN_METADATA_ELEMENT as i32;

/// A domain.
pub(crate) struct Guest {
    domain: virt::domain::Domain,
    /// Its name.
    pub(crate) name: String,
    /// Whether it ran when it was looked for.
    pub(crate) activity: Activity,
}

impl Guest {
    /// Finds a domain by its ID, UUID or name, in virsh's order.
    ///
    /// # Errors
    /// [`Error::Libvirt`].
    pub(crate) fn find(host: &Host, text: &str) -> Result<Self, Error> {
        use virt::domain::Domain;
        let by_id = text
            .parse()
            .ok()
            .and_then(|id| Domain::lookup_by_id(&host.connect, id).ok());
        let by_uuid = || Domain::lookup_by_uuid_string(&host.connect, text).ok();
        let domain = match by_id.or_else(by_uuid) {
            Some(domain) => domain,
            None => Domain::lookup_by_name(&host.connect, text)
                .map_err(failed(format!("get domain '{}'", text.escape_debug())))?,
        };
        let asked = |source| failed(format!("ask for domain '{}'", text.escape_debug()))(source);
        let activity = match domain.is_active().map_err(asked)? {
            true => Activity::Running,
            false => Activity::ShutOff,
        };
        let name = domain.get_name().map_err(asked)?;
        Ok(Self {
            domain,
            name,
            activity,
        })
    }

    /// The domain's XML.
    ///
    /// # Errors
    /// [`Error::Libvirt`], [`Error::Xml`].
    pub(crate) fn domain(&self, target: Target) -> Result<Domain, Error> {
        let flags = match target {
            Target::Config => sys::VIR_DOMAIN_XML_INACTIVE,
            Target::Live => 0,
        };
        let xml = self
            .domain
            .get_xml_desc(flags)
            .map_err(failed(format!("get the XML of {self}")))?;
        let parsed = Element::parse(xml.as_bytes()).map_err(Into::into);
        parsed
            .and_then(|root| Ok(Domain::from_element(&root)?))
            .map_err(|source| Error::Xml {
                object: self.to_string(),
                source,
            })
    }

    /// portero's element as libvirt gives it, without its namespace; nothing when there is none.
    ///
    /// # Errors
    /// [`Error::Libvirt`].
    pub(crate) fn metadata(&self, target: Target) -> Result<Option<String>, Error> {
        match self
            .domain
            .get_metadata(ELEMENT, Some(NAMESPACE), flag(target))
        {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.code() == ErrorNumber::NoDomainMetadata => Ok(None),
            Err(error) => Err(failed(format!("get the metadata of {self}"))(error)),
        }
    }

    /// Sets portero's element, or removes it.
    ///
    /// # Errors
    /// [`Error::Libvirt`].
    pub(crate) fn set_metadata(&self, target: Target, text: Option<&str>) -> Result<(), Error> {
        let prefix = text.map(|_| PREFIX);
        self.domain
            .set_metadata(ELEMENT, text, prefix, Some(NAMESPACE), flag(target))
            .map(drop)
            .map_err(failed(format!("set the metadata of {self}")))
    }

    /// Reads portero's element.
    ///
    /// # Errors
    /// [`Error::Metadata`].
    pub(crate) fn document(&self, text: Option<&str>) -> Result<Document, Error> {
        text.map_or_else(|| Ok(Document::empty()), Document::parse)
            .map_err(|source| self.wrong(source))
    }

    /// portero's element as its grammar reads it.
    ///
    /// # Errors
    /// [`Error::Metadata`].
    pub(crate) fn element(&self, document: &Document) -> Result<Element, Error> {
        document.element().map_err(|source| self.wrong(source))
    }

    /// The forwards in portero's element, in its order.
    ///
    /// # Errors
    /// [`Error::Metadata`], [`Error::Forward`].
    pub(crate) fn forwards(
        &self,
        domain: &Domain,
        document: &Document,
    ) -> Result<Vec<Forward>, Error> {
        let owner = Owner::from(domain);
        let element = self.element(document)?;
        Ok(parse(
            &element,
            OwnerKind::Domain,
            &Origin::Metadata(owner),
        )?)
    }

    /// What libvirt's DHCP has given the running domain; nothing when libvirt cannot say.
    pub(crate) fn leases(&self) -> Vec<Lease> {
        let source = sys::VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE;
        let interfaces = self.domain.interface_addresses(source, 0);
        let mut leases = Vec::new();
        for interface in interfaces.unwrap_or_default() {
            let Ok(mac) = interface.hwaddr.parse() else {
                continue;
            };
            for address in interface.addrs {
                leases.extend(address.addr.parse().ok().map(|address| Lease {
                    mac,
                    address,
                    expiry: 0,
                }));
            }
        }
        leases
    }

    fn wrong(&self, source: portero_xml::XmlError) -> Error {
        Error::Metadata {
            domain: self.name.escape_debug().to_string(),
            source,
        }
    }
}

impl std::fmt::Display for Guest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "domain '{}'", self.name.escape_debug())
    }
}

fn flag(target: Target) -> u32 {
    match target {
        Target::Config => sys::VIR_DOMAIN_AFFECT_CONFIG,
        Target::Live => sys::VIR_DOMAIN_AFFECT_LIVE,
    }
}
