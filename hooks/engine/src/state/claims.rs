//! Who may hold which of the host's ports, by an index beside the records: a guest that starts beside a thousand others reads
//! one file, and the records of those alone that hold a port of its own.

use super::{ClaimsOfRecord, ClaimsOfRuleset, State};
use portero_model::{Claim, PortRange, Ruleset};
use portero_system::{files, FileError};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

/// The index, in the folder of the state.
const INDEX: &str = "claims";

/// How old a record has to be before it is in the index: one that is written anew within a tick of the kernel's clock cannot be
/// told from what it was.
const SETTLED: Duration = Duration::from_millis(50);

/// What the index says of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    version: Version,
    ports: Vec<PortRange>,
}

/// By which a file is told from one that takes its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Version {
    inode: u64,
    seconds: i64,
    nanoseconds: i64,
    size: u64,
}

impl From<&Metadata> for Version {
    fn from(file: &Metadata) -> Self {
        Self {
            inode: file.ino(),
            seconds: file.mtime(),
            nanoseconds: file.mtime_nsec(),
            size: file.size(),
        }
    }
}

impl State {
    /// All owners that may hold a port of these claims, with the ports they hold, without their rules.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn claims_near(&self, wanted: &[Claim]) -> Result<Vec<Ruleset>, FileError> {
        let folder = self.root.join("records");
        let index = self.root.join(INDEX);
        // Whatever is wrong with it, it is made anew.
        let known = files::read_own(&index)?.unwrap_or_default();
        let mut known: HashMap<String, Entry> = serde_json::from_slice(&known).unwrap_or_default();
        let (mut entries, mut near) = (HashMap::new(), Vec::new());
        let mut is_other = false;
        for name in files::names(&folder, ".json")? {
            let path = folder.join(&name);
            let Ok(file) = std::fs::metadata(&path) else {
                continue;
            };
            let version = Version::from(&file);
            let entry = known.remove(&name).filter(|one| one.version == version);
            let is_far = entry.as_ref().is_some_and(|one| !one.has_any(wanted));
            if let (Some(entry), true) = (entry, is_far) {
                entries.insert(name, entry);
                continue;
            }
            let Some(record) = self.read_record::<ClaimsOfRecord>(&path)? else {
                continue;
            };
            let ClaimsOfRuleset { owner, claims } = record.ruleset;
            let age = file
                .modified()
                .map(|time| SystemTime::now().duration_since(time));
            if matches!(age, Ok(Ok(age)) if age > SETTLED) {
                let ports = claims.iter().map(|claim| claim.ports).collect();
                is_other = true;
                entries.insert(name, Entry { version, ports });
            }
            near.push(Ruleset {
                claims,
                ..Ruleset::empty(owner)
            });
        }
        // What is left of the old one is of records that are gone, or have changed.
        if is_other || !known.is_empty() {
            let text = super::to_json(&index, &entries)?;
            files::write(&index, &text)?;
        }
        Ok(near)
    }

    /// Nobody has a record any more.
    pub(super) fn forget_claims(&self) -> Result<(), FileError> {
        files::remove(&self.root.join(INDEX))
    }
}

impl Entry {
    fn has_any(&self, wanted: &[Claim]) -> bool {
        let mut ports = self.ports.iter();
        ports.any(|own| wanted.iter().any(|claim| claim.ports.overlaps(*own)))
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::*;
    use crate::state::{Phase, Record};
    use portero_model::{Owner, OwnerKind, Protocol};
    use portero_system::Paths;
    use uuid::Uuid;

    fn claim(first: u16, last: u16) -> Claim {
        Claim {
            protocol: Protocol::Tcp,
            family: None,
            address: None,
            dev: None,
            source: None,
            ports: PortRange::new(first, last).expect("ports"),
            is_whole_address: false,
        }
    }

    fn record(number: u16, claims: Vec<Claim>) -> Record {
        let owner = Owner {
            kind: OwnerKind::Domain,
            driver: None,
            uuid: Uuid::from_u128(number.into()),
            name: format!("guest{number}"),
        };
        Record {
            phase: Phase::Active,
            ruleset: Ruleset {
                claims,
                ..Ruleset::empty(owner)
            },
            pending: Vec::new(),
            addresses: Vec::new(),
        }
    }

    /// The names of those near.
    fn near(state: &State, first: u16, last: u16) -> Vec<String> {
        let near = state.claims_near(&[claim(first, last)]).expect("claims");
        let mut names: Vec<String> = near.into_iter().map(|one| one.owner.name).collect();
        names.sort();
        names
    }

    /// As if a record had been written so long ago, however long the machine takes for it; one of the time to come stays new.
    fn was_written(state: &State, number: u16, time: SystemTime) {
        let owner = record(number, Vec::new()).ruleset.owner;
        let file = std::fs::File::options()
            .write(true)
            .open(state.record_path(owner.kind, owner.uuid));
        let file = file.expect("a record");
        file.set_modified(time).expect("its time is set");
    }

    #[test]
    fn only_who_holds_a_port_is_near_once_the_records_are_old() {
        let root = tempfile::tempdir().expect("a folder");
        let state = State::new(&Paths::below(root.path()));
        let (old, new) = (
            SystemTime::UNIX_EPOCH,
            SystemTime::now() + SETTLED * 100_000,
        );
        for number in 1..=3 {
            let first = 8000 + 10 * number;
            let record = record(number, vec![claim(first, first + 9), claim(99, 99)]);
            state.put_record(&record).expect("a record");
            was_written(&state, number, new);
        }
        // What is new is read: it may change again before the clock does.
        assert_eq!(near(&state, 8015, 8015), ["guest1", "guest2", "guest3"]);
        (1..=3).for_each(|number| was_written(&state, number, old));
        assert_eq!(near(&state, 1, 1).len(), 3);
        assert_eq!(near(&state, 8015, 8015), ["guest1"]);
        assert_eq!(near(&state, 8019, 8020), ["guest1", "guest2"]);
        assert_eq!(near(&state, 99, 99).len(), 3);
        assert_eq!(near(&state, 1, 1), [""; 0]);
        // Another record in the place of one, one that goes, and an index that is none.
        let other = record(1, vec![claim(1, 5)]);
        state.put_record(&other).expect("a record");
        was_written(&state, 1, new);
        assert_eq!(near(&state, 1, 1), ["guest1"]);
        assert_eq!(near(&state, 8019, 8019), ["guest1"], "it is new");
        let owner = &record(2, Vec::new()).ruleset.owner;
        state
            .remove_record(owner.kind, owner.uuid)
            .expect("removed");
        was_written(&state, 1, old);
        assert_eq!(near(&state, 8019, 8020), ["guest1"]);
        assert_eq!(near(&state, 8019, 8020), [""; 0]);
        files::write(&state.root.join(INDEX), b"[nonsense").expect("a file");
        assert_eq!(near(&state, 1, 1), ["guest1", "guest3"]);
        assert_eq!(near(&state, 1, 1), ["guest1"]);
    }
}
