//! Keeps what guests may not pretend to the interfaces that they have now.

use crate::engine::{Engine, LibvirtRules};
use crate::state::{PortState, RecordedPort};
use crate::{ApplyError, Record};
use portero_firewall::{antispoof, append, BaseTables, Firewall, Script};
use portero_libvirt::{Driver, Nic, NicKind};
use portero_model::{Antispoof, Owner, OwnerKind, Ruleset};
use portero_system::{ChangedLink, Deadline, Severity};
use std::collections::BTreeSet;
use uuid::Uuid;

impl Engine<'_> {
    /// A network's antispoof with the interfaces that its guests have now, by the ports that libvirt
    /// told of. What else is in its bridge is told when it is new since `before`, as it was until now.
    pub(crate) fn antispoof_now(
        &mut self,
        owner: &Owner,
        bridge: &str,
        antispoof: Antispoof,
        before: Option<&Antispoof>,
    ) -> Result<Antispoof, ApplyError> {
        let failed = |source| ApplyError::Antispoof {
            object: owner.to_string(),
            source,
        };
        let guests = self.nics_on(owner.uuid)?;
        let taps = self.system.taps(bridge, &guests).map_err(failed)?;
        let mut unguarded = self.system.members(bridge).map_err(failed)?;
        // One that was guarded until now goes with its guest.
        let guarded = taps.iter().chain(before.iter().flat_map(|one| &one.taps));
        for tap in guarded {
            unguarded.remove(&tap.name);
        }
        let news = unguarded
            .iter()
            .filter(|name| before.is_none_or(|one| !one.unguarded.contains(*name)))
            .map(|name| antispoof::unguarded(name, bridge));
        self.log_each(Severity::Warning, &format!("{owner}: antispoof:"), news);
        Ok(Antispoof {
            taps,
            unguarded,
            ..antispoof
        })
    }

    /// The interfaces of guests on a network, by the ports that libvirt told of. A container's has its target, since
    /// nothing else on the host says whose it is.
    pub(crate) fn nics_on(&mut self, network: Uuid) -> Result<Vec<Nic>, ApplyError> {
        let mut ports = self.state.all_ports()?;
        ports.retain(|port| port.network == network && port.state == PortState::Attached);
        let containers = match ports.as_slice() {
            [] => Ok(Vec::new()),
            _ => self.running_domains(Driver::Lxc),
        };
        // What is wrong there is no reason to leave virtual machines unguarded.
        let containers = containers.unwrap_or_else(|error| {
            self.log.write(Severity::Warning, error);
            Vec::new()
        });
        // One MAC address may be that of several interfaces of a container, of which the bridge says which is here.
        let targets = |port: &RecordedPort| {
            let mut owners = containers.iter().map(|running| &running.domain);
            let owner = owners.find(|domain| domain.uuid == port.owner);
            let nics = owner.into_iter().flat_map(|domain| &domain.nics);
            let targets = nics.filter(|nic| nic.mac == port.mac);
            let targets: Vec<_> = targets.map(|nic| nic.target.clone()).collect();
            if targets.is_empty() {
                vec![None]
            } else {
                targets
            }
        };
        let nics = ports.iter().flat_map(|port| {
            targets(port).into_iter().map(|target| Nic {
                bridge: None,
                mac: port.mac,
                kind: NicKind::Network,
                network: None,
                target,
                settings: port.settings,
            })
        });
        Ok(nics.collect())
    }

    /// The networks that a domain has interfaces on.
    pub(crate) fn networks_of(&self, domain: Uuid) -> Result<BTreeSet<Uuid>, ApplyError> {
        let ports = self.state.ports(domain)?;
        Ok(ports.iter().map(|port| port.network).collect())
    }

    /// Lets antispoof know the interfaces that guests have now, where any of those that changed may be one of them; of all where
    /// these are not known. Nothing is compared.
    ///
    /// # Errors
    /// [`ApplyError`].
    pub fn check_taps(&mut self, changed: Option<&[ChangedLink]>) -> Result<(), ApplyError> {
        if !self.state.base()?.is_some_and(|base| base.antispoof) {
            return Ok(());
        }
        let mut networks = BTreeSet::new();
        for network in self.state.recorded_networks()? {
            let Some(record) = self.state.record(OwnerKind::Network, network)? else {
                continue;
            };
            let (Some(policy), Some(antispoof)) =
                (&record.ruleset.policy, &record.ruleset.antispoof)
            else {
                continue;
            };
            let bridge = self.system.index(&policy.bridge);
            // It may be told before it is in the bridge.
            let is_here = |link: &ChangedLink| match link.controller {
                Some(controller) => Some(controller) == bridge,
                None => {
                    antispoof::is_tap_name(&link.name)
                        || antispoof.taps.iter().any(|tap| tap.name == link.name)
                }
            };
            if changed.is_none_or(|links| links.iter().any(is_here)) {
                networks.insert(network);
            }
        }
        self.follow_taps(&networks, LibvirtRules::Standing)
    }

    /// Guests' interfaces on these networks came or went: their antispoof follows, and nothing else of
    /// them is planned anew.
    pub(crate) fn follow_taps(
        &mut self,
        networks: &BTreeSet<Uuid>,
        libvirt: LibvirtRules,
    ) -> Result<(), ApplyError> {
        if networks.is_empty() {
            return Ok(());
        }
        let (config, deadline) = self.configure_or_default();
        let _lock = self.state.lock(deadline)?;
        if self.state.base()?.is_some_and(|base| !base.antispoof) {
            return Ok(());
        }
        for network in networks {
            let Some(mut record) = self.state.record(OwnerKind::Network, *network)? else {
                continue;
            };
            let ruleset = &mut record.ruleset;
            let (Some(policy), Some(antispoof)) = (&ruleset.policy, &ruleset.antispoof) else {
                continue;
            };
            let (owner, before) = (&ruleset.owner, antispoof.clone());
            let now = self.antispoof_now(owner, &policy.bridge, before, Some(antispoof))?;
            if *antispoof != now {
                ruleset.antispoof = Some(now);
                self.apply(&config, record, libvirt, deadline)?;
            }
        }
        Ok(())
    }

    /// As [`Self::scripts`], with those of antispoof: these are nftables' whichever the firewall is.
    pub(crate) fn scripts_with_antispoof(
        &mut self,
        firewall: Firewall,
        old: &[Record],
        new: &[Record],
        deadline: Deadline,
    ) -> Result<(Vec<Script>, BaseTables), ApplyError> {
        let rulesets: Vec<Ruleset> = new.iter().map(|record| record.ruleset.clone()).collect();
        let (mut scripts, mut base) = self.scripts(firewall, old, &rulesets, deadline)?;
        let observed = self.system.observe_antispoof(deadline)?;
        append(
            &mut scripts,
            antispoof::reconcile_antispoof(&observed, &rulesets),
        );
        base.antispoof = rulesets.iter().any(|ruleset| ruleset.antispoof.is_some());
        base.shared |= antispoof::shares_antispoof(&rulesets);
        Ok((scripts, base))
    }
}
