//! Gathers what planning needs: configuration, networks, ports and leases.

use crate::check::{check_alone, new_claims};
use crate::config::{element_in_file, group};
use crate::engine::Engine;
use crate::state::{by_owner, PortState, RecordedPort, Records};
use crate::{ApplyError, Config, Phase, Record};
use ipnet::IpNet;
use portero_host_bridge::HostBridge;
use portero_libvirt::{Domain, InterfaceName, MacAddress, Network, ObjectName};
use portero_model::{Claim, Family, Origin, Owner, OwnerKey, OwnerKind, Ruleset};
use portero_port_forward::{
    check_others, find_guest, parse, parse_leases, plan_domain, plan_network, AddressSources,
    Attachment, ErrorKind, Forward, LastAddress, Lease, Missing, Plan,
};
use portero_routed_policy::{compile, Compiled, Context, PeerTarget, WrittenPolicy};
use portero_system::{files, Paths, Severity};
use portero_xml::{Element, Problem};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Most forwards of one object, each of its sources counted: what a small document can ask for by exceptions must have an end.
const MOST_FORWARDS: usize = 100_000;

/// A network's policy.
#[derive(Debug)]
pub struct NetworkPolicy {
    /// As it is written.
    pub written: WrittenPolicy,
    /// Where that is.
    pub origin: Origin,
    /// With every name resolved.
    pub compiled: Compiled,
}

