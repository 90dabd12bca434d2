//! What the operator is told of networks: their policies as written, as given and as in the
//! firewall.

use crate::dnsmasq::{dnsmasq, Dnsmasq};
use crate::link::link;
use crate::Snapshot;
use ipnet::IpNet;
use portero_engine::{file_of, parse, ApplyError, NetworkPolicy, Record};
use portero_firewall::antispoof;
use portero_libvirt::{InterfaceName, Network, ObjectName, Subnet};
use portero_model::{Origin, OwnerKind, Policy, Ruleset};
use portero_routed_policy::{Group, WrittenPolicy};
use portero_system::{files, FileError};
use portero_xml::{Element, NAMESPACE};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// An active network.
#[derive(Debug)]
pub struct ActiveNetwork {
    /// The network.
    pub network: Network,
    /// What it was given.
    pub given: Option<Ruleset>,
    /// Whether that is in the firewall and can be reached.
    pub is_in_firewall: bool,
    /// Its policy as it is written now.
    pub written: Result<Option<NetworkPolicy>, ApplyError>,
    /// The administrator's own file for it, /etc/portero/networks/NAME.xml.
    pub file: PathBuf,
    /// Whether that is there.
    pub has_file: bool,
    /// What its guests may ask its dnsmasq for, where it has one.
    pub dnsmasq: Option<Dnsmasq>,
    /// Interfaces that antispoof could not guard at the last event or comparison, and that are still in its bridge.
    pub unguarded: Vec<String>,
}

impl ActiveNetwork {
    /// The networks alone.
    #[must_use]
    pub fn networks(active: &[Self]) -> Vec<Network> {
        active.iter().map(|one| one.network.clone()).collect()
    }

    /// The policy that one of these networks was given.
    #[must_use]
    pub fn find_policy<'a>(active: &'a [Self], network: &Network) -> Option<&'a Policy> {
        let mut active = active.iter();
        active
            .find(|one| one.network.uuid == network.uuid)?
            .policy()
    }

    /// Its subnet that an address is in.
    #[must_use]
    pub fn subnet_of(&self, address: IpAddr) -> Option<&Subnet> {
        let mut subnets = self.network.subnets.iter();
        subnets.find(|subnet| {
            let net = IpNet::new(subnet.address, subnet.prefix);
            net.is_ok_and(|net| net.contains(&address))
        })
    }

    /// Whether this is the name of its bridge, and nobody but guests is on that: a network that leads guests into a bridge
    /// of the host's (`<forward mode='bridge'/>`) has one that leads out.
    #[must_use]
    pub fn has_inner_bridge(&self, name: &str) -> bool {
        self.network.mode.is_routed_by_host() && self.network.has_bridge(name)
    }

    /// The host's addresses on it, with their prefixes.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        let subnets = self.network.subnets.iter();
        let addresses = subnets.map(|subnet| format!("{}/{}", subnet.address, subnet.prefix));
        addresses.collect()
    }

    /// The policy that it was given.
    #[must_use]
    pub fn policy(&self) -> Option<&Policy> {
        self.given.as_ref()?.policy.as_ref()
    }

    /// The interfaces in its bridge that antispoof cannot guard, each with what there is to say of it.
    pub fn unguarded(&self) -> impl Iterator<Item = (&str, String)> {
        let (network, bridge) = (&self.network.name, &self.network.bridge);
        let bridge = bridge.as_ref().map_or("its bridge", InterfaceName::as_str);
        self.unguarded.iter().map(move |name| {
            let what = antispoof::unguarded(name, bridge);
            (
                name.as_str(),
                format!("network '{network}': antispoof: {what}"),
            )
        })
    }

    /// Its policy as it is written, if that is what it was given.
    #[must_use]
    pub fn written_as_given(&self) -> Option<&NetworkPolicy> {
        let written = self.written.as_ref().ok()?.as_ref()?;
        (Some(&written.compiled.policy) == self.policy()).then_some(written)
    }
}

/// What has been found right.
#[derive(Debug)]
pub enum Checked {
    /// A policy, as the network would have it.
    Policy {
        /// The network.
        network: Box<Network>,
        /// Its policy.
        policy: Box<NetworkPolicy>,
    },
    /// There is no policy in it.
    NoPolicy,
    /// A policy of which the network is not known.
    Written(Box<WrittenPolicy>),
    /// A group of peers.
    Group(Group),
}

/// A bridge's name where libvirt has yet to find one.
const BRIDGE: &str = "virbrN";

impl Snapshot<'_, '_> {
    /// All active networks, in the order of their names.
    #[must_use]
    pub fn networks(&self) -> Vec<ActiveNetwork> {
        let active = self.networks.iter().map(|network| {
            let key = (OwnerKind::Network, network.uuid);
            let is_its_own = |record: &&Record| record.ruleset.owner.key() == key;
            let given = self.records.iter().find(is_its_own);
            let given = given.map(|record| record.ruleset.clone());
            let holds = |ruleset| self.observed.holds(ruleset);
            let file = file_of(&self.engine.paths, OwnerKind::Network, &network.name);
            ActiveNetwork {
                network: network.clone(),
                is_in_firewall: given.as_ref().is_none_or(holds),
                unguarded: (given.iter())
                    .flat_map(|one| unguarded(one, network))
                    .collect(),
                given,
                written: self.engine.compiled_policy(network, &self.networks),
                has_file: file.exists(),
                dnsmasq: dnsmasq(&self.engine.paths, network.name.as_str()),
                file,
            }
        });
        active.collect()
    }

