//! Changes one owner's rules, trusting that the firewall holds what the records say.

use super::guards::append;
use super::inputs::same_owner;
use super::{Engine, LibvirtRules};
use crate::{ApplyError, Config, Deadline, Frame, Record, Severity};
use portero_plan::nftables::PolicyTable;
use portero_plan::{iptables, nftables, Firewall, Owner, Ruleset, Script};

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
        let new = (!record.ruleset.is_empty()).then_some(record);
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
        let frame = self.state.frame()?;
        let Some(frame) = frame.filter(|_| self.state.is_trusted()) else {
            return self.reconcile(config, new.into_iter().collect(), libvirt, deadline);
        };
        let old = self.state.record(owner.kind, owner.uuid)?;
        let before = match &old {
            Some(old) => old.ruleset.clone(),
            None => Ruleset::empty(owner.clone()),
        };
        let after = match &new {
            Some(new) => new.ruleset.clone(),
            None => Ruleset::empty(before.owner.clone()),
        };
        let Some(scripts) = self.scripts_for(&frame, &before, &after)? else {
            return self.reconcile(config, new.into_iter().collect(), libvirt, deadline);
        };
        if scripts.is_empty() {
            if old != new {
                self.note(owner, new.as_ref())?;
            }
            return Ok(());
        }
        self.state.distrust()?;
        if let Err(error) = self.commit(&scripts, deadline) {
            if deadline.left().is_zero() {
                return Err(error);
            }
            self.log
                .write(Severity::Info, format!("comparing all rules: {error}"));
            return self.reconcile(config, new.into_iter().collect(), libvirt, deadline);
        }
        self.follow(&[&before], &[&after], deadline)?;
        self.note(owner, new.as_ref())?;
        self.log_change(&before, &after);
        self.state.put_frame(&Frame {
            policies: frame.policies || after.policy.is_some(),
            guards: frame.guards || after.guards.is_some(),
            ..frame
        })?;
        self.state.trust()
    }

    /// Writes what an owner was given, or that it has nothing.
    fn note(&self, owner: &Owner, record: Option<&Record>) -> Result<(), ApplyError> {
        match record {
            Some(record) => self.state.put_record(record),
            None => self.state.remove_record(owner.kind, owner.uuid),
        }
    }

    /// The scripts that change one owner alone; nothing when only a comparison can tell.
    fn scripts_for(
        &self,
        frame: &Frame,
        old: &Ruleset,
        new: &Ruleset,
    ) -> Result<Option<Vec<Script>>, ApplyError> {
        let table = |stands| match stands {
            true => PolicyTable::Standing,
            false => PolicyTable::Missing,
        };
        let mut failed = None;
        let mut others = self
            .state
            .records()?
            .filter_map(|record| record.map_err(|error| failed = Some(error)).ok())
            .map(|record| record.ruleset)
            .filter(|ruleset| !same_owner(&ruleset.owner, &new.owner));
        let scripts = match frame.firewall {
            Firewall::Iptables => Some(iptables::change_owner(old, new, others, &frame.libvirt)),
            Firewall::Nftables if old.has_rules_of(new) => Some(Vec::new()),
            Firewall::Nftables if frame.shared => None,
            Firewall::Nftables => {
                let has_others = others.any(|other| other.has_rules());
                let policies = table(frame.policies);
                match (old.has_rules(), new.has_rules()) {
                    // With the first rules of anybody the tables come, with the last they go, and
                    // the jumps in libvirt's have to be looked for.
                    (false, _) if !has_others => {
                        let nothing = nftables::Observed::without_rules(&frame.libvirt);
                        let script = nftables::reconcile(&nothing, std::slice::from_ref(new));
                        Some(script.into_iter().collect())
                    }
                    (_, false) if !has_others => None,
                    // The table of policies may have to go.
                    _ if old.policy.is_some() && new.policy.is_none() => None,
                    _ => {
                        let script = nftables::change_owner(old, new, &frame.libvirt, policies);
                        Some(script.into_iter().collect())
                    }
                }
            }
        };
        if let Some(error) = failed {
            return Err(error);
        }
        let Some(mut scripts) = scripts else {
            return Ok(None);
        };
        if old.guards == new.guards {
            return Ok(Some(scripts));
        }
        // The table of guards may have to go.
        if new.guards.is_none() || frame.shared {
            return Ok(None);
        }
        let guards = nftables::change_guards(old, new, table(frame.guards));
        append(&mut scripts, guards);
        Ok(Some(scripts))
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