impl Engine<'_> {
    /// A domain's forwards: of its metadata, then of its file.
    pub fn domain_forwards(&self, domain: &Domain) -> Result<Vec<Forward>, ApplyError> {
        self.forwards(OwnerKind::Domain, &self.domain_elements(domain)?)
    }

    /// portero's elements for a domain.
    pub(crate) fn domain_elements(
        &self,
        domain: &Domain,
    ) -> Result<Vec<(Element, Origin)>, ApplyError> {
        let owner = Owner::from(domain);
        self.elements(owner, &domain.name, domain.metadata())
    }

    /// A network's forwards: of its metadata, then of its file.
    pub fn network_forwards(&self, network: &Network) -> Result<Vec<Forward>, ApplyError> {
        let owner = Owner::from(network);
        let elements = self.elements(owner, &network.name, network.metadata())?;
        self.forwards(OwnerKind::Network, &elements)
    }

    /// The forwards of an object's elements, with what portero.toml says of those that say nothing.
    fn forwards(
        &self,
        kind: OwnerKind,
        elements: &[(Element, Origin)],
    ) -> Result<Vec<Forward>, ApplyError> {
        let mut written = Vec::new();
        for (element, origin) in elements {
            written.extend(parse(element, kind, origin)?);
        }
        self.complete(written)
    }

    /// Forwards as they are written, with what portero.toml says of those that say nothing, and one for each network of
    /// their sources.
    ///
    /// # Errors
    /// [`ApplyError`] when portero.toml or a group cannot be used.
    pub fn complete(&self, written: Vec<Forward>) -> Result<Vec<Forward>, ApplyError> {
        if written.is_empty() {
            return Ok(written);
        }
        let settings = self.forward_settings()?;
        let mut forwards = Vec::new();
        for written in written {
            for one in settings.complete(written)? {
                if forwards.len() > MOST_FORWARDS {
                    let reason = format!(
                        "its object asks for more than {MOST_FORWARDS} forwards, counting each source"
                    );
                    return Err(one.error(ErrorKind::Invalid, reason).into());
                }
                forwards.extend(one.with_sources(&|name| self.addresses_of_group(name))?);
            }
        }
        Ok(forwards)
    }

    /// The addresses of a group, or why it says more than addresses.
    fn addresses_of_group(&self, name: &ObjectName) -> Result<Vec<IpNet>, String> {
        let group =
            group(&self.paths, name, self.trusted_user).map_err(|error| error.to_string())?;
        let nets = group.targets().iter().map(|target| match target {
            PeerTarget::Net(net) => Ok(*net),
            _ => Err(format!(
                "group '{name}' has peers of other kinds, expected addresses alone where it says who may use a forward"
            )),
        });
        nets.collect()
    }

    /// portero's elements for an object: in its metadata, then in its file.
    fn elements(
        &self,
        owner: Owner,
        name: &ObjectName,
        metadata: Result<Option<Element>, Problem>,
    ) -> Result<Vec<(Element, Origin)>, ApplyError> {
        let kind = owner.kind;
        let metadata = metadata.map_err(|source| ApplyError::Metadata {
            object: owner.to_string(),
            source,
        })?;
        let metadata = metadata.map(|element| (element, Origin::Metadata(owner)));
        let file = element_in_file(&self.paths, kind, name, self.trusted_user)?;
        Ok(metadata.into_iter().chain(file).collect())
    }

    /// Reads everything that is written for a network.
    ///
    /// # Errors
    /// [`ApplyError`] with what of it cannot be understood.
    pub fn check_written(&self, network: &Network) -> Result<(), ApplyError> {
        self.network_forwards(network)?;
        self.host_bridge(network)?;
        self.written_policy(network).map(drop)
    }

    /// What a network says of the bridge on the host that it needs.
    pub(crate) fn host_bridge(
        &self,
        network: &Network,
    ) -> Result<Option<(HostBridge, Origin)>, ApplyError> {
        let owner = Owner::from(network);
        for (element, origin) in self.elements(owner, &network.name, network.metadata())? {
            let wanted = HostBridge::read(&element).map_err(|source| ApplyError::HostBridge {
                origin: origin.clone(),
                source,
            })?;
            if let Some(wanted) = wanted {
                return Ok(Some((wanted, origin)));
            }
        }
        Ok(None)
    }

    /// A network's policy as it is written, in its metadata or its file.
    pub(crate) fn written_policy(
        &self,
        network: &Network,
    ) -> Result<Option<(WrittenPolicy, Origin)>, ApplyError> {
        let owner = Owner::from(network);
        let mut found: Option<(WrittenPolicy, Origin)> = None;
        for (element, origin) in self.elements(owner, &network.name, network.metadata())? {
            let written =
                WrittenPolicy::find_in(&element).map_err(|source| ApplyError::Policy {
                    origin: origin.clone(),
                    source,
                })?;
            match (written, &found) {
                (None, _) => {}
                (Some(written), None) => found = Some((written, origin)),
                (Some(written), Some((_, metadata))) => {
                    return Err(ApplyError::TwoPolicies {
                        file: origin,
                        line: written.line,
                        metadata: metadata.clone(),
                    })
                }
            }
        }
        Ok(found)
    }

    /// A network's policy with every name resolved.
    pub fn compiled_policy(
        &self,
        network: &Network,
        networks: &[Network],
    ) -> Result<Option<NetworkPolicy>, ApplyError> {
        let Some((written, origin)) = self.written_policy(network)? else {
            return Ok(None);
        };
        self.compile(network, networks, written, origin).map(Some)
    }

    /// Resolves the names of a policy.
    pub fn compile(
        &self,
        network: &Network,
        networks: &[Network],
        written: WrittenPolicy,
        origin: Origin,
    ) -> Result<NetworkPolicy, ApplyError> {
        let groups = |name: &ObjectName| {
            group(&self.paths, name, self.trusted_user).map_err(|error| error.to_string())
        };
        let context = Context {
            networks,
            groups: &groups,
        };
        match compile(network, &written, &context) {
            Ok(compiled) => Ok(NetworkPolicy {
                written,
                origin,
                compiled,
            }),
            Err(source) => Err(ApplyError::Policy { origin, source }),
        }
    }

    /// What a network is to be given. Warnings about its policy are logged when it is news.
    pub(crate) fn network_record(
        &mut self,
        network: &Network,
        forwards: &[Forward],
        written: Option<(WrittenPolicy, Origin)>,
        networks: &[Network],
        old: Option<&Record>,
    ) -> Result<Record, ApplyError> {
        let owner = Owner::from(network);
        let compiled = match written {
            Some((written, origin)) => Some(self.compile(network, networks, written, origin)?),
            None => None,
        };
        let mut plan = plan_network(owner, forwards, network)?;
        // Its own bridge, and the addresses there, come with it.
        let is_own = |address| network.subnets.iter().any(|one| one.address == address);
        let others = forwards.iter().filter(|forward| {
            let by_own_bridge = forward.dev.is_some() && forward.dev == network.bridge;
            !by_own_bridge && !forward.address.is_some_and(is_own)
        });
        self.log_notices(&plan.ruleset.owner, others, old);
        if let Some(Compiled {
            policy,
            antispoof,
            warnings,
        }) = compiled.map(|policy| policy.compiled)
        {
            if old.and_then(|old| old.ruleset.policy.as_ref()) != Some(&policy) {
                for warning in warnings {
                    let message = format!("{}: policy: {warning}", plan.ruleset.owner);
                    self.log.write(Severity::Warning, message);
                }
            }
            let owner = &plan.ruleset.owner;
            let before = old.and_then(|old| old.ruleset.antispoof.as_ref());
            let antispoof = antispoof
                .map(|antispoof| self.antispoof_now(owner, &policy.bridge, antispoof, before));
            plan.ruleset.antispoof = antispoof.transpose()?;
            plan.ruleset.policy = Some(policy);
        }
        self.record_of(plan, old)
    }

    /// Plans one domain's forwards from everything known now. What it was given since it runs, if it does, says where it
    /// was last.
    pub(crate) fn plan_domain(
        &self,
        domain: &Domain,
        forwards: &[Forward],
        networks: &[Network],
        old: Option<&Record>,
    ) -> Result<Plan, ApplyError> {
        let ports = self.state.ports(domain.uuid)?;
        let attachments = attachments(domain, &ports, networks);
        let owner = Owner::from(domain);
        let sources = AddressSources {
            leases: &leases_once(&self.paths),
            last: last_addresses(old),
            seen: &|bridge, mac| self.seen(bridge, mac),
        };
        Ok(plan_domain(owner, forwards, &attachments, sources)?)
    }

    /// Where an interface was seen on a bridge. What cannot be told is not worth a failure: no rule comes of it.
    fn seen(&self, bridge: &InterfaceName, mac: MacAddress) -> Vec<IpAddr> {
        self.system.seen(bridge, mac).unwrap_or_default()
    }

    /// Says in a domain's record what its forwards wait for as it is known now: its guest may have been seen since it was
    /// recorded, and nobody is told of that.
    ///
    /// # Errors
    /// [`ApplyError`] when that cannot be found out; the record is as it was then.
    pub fn update_pending(&self, record: &mut Record) -> Result<(), ApplyError> {
        let owner = &record.ruleset.owner;
        if record.pending.is_empty() || owner.kind != OwnerKind::Domain {
            return Ok(());
        }
        let Some(domain) = self.state.domain(owner.uuid)? else {
            return Ok(());
        };
        let (forwards, networks) = (self.domain_forwards(&domain)?, self.state.networks()?);
        let now = self.plan_domain(&domain, &forwards, &networks, Some(record))?;
        for pending in &mut record.pending {
            let mut now = now.pending.iter();
            if let Some(now) = now.find(|now| now.claims == pending.claims) {
                pending.reason.clone_from(&now.reason);
            }
        }
        Ok(())
    }

    /// Where one of a domain's forwards would lead now, in one family or in any, or what is missing.
    ///
    /// # Errors
    /// [`ApplyError`] when it can never work, or files cannot be read.
    pub fn find_guest(
        &self,
        domain: &Domain,
        forward: &Forward,
        family: Option<Family>,
    ) -> Result<Result<Vec<IpAddr>, Missing>, ApplyError> {
        let (ports, networks) = (self.state.ports(domain.uuid)?, self.state.networks()?);
        let attachments = attachments(domain, &ports, &networks);
        let old = self.state.record(OwnerKind::Domain, domain.uuid)?;
        let sources = AddressSources {
            leases: &leases_once(&self.paths),
            last: last_addresses(old.as_ref()),
            seen: &|bridge, mac| self.seen(bridge, mac),
        };
        Ok(find_guest(forward, family, &attachments, sources)?)
    }

    /// What every owner should have now. `known` are owners that have just been planned. An owner
    /// whose configuration has become wrong keeps what it had.
    pub(crate) fn desired(
        &mut self,
        config: &Config,
        known: Vec<Record>,
        old: &[Record],
    ) -> Result<Vec<Record>, ApplyError> {
        let old = by_owner(old);
        let given = keys(&known);
        let mut desired = known;
        let networks = self.state.networks()?;
        for network in &networks {
            let owner = Owner::from(network);
            if given.contains(&owner.key()) {
                continue;
            }
            let before = old.get(&owner.key()).copied();
            let planned = self.network_forwards(network).and_then(|forwards| {
                self.check_desired(config, &owner, &forwards, &desired, &old)?;
                let written = self.written_policy(network)?;
                self.network_record(network, &forwards, written, &networks, before)
            });
            self.add_desired(&owner, planned, before, &mut desired);
        }
        for domain in &self.state.domains()? {
            let owner = Owner::from(domain);
            if given.contains(&owner.key()) {
                continue;
            }
            let before = old.get(&owner.key()).copied();
            if let Some(prepared) = before.filter(|one| one.phase == Phase::Prepared) {
                let mut claimed = prepared.clone();
                claimed.ruleset.rules.clear();
                desired.push(claimed);
                continue;
            }
            let planned = self.domain_forwards(domain).and_then(|forwards| {
                self.check_desired(config, &owner, &forwards, &desired, &old)?;
                let plan = self.plan_domain(domain, &forwards, &networks, before)?;
                self.record_of(plan, before)
            });
            self.add_desired(&owner, planned, before, &mut desired);
        }
        Ok(desired)
    }

    /// Checks an owner against limits, itself, all others, as planned already or else as they were,
    /// and the host's programs. Nobody can have taken what it held, so an owner that asks for no more
    /// is not compared with the others again.
    fn check_desired(
        &mut self,
        config: &Config,
        owner: &Owner,
        forwards: &[Forward],
        desired: &[Record],
        old: &Records<'_>,
    ) -> Result<(), ApplyError> {
        check_alone(config, forwards)?;
        let before = old.get(&owner.key()).into_iter();
        let held: HashSet<&Claim> = before.flat_map(|one| &one.ruleset.claims).collect();
        let new = new_claims(forwards, &held);
        if new.is_empty() {
            return Ok(());
        }
        let planned = keys(desired);
        let still: Vec<&Ruleset> = old
            .values()
            .map(|record| &record.ruleset)
            .filter(|ruleset| !planned.contains(&ruleset.owner.key()))
            .filter(|ruleset| {
                self.state
                    .has_object(ruleset.owner.kind, ruleset.owner.uuid)
            })
            .collect();
        let others = desired.iter().map(|record| &record.ruleset).chain(still);
        check_others(owner, forwards, others)?;
        self.check_host(&config.limits, forwards, &held)
    }

    fn add_desired(
        &mut self,
        owner: &Owner,
        planned: Result<Record, ApplyError>,
        before: Option<&Record>,
        desired: &mut Vec<Record>,
    ) {
        match planned {
            Ok(record) if record.ruleset.is_empty() => {}
            Ok(record) => desired.push(record),
            Err(error) => {
                let keeps = ApplyError::Keeps {
                    owner: owner.clone(),
                    source: Box::new(error),
                };
                self.log_error(&keeps);
                self.kept.push(owner.clone());
                desired.extend(before.cloned());
            }
        }
    }
}

