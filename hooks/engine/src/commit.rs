//! Changes one owner's rules, trusting that the firewall holds what the records say.

use crate::engine::{Engine, LibvirtRules};
use crate::guards::append;
use crate::inputs::same_owner;
use crate::{ApplyError, BaseTables, Config, Record};
use portero_firewall::nftables::PolicyTable;
use portero_firewall::{antispoof, iptables, nftables, Firewall, Script};
use portero_model::{Owner, Ruleset};
use portero_system::{Deadline, FileError, Severity, System};

/// What the file of a record is to hold.
type RecordText = Result<Vec<u8>, FileError>;

/// How one owner's rules are changed.
enum Way {
    /// By these scripts; by none when nothing differs.
    Scripts(Vec<Script>),
    /// By these, and then by a comparison.
    ScriptsFirst(Vec<Script>),
    /// By a comparison, since nothing else can tell how.
    Comparison,
}

impl Engine<'_> {
    /// Gives an owner what its new record says; a record without claims takes everything from it.
    pub(crate) fn apply(
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
    pub(crate) fn replace(
        &mut self,
        config: &Config,
        owner: &Owner,
        new: Option<Record>,
        libvirt: LibvirtRules,
        deadline: Deadline,
    ) -> Result<(), ApplyError> {
        let base = self.state.base()?;
        let Some(base) = base.filter(|_| self.state.is_clean()) else {
            return self.reconcile(config, new.into_iter().collect(), libvirt, deadline);
        };
        let old = self.state.record(owner.kind, owner.uuid)?;
        let nothing = Ruleset::empty(owner.clone());
        let before = old.as_ref().map_or(&nothing, |old| &old.ruleset);
        let after = new.as_ref().map_or(&nothing, |new| &new.ruleset);
        let way = self.way_to(&base, before, after)?;
        let scripts = match &way {
            Way::Scripts(scripts) | Way::ScriptsFirst(scripts) => scripts.as_slice(),
            Way::Comparison => &[],
        };
        if matches!(&way, Way::Scripts(scripts) if scripts.is_empty()) {
            if old != new {
                let text = new.as_ref().map(|record| self.state.record_text(record));
                self.note(owner, text)?;
            }
            return Ok(());
        }
        self.state.mark_dirty()?;
        let (committed, text) = self.commit_with(scripts, new.as_ref(), deadline);
        if let Err(error) = &committed {
            if deadline.left().is_zero() {
                return committed;
            }
            self.log
                .write(Severity::Info, format!("comparing all rules: {error}"));
        }
        let followed = match (&committed, &way) {
            (Ok(()), Way::Scripts(_)) => self.follow(&[before], &[after], deadline).is_ok(),
            _ => false,
        };
        if !followed {
            return self.reconcile(config, new.into_iter().collect(), libvirt, deadline);
        }
        let noted = self.note(owner, text);
        self.log_change(before, after);
        let base = BaseTables {
            policies: base.policies || after.policy.is_some(),
            guards: base.guards || after.guards.is_some(),
            ..base
        };
        let noted = noted
            .and_then(|()| self.state.put_base_tables(&base))
            .and_then(|()| self.state.mark_clean());
        self.forgive(noted);
        Ok(())
    }

    /// The rules are as they shall be, so what cannot be written down of that is no failure of the
    /// event: nothing is trusted, and the next one compares.
    pub(crate) fn forgive(&mut self, noted: Result<(), FileError>) {
        if let Err(error) = noted {
            let message = format!("the next event compares all rules: {error}");
            self.log.write(Severity::Error, message);
        }
    }

    /// Commits scripts, and meanwhile puts the record of it into words: that of a thousand rules takes
    /// its time too.
    fn commit_with(
        &mut self,
        scripts: &[Script],
        record: Option<&Record>,
        deadline: Deadline,
    ) -> (Result<(), ApplyError>, Option<RecordText>) {
        let Some(record) = record else {
            return (self.commit(scripts, deadline), None);
        };
        let (state, system) = (&self.state, &mut *self.system);
        std::thread::scope(|scope| {
            let text = std::thread::Builder::new();
            let text = text.spawn_scoped(scope, || state.record_text(record));
            let committed = commit(system, scripts, deadline);
            let text = match text.map(std::thread::ScopedJoinHandle::join) {
                Ok(Ok(text)) => text,
                // A host without room for another thread has time.
                Ok(Err(_)) | Err(_) => state.record_text(record),
            };
            (committed, Some(text))
        })
    }

    /// Writes what an owner was given, or that it has nothing.
    fn note(&self, owner: &Owner, text: Option<RecordText>) -> Result<(), FileError> {
        match text {
            Some(text) => self.state.put_record_text(owner, &text?),
            None => self.state.remove_record(owner.kind, owner.uuid),
        }
    }

    /// How one owner alone is changed.
    fn way_to(&self, base: &BaseTables, old: &Ruleset, new: &Ruleset) -> Result<Way, ApplyError> {
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
        let way = match base.firewall {
            Firewall::Iptables => {
                Way::Scripts(iptables::change_owner(old, new, others, &base.libvirt))
            }
            Firewall::Nftables if old.has_rules_of(new) => Way::Scripts(Vec::new()),
            Firewall::Nftables if base.shared => Way::Comparison,
            Firewall::Nftables => {
                let (mut has_others, mut others_forward) = (false, false);
                for other in others.by_ref() {
                    has_others |= other.has_rules();
                    others_forward |= !other.rules.is_empty();
                    if others_forward {
                        break;
                    }
                }
                let policies = table(base.policies);
                let change = || {
                    let script = nftables::change_owner(old, new, &base.libvirt, policies);
                    script.into_iter().collect()
                };
                match (old.has_rules(), new.has_rules()) {
                    // With the first rules of anybody the tables come.
                    (false, _) if !has_others => {
                        let nothing = nftables::Observed::without_rules(&base.libvirt);
                        let script = nftables::reconcile(&nothing, std::slice::from_ref(new));
                        Way::Scripts(script.into_iter().collect())
                    }
                    // Others have nothing but policies: the table of forwards has to come.
                    _ if !others_forward && old.rules.is_empty() && !new.rules.is_empty() => {
                        Way::Comparison
                    }
                    // Or it has to go.
                    _ if !others_forward
                        && has_others
                        && !old.rules.is_empty()
                        && new.rules.is_empty() =>
                    {
                        Way::ScriptsFirst(change())
                    }
                    // The table of policies may have to go.
                    _ if old.policy.is_some() && new.policy.is_none() => Way::Comparison,
                    // With the last they go, and the jumps in libvirt's have to be looked for; what
                    // is forwarded no more shall not wait for that.
                    (_, false) if !has_others => Way::ScriptsFirst(change()),
                    _ => Way::Scripts(change()),
                }
            }
        };
        if let Some(error) = failed {
            return Err(error.into());
        }
        if old.guards == new.guards {
            return Ok(way);
        }
        // The table of guards may have to go.
        let (Way::Scripts(mut scripts), true) = (way, new.guards.is_some() && !base.shared) else {
            return Ok(Way::Comparison);
        };
        let guards = antispoof::change_guards(old, new, table(base.guards));
        append(&mut scripts, guards);
        Ok(Way::Scripts(scripts))
    }

    /// Commits scripts one after the other.
    pub(crate) fn commit(
        &mut self,
        scripts: &[Script],
        deadline: Deadline,
    ) -> Result<(), ApplyError> {
        commit(self.system, scripts, deadline)
    }
}

fn commit(
    system: &mut dyn System,
    scripts: &[Script],
    deadline: Deadline,
) -> Result<(), ApplyError> {
    for script in scripts {
        system.commit(script, deadline)?;
    }
    Ok(())
}
