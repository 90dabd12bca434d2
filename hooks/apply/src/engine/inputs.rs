//! Gathers what planning needs: configuration, networks, ports and leases.

use super::Engine;
use crate::config::element_in_file;
use crate::state::{Plug, RecordedPort};
use crate::{files, ApplyError, Config, Phase, Record, Severity};
use portero_event::{Domain, Element, InterfaceName, Network, ObjectName, Problem};
use portero_host_bridge::HostBridge;
use portero_plan::{Claim, Owner, OwnerKind, Ruleset};
use portero_port_forward::{
    check_others, check_own, parse, parse_leases, plan_domain, plan_network, Attachment, Forward,
    Lease, Origin, Plan,
};
use std::collections::HashSet;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

impl Engine<'_> {
    /// A domain's forwards: of its metadata, then of its file.
    pub(super) fn domain_forwards(&self, domain: &Domain) -> Result<Vec<Forward>, ApplyError> {
        let owner = Owner::new(OwnerKind::Domain, domain.uuid, &domain.name);
        self.forwards(owner, &domain.name, domain.metadata())
    }

    /// A network's forwards: of its metadata, then of its file.
    pub(super) fn network_forwards(&self, network: &Network) -> Result<Vec<Forward>, ApplyError> {
        let owner = Owner::new(OwnerKind::Network, network.uuid, &network.name);
        self.forwards(owner, &network.name, network.metadata())
    }

    fn forwards(
        &self,
        owner: Owner,
        name: &ObjectName,
        metadata: Result<Option<Element>, Problem>,
    ) -> Result<Vec<Forward>, ApplyError> {
        let kind = owner.kind;
        let mut forwards = Vec::new();
        for (element, origin) in self.elements(owner, name, metadata)? {
            forwards.extend(parse(&element, kind, &origin)?);
        }
        Ok(forwards)
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

    /// What a network says of the bridge on the host that it needs.
    pub(super) fn host_bridge(
        &self,
        network: &Network,
    ) -> Result<Option<(HostBridge, Origin)>, ApplyError> {
        let owner = Owner::new(OwnerKind::Network, network.uuid, &network.name);
        for (element, origin) in self.elements(owner, &network.name, network.metadata())? {
            let wanted = HostBridge::of(&element).map_err(|source| ApplyError::HostBridge {
                origin: origin.clone(),
                source,
            })?;
            if let Some(wanted) = wanted {
                return Ok(Some((wanted, origin)));
            }
        }
        Ok(None)
    }

    /// Plans one domain's forwards from everything known now.
    pub(super) fn plan_domain(
        &self,
        domain: &Domain,
        forwards: &[&Forward],
        networks: &[Network],
    ) -> Result<Plan, ApplyError> {
        let ports = self.state.ports(domain.uuid)?;
        let attachments = attachments(domain, &ports, networks);
        let owner = Owner::new(OwnerKind::Domain, domain.uuid, &domain.name);
        let folder = self.paths.leases.clone();
        let leases = move |bridge: &InterfaceName| leases_of(&folder, bridge);
        Ok(plan_domain(owner, forwards, &attachments, &leases)?)
    }

    /// What every owner should have now. `known` are owners that have just been planned. An owner
    /// whose configuration has become wrong keeps what it had.
    pub(super) fn desired(
        &mut self,
        config: &Config,
        known: Vec<Record>,
        old: &[Record],
    ) -> Result<Vec<Record>, ApplyError> {
        let mut desired = known;
        let networks = self.state.networks()?;
        for network in &networks {
            let owner = Owner::new(OwnerKind::Network, network.uuid, &network.name);
            let planned = self.network_forwards(network).and_then(|forwards| {
                let forwards: Vec<&Forward> = forwards.iter().collect();
                self.check_desired(config, &owner, &forwards, &desired, old)?;
                Ok(plan_network(owner.clone(), &forwards, network)?)
            });
            self.add_desired(&owner, planned, old, &mut desired);
        }
        for domain in &self.state.domains()? {
            let owner = Owner::new(OwnerKind::Domain, domain.uuid, &domain.name);
            let is_prepared = |record: &&Record| {
                same_owner(&record.ruleset.owner, &owner) && record.phase == Phase::Prepared
            };
            if let Some(prepared) = old.iter().find(is_prepared) {
                if !desired
                    .iter()
                    .any(|known| same_owner(&known.ruleset.owner, &owner))
                {
                    let mut claimed = prepared.clone();
                    claimed.ruleset.rules.clear();
                    desired.push(claimed);
                }
                continue;
            }
            let planned = self.domain_forwards(domain).and_then(|forwards| {
                let forwards: Vec<&Forward> = forwards.iter().collect();
                self.check_desired(config, &owner, &forwards, &desired, old)?;
                self.plan_domain(domain, &forwards, &networks)
            });
            self.add_desired(&owner, planned, old, &mut desired);
        }
        Ok(desired)
    }

    /// Checks an owner against limits, itself and all others: as planned already, or else as they
    /// were. Nobody can have taken what it held, so an owner that asks for no more is not compared
    /// with the others again.
    fn check_desired(
        &self,
        config: &Config,
        owner: &Owner,
        forwards: &[&Forward],
        desired: &[Record],
        old: &[Record],
    ) -> Result<(), ApplyError> {
        for forward in forwards {
            config.limits.check(forward)?;
        }
        check_own(forwards)?;
        let held: HashSet<&Claim> = old
            .iter()
            .filter(|record| same_owner(&record.ruleset.owner, owner))
            .flat_map(|record| &record.ruleset.claims)
            .collect();
        let mut claims = forwards.iter().flat_map(|forward| forward.claims());
        if claims.all(|claim| held.contains(&claim)) {
            return Ok(());
        }
        let planned = |owner: &Owner| {
            desired
                .iter()
                .any(|record| same_owner(&record.ruleset.owner, owner))
        };
        let still: Vec<&Ruleset> = old
            .iter()
            .map(|record| &record.ruleset)
            .filter(|ruleset| !planned(&ruleset.owner))
            .filter(|ruleset| {
                self.state
                    .has_object(ruleset.owner.kind, ruleset.owner.uuid)
            })
            .collect();
        let others = desired.iter().map(|record| &record.ruleset).chain(still);
        Ok(check_others(owner, forwards, others)?)
    }

    fn add_desired(
        &mut self,
        owner: &Owner,
        planned: Result<Plan, ApplyError>,
        old: &[Record],
        desired: &mut Vec<Record>,
    ) {
        if desired
            .iter()
            .any(|record| same_owner(&record.ruleset.owner, owner))
        {
            return;
        }
        let old = old
            .iter()
            .find(|record| same_owner(&record.ruleset.owner, owner));
        match planned {
            Ok(plan) if plan.ruleset.claims.is_empty() => {}
            Ok(plan) => {
                let record = self.record_of(plan, old);
                desired.push(record);
            }
            Err(error) => {
                let message = format!("{owner} keeps the rules it has: {error}");
                self.log.write(Severity::Error, message);
                desired.extend(old.cloned());
            }
        }
    }
}

