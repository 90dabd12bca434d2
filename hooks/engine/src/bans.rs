//! Mirrors the sets of addresses that forwards name as ban lists, and follows them.
//!
//! What can be wrong with a set is told and refuses nothing: who fills it may make it later, as fail2ban does at its first ban.

use crate::engine::Engine;
use crate::{ApplyError, Record};
use portero_firewall::{reconcile_bans, BanList, BanTable, Script, MOST_BANNED};
use portero_model::{Ban, NftSet, Owner, Ruleset};
use portero_system::{Deadline, Severity};
use std::collections::{BTreeMap, BTreeSet};

/// How a set that forwards name is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BanSetState {
    /// Who is in it is refused.
    Mirrored,
    /// It has changed since.
    Differs,
    /// It is not there, or cannot be mirrored as a whole; why.
    Unusable(String),
}

/// What sets hold.
type Lists = BTreeMap<NftSet, BanList>;

/// What is wrong with sets.
type Problems = BTreeMap<NftSet, String>;

fn bans_of<'r>(rulesets: impl Iterator<Item = &'r Ruleset>) -> BTreeSet<&'r Ban> {
    rulesets.flat_map(Ruleset::bans).collect()
}

fn sets_of<'b>(bans: &BTreeSet<&'b Ban>) -> BTreeSet<&'b NftSet> {
    bans.iter().map(|ban| &ban.set).collect()
}

impl Engine<'_> {
    /// The lists in these sets, and what is wrong with those that have none or are cut short.
    fn ban_lists(
        &mut self,
        sets: &BTreeSet<&NftSet>,
        deadline: Deadline,
    ) -> Result<(Lists, Problems), ApplyError> {
        let (mut lists, mut problems) = (Lists::new(), Problems::new());
        for set in sets {
            let problem = match self.system.read_set(set, deadline)? {
                None => Some("it is not there, and refuses nobody".to_owned()),
                Some(listing) => match BanList::read(&listing) {
                    Err(error) => Some(error.to_string()),
                    Ok(list) => {
                        let more = list.more;
                        lists.insert((*set).clone(), list);
                        (more > 0).then(|| {
                            format!("it has {more} elements beyond {MOST_BANNED}, which are not refused")
                        })
                    }
                },
            };
            problems.extend(problem.map(|problem| ((*set).clone(), problem)));
        }
        Ok((lists, problems))
    }

    /// The script after which the table of bans holds what these bans ask for, as the sets of others are now, and what is wrong
    /// with those.
    fn ban_script(
        &mut self,
        bans: &BTreeSet<&Ban>,
        deadline: Deadline,
    ) -> Result<(Option<Script>, Problems), ApplyError> {
        let sets = sets_of(bans);
        let (lists, problems) = self.ban_lists(&sets, deadline)?;
        let found = self.system.observe_bans(deadline)?;
        let wanted = BanTable::new(bans, &lists);
        let script = reconcile_bans(found.as_ref(), wanted.as_ref());
        Ok((script, problems))
    }

    /// The same of the bans of these records, where there are or were any.
    pub(crate) fn planned_bans(
        &mut self,
        records: &[Record],
        deadline: Deadline,
    ) -> Result<Option<Script>, ApplyError> {
        let bans = bans_of(records.iter().map(|record| &record.ruleset));
        if bans.is_empty() && self.state.ban_sets().is_empty() {
            return Ok(None);
        }
        Ok(self.ban_script(&bans, deadline)?.0)
    }

    /// Has the table of bans hold what these rulesets ask for, as the sets of others are now.
    pub(crate) fn follow_bans<'r>(
        &mut self,
        rulesets: impl Iterator<Item = &'r Ruleset>,
        deadline: Deadline,
    ) -> Result<(), ApplyError> {
        let bans = bans_of(rulesets);
        let sets = sets_of(&bans);
        let known = self.state.ban_sets();
        if sets.is_empty() && known.is_empty() {
            return Ok(());
        }
        // What is there has to be found again, whatever happens meanwhile.
        let all: BTreeSet<&NftSet> = sets.iter().copied().chain(&known).collect();
        if all.len() > known.len() {
            self.state.put_ban_sets(&all)?;
        }
        let (script, problems) = self.ban_script(&bans, deadline)?;
        for (set, problem) in problems {
            self.log
                .write(Severity::Warning, format!("set '{set}': {problem}"));
        }
        if let Some(script) = script {
            self.system.commit(&script, deadline)?;
            self.has_changed = true;
        }
        if all.len() > sets.len() {
            self.state.put_ban_sets(&sets)?;
        }
        Ok(())
    }

    /// The same where one owner's rules are about to be these.
    pub(crate) fn follow_bans_of(
        &mut self,
        owner: &Owner,
        after: &Ruleset,
        deadline: Deadline,
    ) -> Result<(), ApplyError> {
        let records: Result<Vec<Record>, _> = self.state.records_of_others(owner)?.collect();
        let records = records?;
        let others = records.iter().map(|record| &record.ruleset);
        self.follow_bans(others.chain([after]), deadline)
    }

    /// Has the table of bans follow sets that have changed. Nothing else is compared.
    ///
    /// # Errors
    /// [`ApplyError`].
    pub fn follow_changed_sets(&mut self) -> Result<(), ApplyError> {
        let (_, deadline) = self.configure_or_default();
        let _lock = self.state.lock(deadline)?;
        let records = self.all_records()?;
        self.follow_bans(records.iter().map(|record| &record.ruleset), deadline)
    }

    /// The sets that forwards name, and how each is followed.
    ///
    /// # Errors
    /// [`ApplyError`] when they cannot be read.
    pub fn ban_set_states(
        &mut self,
        deadline: Deadline,
    ) -> Result<BTreeMap<NftSet, BanSetState>, ApplyError> {
        let records = self.all_records()?;
        let bans = bans_of(records.iter().map(|record| &record.ruleset));
        let sets = sets_of(&bans);
        if sets.is_empty() {
            return Ok(BTreeMap::new());
        }
        let (script, problems) = self.ban_script(&bans, deadline)?;
        let states = sets.into_iter().map(|set| {
            let state = match (problems.get(set), &script) {
                (Some(problem), _) => BanSetState::Unusable(problem.clone()),
                (None, None) => BanSetState::Mirrored,
                (None, Some(_)) => BanSetState::Differs,
            };
            (set.clone(), state)
        });
        Ok(states.collect())
    }
}
