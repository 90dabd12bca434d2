//! Changes one owner's rules, trusting that the firewall holds what the records say.

use super::inputs::same_owner;
use super::{Engine, LibvirtRules};
use crate::{ApplyError, Config, Deadline, Record, Severity};
use portero_plan::{change_owner, Owner, Ruleset, Script};

impl Engine<'_> {
    /// Gives an owner what its new record says; a record without claims takes everything from it.
    pub(super) fn apply(
        &mut self,
        config: &Config,
        record: Record,
        libvirt: LibvirtRules,
        deadline: Deadline,
    ) -> Result<(), ApplyError> {
        let owner = record.ruleset.owner.clone();
        let new = (!record.ruleset.claims.is_empty()).then_some(record);
        self.replace(config, &owner, new, libvirt, deadline)
    }

    /// Replaces what an owner has by its new record, or by nothing. When the firewall turns out to
    /// be different from the records, everything is compared and mended.
    pub(super) fn replace(
        &mut self,
        config: &Config,
        owner: &Owner,
        new: Option<Record>,
        libvirt: LibvirtRules,
        deadline: Deadline,
    ) -> Result<(), ApplyError> {
        if !self.state.is_trusted() {
            return self.reconcile(config, new.into_iter().collect(), libvirt, deadline);
        }
        let old = self.state.record(owner.kind, owner.uuid)?;
        let before = match &old {
            Some(old) => old.ruleset.clone(),
            None => Ruleset::empty(owner.clone()),
        };
        let after = match &new {
            Some(new) => new.ruleset.clone(),
            None => Ruleset::empty(before.owner.clone()),
        };
        let scripts = self.scripts_for(&before, &after)?;
        if scripts.is_empty() {
            if old != new {
                self.note(owner, new.as_ref())?;
            }
            return Ok(());
        }
        self.state.distrust()?;
        if let Err(error) = self.commit(&scripts, deadline) {
            self.log
                .write(Severity::Warning, format!("mending: {error}"));
            return self.reconcile(config, new.into_iter().collect(), libvirt, deadline);
        }
        self.follow(&[&before], &[&after], deadline)?;
        self.note(owner, new.as_ref())?;
        self.log_change(&before, &after);
        self.state.trust()
    }

    /// Writes what an owner was given, or that it has nothing.
    fn note(&self, owner: &Owner, record: Option<&Record>) -> Result<(), ApplyError> {
        match record {
            Some(record) => self.state.put_record(record),
            None => self.state.remove_record(owner.kind, owner.uuid),
        }
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
