//! A domain by way of libvirt: its XML and portero's element in its metadata.

use super::args::{Activity, AffectedState};
use super::document::Document;
use super::error::Error;
use super::host::{failed, Host};
use crate::candidates::did_you_mean;
use portero_libvirt::Domain;
use portero_model::{Origin, OwnerKind};
use portero_port_forward::{parse, Forward, Lease};
use portero_xml::{Element, NAMESPACE};
use virt::error::ErrorNumber;
use virt::sys;

/// The prefix that libvirt is told to write portero's element with.
const PREFIX: &str = "portero";

/// portero's element, for libvirt.
const ELEMENT: i32 = sys::VIR_DOMAIN_METADATA_ELEMENT as i32;

/// A domain.
pub(crate) struct LibvirtGuest {
    domain: virt::domain::Domain,
    pub(crate) name: String,
    /// Whether it ran when it was looked for.
    pub(crate) activity: Activity,
}

impl LibvirtGuest {
    /// Finds a domain by its ID, UUID or name, in virsh's order.
    ///
    /// # Errors
    /// [`Error::Libvirt`].
    pub(crate) fn find(host: &Host, text: &str) -> Result<Self, Error> {
        use virt::domain::Domain;
        let connect = &host.connect;
        let quoted = text.escape_debug();
        let by_id = |id| Domain::lookup_by_id(connect, id).ok();
        let by_id = text.parse().ok().and_then(by_id);
        let by_uuid = || Domain::lookup_by_uuid_string(connect, text).ok();
        let by_name = || Domain::lookup_by_name(connect, text);
        let domain = by_id.or_else(by_uuid).map_or_else(by_name, Ok);
        let domain = domain.map_err(|source| {
            let all = connect.list_all_domains(0).unwrap_or_default();
            let names = all.iter().filter_map(|domain| domain.get_name().ok());
            Error::NoDomain {
                domain: quoted.to_string(),
                tip: did_you_mean(text, names),
                source,
            }
        })?;
        let asked = || failed(format!("ask for domain '{quoted}'"));
        Ok(Self {
            activity: match domain.is_active().map_err(asked())? {
                true => Activity::Running,
                false => Activity::ShutOff,
            },
            name: domain.get_name().map_err(asked())?,
            domain,
        })
    }

    /// Whether it has a configuration for its next start.
    pub(crate) fn is_persistent(&self) -> bool {
        self.domain.is_persistent().unwrap_or(false)
    }

    /// The domain's XML.
    ///
    /// # Errors
    /// [`Error::Libvirt`], [`Error::Xml`].
    pub(crate) fn domain(&self, target: AffectedState) -> Result<Domain, Error> {
        let flags = match target {
            AffectedState::Config => sys::VIR_DOMAIN_XML_INACTIVE,
            AffectedState::Live => 0,
        };
        let xml = self.domain.get_xml_desc(flags);
        let xml = xml.map_err(failed(format!("get the XML of {self}")))?;
        let parsed = Element::parse(xml.as_bytes()).map_err(Into::into);
        let parsed = parsed.and_then(|root| Ok(Domain::from_element(&root)?));
        parsed.map_err(|source| Error::Xml {
            object: self.to_string(),
            source,
        })
    }

    /// portero's element as libvirt gives it, without its namespace; nothing when there is none.
    ///
    /// # Errors
    /// [`Error::Libvirt`].
    pub(crate) fn metadata(&self, target: AffectedState) -> Result<Option<String>, Error> {
        let domain = &self.domain;
        match domain.get_metadata(ELEMENT, Some(NAMESPACE), flag(target)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.code() == ErrorNumber::NoDomainMetadata => Ok(None),
            Err(error) => Err(failed(format!("get the metadata of {self}"))(error)),
        }
    }

    /// Sets portero's element, or removes it.
    ///
    /// # Errors
    /// [`Error::Libvirt`].
    pub(crate) fn set_metadata(
        &self,
        target: AffectedState,
        text: Option<&str>,
    ) -> Result<(), Error> {
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
        let origin = Origin::Metadata(domain.into());
        let element = self.element(document)?;
        Ok(parse(&element, OwnerKind::Domain, &origin)?)
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
            let addresses = interface.addrs.iter();
            leases.extend(
                addresses
                    .flat_map(|one| one.addr.parse())
                    .map(|address| Lease {
                        mac,
                        address,
                        expiry: 0,
                    }),
            );
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

impl std::fmt::Display for LibvirtGuest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "domain '{}'", self.name.escape_debug())
    }
}

fn flag(target: AffectedState) -> u32 {
    match target {
        AffectedState::Config => sys::VIR_DOMAIN_AFFECT_CONFIG,
        AffectedState::Live => sys::VIR_DOMAIN_AFFECT_LIVE,
    }
}
