//! What is on this host now, read at one moment: what libvirt has active, what portero gave to whom, and what the
//! firewall holds of that.
//!
//! `portero status`, `map`, `doctor`, `explain` and `policy` answer from a snapshot. It holds the lock that every event
//! takes, so that no half of an answer is of before an event and the other of after it, and it reads portero's rules once,
//! which is what takes longest; counters are read beside them where they are told. Whoever goes on to wait for something else, a guest's answer or a person, drops it
//! first: events of libvirt's wait for the lock.

use portero_engine::{ApplyError, Choice, Config, Engine, Record};
use portero_firewall::Driver;
use portero_libvirt::Network;
use portero_system::{Deadline, Lock};

/// This host at one moment.
pub struct Snapshot<'s, 'a> {
    pub(crate) engine: &'s mut Engine<'a>,
    pub(crate) config: Config,
    pub(crate) deadline: Deadline,
    /// In the order of their names.
    pub(crate) networks: Vec<Network>,
    pub(crate) records: Vec<Record>,
    pub(crate) choice: Choice,
    pub(crate) observed: Box<dyn Driver>,
    _lock: Lock,
}

/// An owner and what it was given.
#[derive(Debug, Clone)]
pub struct OwnerStatus {
    /// What it was given.
    pub record: Record,
    /// Whether all of its rules are in the firewall and can be reached.
    pub is_in_firewall: bool,
}

impl<'s, 'a> Snapshot<'s, 'a> {
    /// Waits for the lock, and reads.
    ///
    /// # Errors
    /// [`ApplyError`] when the lock is not free in time, or a file or the firewall cannot be read.
    pub fn take(engine: &'s mut Engine<'a>) -> Result<Self, ApplyError> {
        let (config, deadline) = engine.configure_or_default();
        let lock = engine.state.lock(deadline)?;
        // Whoever had to wait for it may still read.
        let deadline = Deadline::after(config.deadline());
        engine.refresh_networks()?;
        let mut networks = engine.state.networks()?;
        networks.sort_by(|a, b| a.name.cmp(&b.name));
        engine.preobserve(deadline);
        let records = engine.all_records()?;
        let choice = engine.choose(&config, deadline)?;
        let rulesets = records.iter().map(|record| &record.ruleset);
        let observed = engine.observe(choice.firewall, rulesets, deadline)?;
        Ok(Self {
            engine,
            config,
            deadline,
            networks,
            records,
            choice,
            observed,
            _lock: lock,
        })
    }

    /// All owners with what they were given, and whether the firewall has it.
    ///
    /// # Errors
    /// [`ApplyError`] when the firewall's antispoof tables cannot be read.
    pub fn owners(&mut self) -> Result<Vec<OwnerStatus>, ApplyError> {
        let antispoof = self.engine.system.observe_antispoof(self.deadline)?;
        let records = self.records.iter();
        let owners = records.map(|record| {
            let mut record = record.clone();
            // What was recorded is no less true, and an error in what is written now is told elsewhere.
            let _ = self.engine.update_pending(&mut record);
            OwnerStatus {
                is_in_firewall: self.observed.holds(&record.ruleset)
                    && antispoof.holds_antispoof(&record.ruleset),
                record,
            }
        });
        Ok(owners.collect())
    }
}