    /// Says what the policy of an active network would become; changes nothing in the firewall.
    ///
    /// # Errors
    /// [`ApplyError`] with the file, the element and the line of what is wrong.
    pub fn check_policy(&self, name: &ObjectName) -> Result<Checked, ApplyError> {
        let network = find_network(name, &self.networks)?;
        let policy = self.engine.compiled_policy(network, &self.networks)?;
        Ok(checked(network, policy))
    }

    /// Says the same of a file with a `<network>`, or with a `<portero:network>` or a `<portero:group>` as in
    /// /etc/portero. `root` is what [`read_policy_file`] has read there, `network` the active network that a
    /// `<portero:network>` is for.
    ///
    /// # Errors
    /// As [`Snapshot::check_policy`].
    pub fn check_file(
        &self,
        path: &Path,
        root: &Element,
        network: Option<&ObjectName>,
    ) -> Result<Checked, ApplyError> {
        let mut networks = self.networks.clone();
        let origin = Origin::File(path.display().to_string());
        let wrong = |source| ApplyError::Policy {
            origin: origin.clone(),
            source,
        };
        match (root.namespace(), root.name()) {
            (None, "network") => {
                let mut network = Network::from_definition(root).map_err(wrong)?;
                if network.bridge.is_none() && network.mode.is_routed_by_host() {
                    network.bridge = BRIDGE.parse().ok();
                }
                let metadata = network.metadata().map_err(wrong)?;
                networks.retain(|active| active.name != network.name);
                networks.push(network.clone());
                self.check_element(metadata.as_ref(), &network, &networks, origin)
            }
            (Some(NAMESPACE), "network") => match network.or(self.named_by(path, &networks)) {
                Some(name) => {
                    let network = find_network(name, &networks)?;
                    self.check_element(Some(root), network, &networks, origin)
                }
                None => Ok(match WrittenPolicy::find_in(root).map_err(wrong)? {
                    Some(policy) => Checked::Written(Box::new(policy)),
                    None => Checked::NoPolicy,
                }),
            },
            (Some(NAMESPACE), "group") => Group::read(root).map(Checked::Group).map_err(wrong),
            _ => Err(wrong(root.problem(
                "expected <network>, or <network> or <group> of portero's namespace",
            ))),
        }
    }

    /// The active network whose file in /etc/portero this is.
    fn named_by<'n>(&self, path: &Path, networks: &'n [Network]) -> Option<&'n ObjectName> {
        let mut names = networks.iter().map(|network| &network.name);
        names.find(|name| file_of(&self.engine.paths, OwnerKind::Network, name) == path)
    }

    fn check_element(
        &self,
        element: Option<&Element>,
        network: &Network,
        networks: &[Network],
        origin: Origin,
    ) -> Result<Checked, ApplyError> {
        let written = element.map_or(Ok(None), WrittenPolicy::find_in);
        let written = written.map_err(|source| ApplyError::Policy {
            origin: origin.clone(),
            source,
        })?;
        let policy = written.map(|written| self.engine.compile(network, networks, written, origin));
        Ok(checked(network, policy.transpose()?))
    }
}

/// Reads a file for [`Snapshot::check_file`]. It may be a pipe that nobody writes to yet: whoever holds a snapshot
/// would keep libvirt's events waiting for it.
///
/// # Errors
/// [`ApplyError`] when it is not there, cannot be read, or is no XML.
pub fn read_policy_file(path: &Path) -> Result<Element, ApplyError> {
    let content = files::read_named(path)?.ok_or_else(|| FileError::Io {
        action: "read",
        path: path.to_owned(),
        source: std::io::ErrorKind::NotFound.into(),
    })?;
    parse(path, &content)
}

fn find_network<'a>(name: &ObjectName, networks: &'a [Network]) -> Result<&'a Network, ApplyError> {
    let found = networks.iter().find(|network| network.name == *name);
    found.ok_or_else(|| ApplyError::NoNetwork { name: name.clone() })
}

fn checked(network: &Network, policy: Option<NetworkPolicy>) -> Checked {
    match policy {
        Some(policy) => Checked::Policy {
            network: Box::new(network.clone()),
            policy: Box::new(policy),
        },
        None => Checked::NoPolicy,
    }
}

/// Those that could not be guarded and are still in the network's bridge.
fn unguarded(given: &Ruleset, network: &Network) -> Vec<String> {
    let bridge = network.bridge.as_ref().map(InterfaceName::as_str);
    let is_there = |name: &&String| {
        let master = link(name).and_then(|link| link.master);
        master.is_some() && master.as_deref() == bridge
    };
    let unguarded = given.antispoof.iter().flat_map(|one| &one.unguarded);
    unguarded.filter(is_there).cloned().collect()
}
