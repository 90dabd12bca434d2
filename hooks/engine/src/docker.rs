//! Has docker let pass what portero forwards, where docker and portero's rules are in different firewalls.
//!
//! It follows a commit and is no part of it: docker's rules are docker's, and may be made anew at any time. What fails here is
//! logged, and refuses nothing.

use crate::config::DockerSettings;
use crate::engine::Engine;
use crate::{ApplyError, Record};
use portero_firewall::docker::{docker_rules, reconcile_docker};
use portero_firewall::{Firewall, Script};
use portero_model::{Family, Ruleset};
use portero_system::{Deadline, Severity};
use std::collections::BTreeSet;

impl Engine<'_> {
    /// The scripts after which docker lets pass what these records forward.
    pub(crate) fn docker_scripts(
        &mut self,
        settings: DockerSettings,
        firewall: Firewall,
        records: &[Record],
        deadline: Deadline,
    ) -> Result<Vec<Script>, ApplyError> {
        let mut scripts = Vec::new();
        for family in Family::ALL {
            let Some(found) = self.system.observe_docker(family, deadline)? else {
                continue;
            };
            // In iptables portero's own jumps stand before docker's.
            let is_wanted = firewall == Firewall::Nftables;
            let rulesets = records.iter().map(|record| &record.ruleset);
            let rulesets = rulesets.filter(|_| is_wanted);
            let bridges = match is_wanted && settings.guests {
                true => self.bridges_behind_host()?,
                false => BTreeSet::new(),
            };
            let wanted = docker_rules(family, rulesets, &bridges);
            scripts.extend(reconcile_docker(family, &found, &wanted));
        }
        Ok(scripts)
    }

    fn bridges_behind_host(&self) -> Result<BTreeSet<String>, ApplyError> {
        let mut networks = self.state.networks()?;
        networks.retain(|network| network.mode.is_routed_by_host());
        let bridges = networks.into_iter().filter_map(|network| network.bridge);
        Ok(bridges.map(|bridge| bridge.to_string()).collect())
    }

    /// Has docker follow what is there now.
    pub(crate) fn follow_docker(
        &mut self,
        settings: DockerSettings,
        firewall: Firewall,
        records: &[Record],
        deadline: Deadline,
    ) {
        let scripts = self.docker_scripts(settings, firewall, records, deadline);
        let done = scripts.and_then(|scripts| self.commit(&scripts, deadline));
        if let Err(error) = done {
            let message = format!("docker may drop what is forwarded: {error}");
            self.log.write(Severity::Warning, message);
        }
    }

    /// The same after a change of one owner's rules, if it concerns docker.
    pub(crate) fn follow_docker_of(
        &mut self,
        settings: DockerSettings,
        firewall: Firewall,
        (before, after): (&Ruleset, &Ruleset),
        deadline: Deadline,
    ) {
        if firewall == Firewall::Iptables
            || before.guests() == after.guests()
            || !self.system.has_docker(deadline)
        {
            return;
        }
        match self.all_records() {
            Ok(records) => self.follow_docker(settings, firewall, &records, deadline),
            Err(error) => self.log.write(Severity::Warning, error),
        }
    }
}
