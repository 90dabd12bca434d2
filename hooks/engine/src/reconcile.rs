//! Compares the whole firewall with what is wanted, mends what differs, and goes back to what was
//! when that fails.

use crate::config::DockerSettings;
use crate::engine::{Engine, LibvirtRules};
use crate::firewall::Choice;
use crate::state::by_owner;
use crate::{ApplyError, Config, Record};
use portero_firewall::{BaseTables, Firewall, Script};
use portero_model::Ruleset;
use portero_system::{Deadline, FileError, Flow, Severity};
use std::collections::HashSet;
use std::time::Instant;

impl Engine<'_> {
    /// All records.
    pub fn all_records(&self) -> Result<Vec<Record>, FileError> {
        self.state.all_records()
    }

    /// Brings the firewall to what all inputs ask for; `known` are owners planned already.
    pub(crate) fn reconcile(
        &mut self,
        config: &Config,
        known: Vec<Record>,
        libvirt: LibvirtRules,
        deadline: Deadline,
    ) -> Result<(), ApplyError> {
        let begin = Instant::now();
        self.preobserve(deadline.within(self.reading_limit));
        let old = self.all_records()?;
        let desired = self.desired(config, known, &old)?;
        self.log.step("rules planned");
        // What is asked for is not what there is, whether or not the firewall can be read.
        if libvirt == LibvirtRules::Coming || by_owner(&old) != by_owner(&desired) {
            self.state.mark_dirty()?;
        }
        self.state.sweep()?;
        let choice = self.choose(config, deadline)?;
        // What cannot be read is no reason to distrust anything, or to change it.
        let reading = deadline.within(self.reading_limit);
        let found = self.scripts_with_antispoof(choice.firewall, &old, &desired, reading)?;
        self.log.step("firewall read and compared");
        if choice.withdraw || !found.0.is_empty() {
            self.state.mark_dirty()?;
        }
        self.follow_bans(desired.iter().map(|record| &record.ruleset), deadline)?;
        let base = match self.commit_comparison(found, &old, &desired, deadline) {
            Ok(base) => base,
            Err(error) => {
                if !deadline.left().is_zero() {
                    if let Err(second) =
                        self.reconcile_firewall(choice.firewall, &desired, &old, deadline)
                    {
                        let message = format!("cannot go back to the rules before: {second}");
                        self.log.write(Severity::Error, message);
                    }
                }
                return Err(error);
            }
        };
        self.log.step("rules committed");
        self.log_restored(begin);
        if choice.last == Some(choice.firewall.other()) {
            self.log_moved(choice.firewall, &old);
        }
        self.follow_docker(config.docker, choice.firewall, &desired, deadline);
        let is_clean = !choice.withdraw || self.leave_other(&choice, &old, deadline);
        let mut noted = self.note_all(&old, &desired);
        if is_clean {
            noted = noted.and_then(|()| self.note_comparison(&base, libvirt));
        }
        self.log.step("records written");
        self.forgive(noted);
        Ok(())
    }

    /// Writes what everybody has now, and tells of what has changed.
    fn note_all(&mut self, old: &[Record], desired: &[Record]) -> Result<(), FileError> {
        let (before, after) = (by_owner(old), by_owner(desired));
        let mut noted = Ok(());
        for record in old {
            let owner = &record.ruleset.owner;
            if !after.contains_key(&owner.key()) {
                noted = noted.and(self.state.remove_record(owner.kind, owner.uuid));
                self.log_change(&record.ruleset, &Ruleset::empty(owner.clone()));
            }
        }
        for record in desired {
            let owner = &record.ruleset.owner;
            let before = before.get(&owner.key()).copied();
            if before != Some(record) {
                noted = noted.and(self.state.put_record(record));
                let nothing = Ruleset::empty(owner.clone());
                self.log_change(before.map_or(&nothing, |old| &old.ruleset), &record.ruleset);
            }
        }
        noted
    }

    fn note_comparison(&self, base: &BaseTables, libvirt: LibvirtRules) -> Result<(), FileError> {
        self.state.put_base_tables(base)?;
        match libvirt {
            LibvirtRules::Standing => {
                self.state.note_comparison()?;
                self.state.mark_clean()
            }
            LibvirtRules::Coming => Ok(()),
        }
    }

    /// Takes everything from both firewalls, whoever it was given to.
    pub(crate) fn clear(&mut self, config: &Config, deadline: Deadline) -> Result<(), ApplyError> {
        let old = self.all_records()?;
        self.state.mark_dirty()?;
        self.state.sweep()?;
        let choice = self.choose(config, deadline)?;
        let base = self.reconcile_firewall(choice.firewall, &old, &[], deadline)?;
        self.follow_bans(std::iter::empty(), deadline)?;
        let nobody = DockerSettings::default();
        self.follow_docker(nobody, choice.firewall, &[], deadline);
        if choice.withdraw {
            self.empty(choice.firewall.other(), &old, deadline)?;
        }
        for record in &old {
            let owner = &record.ruleset.owner;
            self.state.remove_record(owner.kind, owner.uuid)?;
            self.log_change(&record.ruleset, &Ruleset::empty(owner.clone()));
        }
        self.log_withdrawn(&old);
        Ok(self.state.put_base_tables(&base)?)
    }

    fn reconcile_firewall(
        &mut self,
        firewall: Firewall,
        old: &[Record],
        new: &[Record],
        deadline: Deadline,
    ) -> Result<BaseTables, ApplyError> {
        let found = self.scripts_with_antispoof(firewall, old, new, deadline)?;
        self.commit_comparison(found, old, new, deadline)
    }

    /// Commits what a comparison has found.
    fn commit_comparison(
        &mut self,
        (scripts, base): (Vec<Script>, BaseTables),
        old: &[Record],
        new: &[Record],
        deadline: Deadline,
    ) -> Result<BaseTables, ApplyError> {
        self.commit(&scripts, deadline)?;
        let before: Vec<&Ruleset> = old.iter().map(|record| &record.ruleset).collect();
        let after: Vec<&Ruleset> = new.iter().map(|record| &record.ruleset).collect();
        self.after_commit(&before, &after, deadline)?;
        self.reset_others(&after, deadline)?;
        Ok(base)
    }

    /// Takes everything from the firewall that is no longer used; says whether that is done. The
    /// rules are right where they belong, so whatever fails here is left for the next event.
    fn leave_other(&mut self, choice: &Choice, old: &[Record], deadline: Deadline) -> bool {
        let firewall = choice.firewall.other();
        let withdrawn = self.empty(firewall, old, deadline);
        if let Err(error) = &withdrawn {
            let message = format!("cannot take the rules from {firewall}: {error}");
            self.log.write(Severity::Error, message);
        }
        withdrawn.is_ok()
    }

    /// Takes everything from a firewall.
    fn empty(
        &mut self,
        firewall: Firewall,
        old: &[Record],
        deadline: Deadline,
    ) -> Result<(), ApplyError> {
        let (scripts, _) = self.scripts(firewall, old, &[], deadline)?;
        self.commit(&scripts, deadline)
    }

    /// What has to follow a commit: settings of the kernel's, and that UDP connections are to be
    /// forgotten that were tracked under the rules before.
    pub(crate) fn after_commit(
        &mut self,
        old: &[&Ruleset],
        new: &[&Ruleset],
        deadline: Deadline,
    ) -> Result<(), ApplyError> {
        self.set_localnet(old, new)?;
        self.set_neighbors(old, new, deadline)?;
        self.set_reply_routes(old, new, deadline)?;
        let flows = |rulesets: &[&Ruleset]| -> Vec<Flow> {
            let dnats = rulesets.iter().flat_map(|ruleset| ruleset.dnats());
            dnats.filter_map(Flow::from_dnat).collect()
        };
        let (before, after) = (flows(old), flows(new));
        let known: HashSet<&Flow> = before.iter().collect();
        let wanted: HashSet<&Flow> = after.iter().collect();
        let appeared = after.iter().filter(|flow| !known.contains(flow));
        let gone = before.iter().filter(|flow| !wanted.contains(flow));
        let changed: Vec<Flow> = appeared.chain(gone).cloned().collect();
        // The rules are right; a connection that lingers is no reason to take them back.
        let noted = match changed.is_empty() {
            true => Ok(()),
            false => self.state.note_flows(&changed),
        };
        if let Err(error) = noted {
            let message = format!("tracked UDP connections are not forgotten: {error}");
            self.log.write(Severity::Warning, message);
        }
        Ok(())
    }
}
