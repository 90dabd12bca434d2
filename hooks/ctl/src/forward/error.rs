//! Why a forward cannot be added, removed or listed; each is one line.

use super::spec::Target;
use portero_engine::ApplyError;
use portero_libvirt::EventError;
use portero_port_forward::ForwardError;
use portero_xml::XmlError;

/// Why a command about forwards failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// libvirt refuses.
    #[error("failed to {action}: {}", source.message())]
    Libvirt {
        /// What was asked of it.
        action: String,
        /// What it says.
        source: virt::error::Error,
    },
    /// There is no such domain.
    #[error("failed to get domain '{domain}': {}{tip}", source.message())]
    NoDomain {
        domain: String,
        /// Which may be meant.
        tip: String,
        /// What libvirt says.
        source: virt::error::Error,
    },
    /// A connection to something else than the guests of a host.
    #[error("{uri} {reason}, expected the guests of a host as in qemu:///system, lxc:///system or qemu+ssh://HOST/system")]
    Uri {
        /// Whom libvirt has connected to.
        uri: String,
        /// What is wrong with that.
        reason: &'static str,
    },
    /// Not root.
    #[error("only root can change the firewall, expected to be run as root")]
    NotRoot,
    /// Not root, whom libvirt's and portero's files are for.
    #[error("only root can list the forwards of all, expected to be run as root, or a DOMAIN")]
    NotRootToList,
    /// It cannot be had, or not be applied.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The metadata that is there is wrong, or what would be written.
    #[error(transparent)]
    Forward(#[from] ForwardError),
    /// portero's element is no XML that it reads.
    #[error("metadata of domain '{domain}', {source}")]
    Metadata {
        domain: String,
        /// What is wrong.
        source: XmlError,
    },
    /// libvirt's XML cannot be understood.
    #[error("XML of {object}: {source}")]
    Xml {
        object: String,
        /// What is wrong.
        source: EventError,
    },
    /// It is not there.
    #[error("domain '{domain}' does not forward {target} {place}, expected one of those that 'portero forward list' shows")]
    NotThere {
        domain: String,
        /// What was to be removed.
        target: Target,
        /// `now`, or where else it was looked for.
        place: &'static str,
    },
    /// It is not to be lost.
    #[error("domain '{domain}' has metadata of portero's {place} already, expected --replace to lose it")]
    Existing {
        domain: String,
        /// `now`, or when else it has it.
        place: &'static str,
    },
    /// There is more than one.
    #[error("domain '{domain}' has {count} forwards {target}, expected --source, --dev, --guest or --network to say which")]
    Several {
        domain: String,
        /// What was to be removed.
        target: Target,
        /// How many.
        count: usize,
    },
    /// Options that do not go together.
    #[error("{option} is given, expected it with {with} only")]
    Option {
        option: &'static str,
        /// What it goes with.
        with: &'static str,
    },
    /// There is no interface, or more than one.
    #[error("domain '{domain}' has {count} interfaces on network '{network}', expected one")]
    Interfaces {
        domain: String,
        network: String,
        /// How many.
        count: usize,
    },
    /// Nobody gives the guest its address.
    #[error("network '{network}' gives no IPv4 addresses by DHCP, expected the guest's by --guest ADDRESS")]
    NoDhcp { network: String },
    /// No address can be reserved.
    #[error("cannot reserve an address on network '{network}': {reason}")]
    NoAddress {
        network: String,
        /// Why not.
        reason: &'static str,
    },
    /// Somebody else was faster.
    #[error("domain '{domain}' was not given what its metadata asks for, and the log says why; the metadata is as it was")]
    NotApplied { domain: String },
}
