//! Changes one owner's rules, trusting that the firewall holds what the records say.

use crate::engine::{Engine, LibvirtRules};
use crate::{ApplyError, Config, Record};
use portero_firewall::{change_owner, BaseTables, Change, Command, Script};
use portero_model::{Owner, Ruleset};
use portero_system::{Deadline, FileError, Severity, System};

/// From so many rules or elements on a record is put into words by another thread.
const MANY: usize = 100;

/// About how long a line of iptables' is.
const LINE: usize = 100;

/// What the file of a record is to hold.
type RecordText = Result<Vec<u8>, FileError>;

impl Engine<'_> {
    /// Gives an owner what its new record says; a record without claims takes everything from it.
    pub(crate) fn apply(
        &mut self,
        config: &Config,
        record: Record,
        libvirt: LibvirtRules,
        deadline: Deadline,
    ) -> Result<(), ApplyError> {
        let owner = &record.ruleset.owner;
        let old = self.state.record(owner.kind, owner.uuid)?;
        self.apply_after(config, old, record, libvirt, deadline)
    }

    /// The same where what it had before is known: a record of thousands of forwards is not read twice.
    pub(crate) fn apply_after(
        &mut self,
        config: &Config,
        old: Option<Record>,
        record: Record,
        libvirt: LibvirtRules,
        deadline: Deadline,
    ) -> Result<(), ApplyError> {
        let owner = record.ruleset.owner.clone();
        let new = (!record.ruleset.is_empty()).then_some(record);
        self.replace(config, &owner, (old, new), libvirt, deadline)
    }

    /// Replaces what an owner has by its new record, or by nothing. When the firewall turns out to
    /// be different from the records, everything is compared and mended.
    pub(crate) fn replace(
        &mut self,
        config: &Config,
        owner: &Owner,
        (old, new): (Option<Record>, Option<Record>),
        libvirt: LibvirtRules,
        deadline: Deadline,
    ) -> Result<(), ApplyError> {
        let base = self.state.base()?;
        let Some(base) = base.filter(|_| self.state.is_clean()) else {
            return self.reconcile(config, new.into_iter().collect(), libvirt, deadline);
        };
        let nothing = Ruleset::empty(owner.clone());
        let before = old.as_ref().map_or(&nothing, |old| &old.ruleset);
        let after = new.as_ref().map_or(&nothing, |new| &new.ruleset);
        let change = self.change(&base, before, after)?;
        let scripts = match &change {
            Change::Scripts(scripts) | Change::ScriptsFirst(scripts) => scripts.as_slice(),
            Change::Comparison => &[],
        };
        // Nobody who is banned gets in between, neither before nor after.
        let bans = after.bans().next().is_some();
        let banned = !bans && before.bans().next().is_some();
        if bans {
            self.follow_bans_of(owner, after, deadline)?;
        }
        if matches!(&change, Change::Scripts(scripts) if scripts.is_empty()) {
            if old != new {
                let text = new.as_ref().map(|record| self.state.record_text(record));
                self.note(owner, text)?;
            }
            if banned {
                self.follow_bans_of(owner, after, deadline)?;
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
        let followed = match (&committed, &change) {
            (Ok(()), Change::Scripts(_)) => {
                self.after_commit(&[before], &[after], deadline).is_ok()
            }
            _ => false,
        };
        if !followed {
            return self.reconcile(config, new.into_iter().collect(), libvirt, deadline);
        }
        self.log.step("rules committed");
        let noted = self.note(owner, text);
        self.log_change(before, after);
        if banned {
            self.follow_bans_of(owner, after, deadline)?;
        }
        self.follow_docker_of(config.docker, base.firewall, (before, after), deadline);
        let base = BaseTables {
            policies: base.policies || after.policy.is_some(),
            antispoof: base.antispoof || after.antispoof.is_some(),
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

    /// Commits scripts, and puts the record of it into words: by another thread, if that takes longer than to start one.
    fn commit_with(
        &mut self,
        scripts: &[Script],
        record: Option<&Record>,
        deadline: Deadline,
    ) -> (Result<(), ApplyError>, Option<RecordText>) {
        let Some(record) = record else {
            return (self.commit(scripts, deadline), None);
        };
        if length(scripts) < MANY {
            // First, since a program that takes the rules, if there is one, is just starting.
            let text = self.state.record_text(record);
            return (self.commit(scripts, deadline), Some(text));
        }
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
    fn change(&self, base: &BaseTables, old: &Ruleset, new: &Ruleset) -> Result<Change, FileError> {
        let mut failed = None;
        let mut others = self
            .state
            .records_of_others(&new.owner)?
            .filter_map(|record| record.map_err(|error| failed = Some(error)).ok())
            .map(|record| record.ruleset);
        let change = change_owner(base, old, new, &mut others);
        drop(others);
        failed.map_or(Ok(change), Err)
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

/// About how many rules and elements there are in scripts, and so in the record of them.
fn length(scripts: &[Script]) -> usize {
    let commands = scripts.iter().flat_map(|script| &script.commands);
    let lengths = commands.map(|command| match command {
        Command::Text(text) => text.len() / LINE,
        Command::Elements(change) => change.elements.len(),
        Command::Object(_) => 1,
    });
    lengths.sum()
}