/// The domain's interfaces on virtual networks: those of its XML, less those that were unplugged
/// since, and those that were plugged in since.
fn attachments<'a>(
    domain: &'a Domain,
    ports: &[RecordedPort],
    networks: &'a [Network],
) -> Vec<Attachment<'a>> {
    let (there, gone): (Vec<&RecordedPort>, Vec<&RecordedPort>) =
        ports.iter().partition(|port| port.plug == Plug::In);
    let has = |ports: &[&RecordedPort], mac| ports.iter().any(|port| port.mac == mac);
    let mut attachments: Vec<Attachment<'_>> = domain
        .nics
        .iter()
        .filter(|nic| has(&there, nic.mac) || !has(&gone, nic.mac))
        .filter_map(|nic| {
            let name = nic.network.as_deref()?;
            Some(Attachment {
                mac: nic.mac,
                network_name: name,
                network: networks
                    .iter()
                    .find(|network| network.name.as_str() == name),
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

/// Whether two owners are the same object, whatever its name is now.
pub(super) fn same_owner(a: &Owner, b: &Owner) -> bool {
    (a.kind, a.uuid) == (b.kind, b.uuid)
}

/// The current leases of a bridge; a file that cannot be read holds none.
fn leases_of(folder: &Path, bridge: &InterfaceName) -> Vec<Lease> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    files::read(&folder.join(format!("{bridge}.status")))
        .ok()
        .flatten()
        .and_then(|json| parse_leases(&json, now).ok())
        .unwrap_or_default()
}
