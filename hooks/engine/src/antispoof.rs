//! Keeps what guests may not pretend to the interfaces that they have now.

use crate::engine::{Engine, LibvirtRules};
use crate::state::PortState;
use crate::{ApplyError, Record};
use portero_firewall::{antispoof, append, BaseTables, Firewall, Script};
use portero_libvirt::MacAddress;
use portero_model::{Antispoof, Owner, OwnerKind, Ruleset};
use portero_system::Deadline;
use std::collections::BTreeSet;
use uuid::Uuid;

impl Engine<'_> {
    /// A network's antispoof with the interfaces that its guests have now, by the ports that libvirt
    /// told of.
    pub(crate) fn antispoof_now(
        &mut self,
        owner: &Owner,
        bridge: &str,
        antispoof: Antispoof,
    ) -> Result<Antispoof, ApplyError> {
        let failed = |source| ApplyError::Antispoof {
            object: owner.to_string(),
            source,
        };
        self.system.check_antispoof().map_err(failed)?;
        let ports = self.state.all_ports()?.into_iter();
        let guests: Vec<MacAddress> = ports
            .filter(|port| port.network == owner.uuid && port.state == PortState::Attached)
            .map(|port| port.mac)
            .collect();
        let taps = self.system.taps(bridge, &guests).map_err(failed)?;
        Ok(Antispoof { taps, ..antispoof })
    }

    /// The networks that a domain has interfaces on.
    pub(crate) fn networks_of(&self, domain: Uuid) -> Result<BTreeSet<Uuid>, ApplyError> {
        let ports = self.state.ports(domain)?;
        Ok(ports.iter().map(|port| port.network).collect())
    }

    /// Lets antispoof know the interfaces that guests have now, and compares nothing.
    ///
    /// # Errors
    /// [`ApplyError`].
    pub fn check_taps(&mut self) -> Result<(), ApplyError> {
        if !self.state.base()?.is_some_and(|base| base.antispoof) {
            return Ok(());
        }
        let ports = self.state.all_ports()?;
        let networks = ports.iter().map(|port| port.network).collect();
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
            let now = self.antispoof_now(&ruleset.owner, &policy.bridge, antispoof.clone())?;
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