/// Where a domain's interfaces were found to be since it runs.
fn last_addresses(old: Option<&Record>) -> &[LastAddress] {
    let running = old.filter(|old| old.phase == Phase::Active);
    running.map_or(&[], |old| &old.addresses)
}

/// The leases of bridges, each read once: one reading for all of a domain's forwards.
fn leases_once(paths: &Paths) -> impl Fn(&InterfaceName) -> Rc<[Lease]> + '_ {
    let known: RefCell<BTreeMap<InterfaceName, Rc<[Lease]>>> = RefCell::default();
    move |bridge| {
        let mut known = known.borrow_mut();
        let read = || leases(paths, bridge).into();
        known.entry(bridge.clone()).or_insert_with(read).clone()
    }
}

/// The domain's interfaces on virtual networks: those of its XML, less those that were unplugged
/// since, and those that were plugged in since.
fn attachments<'a>(
    domain: &'a Domain,
    ports: &[RecordedPort],
    networks: &'a [Network],
) -> Vec<Attachment<'a>> {
    let (there, gone): (Vec<&RecordedPort>, Vec<&RecordedPort>) = ports
        .iter()
        .partition(|port| port.state == PortState::Attached);
    let has = |ports: &[&RecordedPort], mac| ports.iter().any(|port| port.mac == mac);
    let mut attachments: Vec<Attachment<'_>> = domain
        .nics
        .iter()
        .filter(|nic| has(&there, nic.mac) || !has(&gone, nic.mac))
        .filter_map(|nic| {
            let mut active = networks.iter();
            let network = match (&nic.network, &nic.bridge) {
                (Some(name), _) => active.find(|one| one.name.as_str() == name),
                // An interface that was put into a network's bridge has leases of that network's.
                (None, Some(bridge)) => active.find(|one| one.bridge.as_ref() == Some(bridge)),
                (None, None) => None,
            };
            let name = nic.network.as_deref();
            Some(Attachment {
                mac: nic.mac,
                network_name: name.or_else(|| network.map(|one| one.name.as_str()))?,
                network,
            })
        })
        .collect();
    for port in there {
        let plugged_later = attachments.iter().all(|known| known.mac != port.mac);
        let network = networks.iter().find(|network| network.uuid == port.network);
        if let (true, Some(network)) = (plugged_later, network) {
            attachments.push(Attachment {
                mac: port.mac,
                network_name: network.name.as_str(),
                network: Some(network),
            });
        }
    }
    attachments
}

/// Whose records these are.
fn keys(records: &[Record]) -> HashSet<OwnerKey> {
    records.iter().map(|one| one.ruleset.owner.key()).collect()
}

/// The current leases of a bridge; a file that cannot be read holds none.
#[must_use]
pub fn leases(paths: &Paths, bridge: &InterfaceName) -> Vec<Lease> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    files::read(&paths.leases.join(format!("{bridge}.status")))
        .ok()
        .flatten()
        .and_then(|json| parse_leases(&json, now).ok())
        .unwrap_or_default()
}
