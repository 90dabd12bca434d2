//! Changes one owner's rules, trusting that the firewall holds what the records say.

use super::inputs::same_owner;
use super::{Engine, LibvirtRules};
use crate::{ApplyError, Config, Deadline, Record, Severity};
use portero_plan::{change_owner, Owner, Ruleset, Script};

impl Engine<'_> {
    /// Gives an owner what its new record says. When the firewall turns out to be different from
    /// the records, everything is compared and mended.
    pub(super) fn apply(
        &mut self,
        config: &Config,
        record: Record,
        libvirt: LibvirtRules,
        deadline: Deadline,
    ) -> Result<(), ApplyError> {
        if record.ruleset.claims.is_empty() {
            let owner = record.ruleset.owner.clone();
            return self.withdraw(config, &owner, libvirt, deadline);
        }
        if !self.state.is_trusted() {
            return self.reconcile(config, vec![record], libvirt, deadline);
        }
        let owner = &record.ruleset.owner;
        let old = self.state.record(owner.kind, owner.uuid)?;
        let nothing = Ruleset::empty(owner.clone());
        let before = old.as_ref().map_or(&nothing, |old| &old.ruleset);
        let scripts = self.scripts_for(before, &record.ruleset)?;
        if scripts.is_empty() {
            if old.as_ref() != Some(&record) {
                self.state.put_record(&record)?;
            }
            return Ok(());
        }
        let before = before.clone();
        self.state.distrust()?;
        if let Err(error) = self.commit(&scripts, deadline) {
            self.log
                .write(Severity::Warning, format!("mending: {error}"));
            return self.reconcile(config, vec![record], libvirt, deadline);
        }
        self.follow(&[&before], &[&record.ruleset], deadline)?;
        self.state.put_record(&record)?;
        self.log_change(&before, &record.ruleset);
        self.state.trust()
    }

    /// Takes everything from an owner.
    pub(super) fn withdraw(
        &mut self,
        config: &Config,
        owner: &Owner,
        libvirt: LibvirtRules,
        deadline: Deadline,
    ) -> Result<(), ApplyError> {
        if !self.state.is_trusted() {
            return self.reconcile(config, Vec::new(), libvirt, deadline);
        }
        let Some(old) = self.state.record(owner.kind, owner.uuid)? else {
            return Ok(());
        };
        let nothing = Ruleset::empty(old.ruleset.owner.clone());
        let scripts = self.scripts_for(&old.ruleset, &nothing)?;
        if scripts.is_empty() {
            return self.state.remove_record(owner.kind, owner.uuid);
        }
        self.state.distrust()?;
        if let Err(error) = self.commit(&scripts, deadline) {
            self.log
                .write(Severity::Warning, format!("mending: {error}"));
            return self.reconcile(config, Vec::new(), libvirt, deadline);
        }
        self.follow(&[&old.ruleset], &[&nothing], deadline)?;
        self.state.remove_record(owner.kind, owner.uuid)?;
        self.log_change(&old.ruleset, &nothing);
        self.state.trust()
    }

    fn scripts_for(&self, old: &Ruleset, new: &Ruleset) -> Result<Vec<Script>, ApplyError> {
        let mut failed = None;
        let others = self
            .state
            .records()?
            .filter_map(|record| record.map_err(|error| failed = Some(error)).ok())
            .map(|record| record.ruleset)
            .filter(|ruleset| !same_owner(&ruleset.owner, &new.owner));
        let scripts = change_owner(old, new, others);
        match failed {
            Some(error) => Err(error),
            None => Ok(scripts),
        }
    }

    /// Commits scripts one after the other.
    pub(super) fn commit(
        &mut self,
        scripts: &[Script],
        deadline: Deadline,
    ) -> Result<(), ApplyError> {
        for script in scripts {
            self.kernel.commit(script, deadline)?;
        }
        Ok(())
    }
}
