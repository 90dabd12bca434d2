//! /run/portero: the last known XML of each active object, and what each owner was given.
//!
//! Inputs are the state: rules can be planned anew from the XML and the configuration at any time.
//! The records beside them say what was committed last, and `base` in which firewall, so that an
//! event can change one owner without reading the firewall, and so that exactly that can be removed
//! again. `clean` is there while the firewall holds what the records say; it goes before each
//! commit and comes back after, so an event that was killed, or a daemon that may have changed the
//! order of rules, leaves the next one to compare and mend.

mod claims;
mod ports;
mod watched;

pub use ports::{PortState, RecordedPort};
pub use watched::{Watched, WatchedErrors};

pub(crate) use ports::OutdatedPort;

use portero_firewall::BaseTables;
use portero_libvirt::{Domain, Network, Status};
use portero_model::{Claim, NftSet, Owner, OwnerKey, OwnerKind, Pending, Ruleset};
use portero_port_forward::LastAddress;

use portero_system::{files, side_by_side, Deadline, FileError, Flow, Lock, Paths};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use uuid::Uuid;

/// How long one comparison serves all guests that a starting daemon finds running.
const COMPARED_RECENTLY: Duration = Duration::from_secs(5);

/// Where flows stand that are still to be forgotten.
const FLOWS: &str = "flows";

/// Where the sets stand that are mirrored.
const BANS: &str = "bans";

/// From so many owners on it is worth threads to read what there is of them.
const MANY: usize = 100;

/// How many threads read many files. How many processors there are is not asked: a hook may not read the files that tell it.
const READERS: usize = 4;

/// How long an object may take to start, before it counts as one that failed to.
const LONGEST_START: Duration = Duration::from_secs(300);

/// What an owner was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// How far the owner is.
    pub phase: Phase,
    /// Its claims and rules.
    pub ruleset: Ruleset,
    /// Forwards whose rules have to wait.
    pub pending: Vec<Pending>,
    /// Of a domain, where its interfaces were found to be since it runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<LastAddress>,
}

/// Records by whose they are.
pub(crate) type Records<'r> = BTreeMap<OwnerKey, &'r Record>;

/// Finds records by whose they are.
#[must_use]
pub fn by_owner(records: &[Record]) -> Records<'_> {
    let owners = records.iter().map(|one| (one.ruleset.owner.key(), one));
    owners.collect()
}

/// A setting of the kernel's that portero changes, and changes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// `net.ipv4.conf.BRIDGE.route_localnet`, by the bridge.
    Localnet,
    /// `net.ipv6.conf.DEV.proxy_ndp`, by the interface.
    ProxyNdp,
    /// An address that the host answers for, by interface and address.
    Neighbor,
    /// A mark that answers are routed by, as [`portero_model::ReplyRoute`] writes it.
    ReplyRoute,
}

impl Setting {
    fn folder(self) -> &'static str {
        match self {
            Self::Localnet => "localnet",
            Self::ProxyNdp => "proxy_ndp",
            Self::Neighbor => "neighbors",
            Self::ReplyRoute => "reply_routes",
        }
    }
}

/// How far an owner is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Its ports are claimed; it does not run yet.
    Prepared,
    /// Its rules are wanted.
    Active,
}

/// What of a record says how far its owner is.
#[derive(Deserialize)]
struct PhaseOfRecord {
    phase: Phase,
}

/// What of a record says who holds which ports.
#[derive(Deserialize)]
struct ClaimsOfRecord {
    ruleset: ClaimsOfRuleset,
}

#[derive(Deserialize)]
struct ClaimsOfRuleset {
    owner: Owner,
    claims: Vec<Claim>,
}

/// The folder with portero's state.
#[derive(Debug, Clone)]
pub struct State {
    root: PathBuf,
    /// By the names of their files: a comparison asks for each domain twice.
    domains: Arc<Mutex<HashMap<String, Arc<DomainFile>>>>,
}

/// A domain's file as it was read last.
#[derive(Debug)]
struct DomainFile {
    xml: Vec<u8>,
    domain: Option<Domain>,
}

impl State {
    /// The state below [`Paths::state`]; folders are made when something is written.
    #[must_use]
    pub fn new(paths: &Paths) -> Self {
        Self {
            root: paths.state.clone(),
            domains: Arc::default(),
        }
    }

    /// Makes a folder of the state, if it is not there, in which nobody else can write.
    fn make(&self, folder: &Path) -> Result<(), FileError> {
        files::make_folder(folder)?;
        files::check_own_folder(&self.root)?;
        files::check_own_folder(folder)
    }

    /// Takes the lock that is held while one event reads, plans and commits, and by the programs that
    /// it starts meanwhile.
    ///
    /// # Errors
    /// [`FileError`] when another holds it until the deadline; [`FileError`].
    pub fn lock(&self, deadline: Deadline) -> Result<Lock, FileError> {
        self.make(&self.root)?;
        let path = self.root.join("lock");
        Lock::take(&path, deadline)?.pass_on(&path)
    }

    /// Whether the firewall holds what the records say.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.root.join("clean").exists()
    }

    /// Says that the firewall holds what the records say.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn mark_clean(&self) -> Result<(), FileError> {
        files::write(&self.root.join("clean"), b"")
    }

    /// Says that the firewall may differ from the records.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn mark_dirty(&self) -> Result<(), FileError> {
        files::remove(&self.root.join("clean"))
    }

    /// Whether the whole firewall was compared with the records within [`COMPARED_RECENTLY`].
    #[must_use]
    pub fn was_compared_recently(&self) -> bool {
        std::fs::metadata(self.root.join("compared"))
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|time| {
                let age = SystemTime::now().duration_since(time);
                age.is_ok_and(|age| age < COMPARED_RECENTLY)
            })
    }

    /// Notes that the whole firewall was compared with the records.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn note_comparison(&self) -> Result<(), FileError> {
        files::write(&self.root.join("compared"), b"")
    }

    /// Where the rules were put last; nothing when that is not known.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn base(&self) -> Result<Option<BaseTables>, FileError> {
        let content = files::read_own(&self.root.join("base"))?;
        Ok(content.and_then(|content| serde_json::from_slice(&content).ok()))
    }

    /// Notes where the rules are.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn put_base_tables(&self, base: &BaseTables) -> Result<(), FileError> {
        if self.base()?.as_ref() == Some(base) {
            return Ok(());
        }
        write_json(&self.root.join("base"), base)
    }

    /// Whether there is any record.
    #[must_use]
    pub fn has_records(&self) -> bool {
        let records = std::fs::read_dir(self.root.join("records"));
        let mut records = records.into_iter().flatten().flatten();
        records.any(|record| record.file_name().as_encoded_bytes().ends_with(b".json"))
    }

    /// Whether the XML of any domain with forwards is kept.
    #[must_use]
    pub fn has_domains(&self) -> bool {
        let folder = self.objects_path(OwnerKind::Domain);
        files::names(&folder, ".xml").is_ok_and(|names| !names.is_empty())
    }

    /// Whether so many have records that to read all takes long.
    pub(crate) fn has_many_records(&self) -> bool {
        let names = files::names(&self.root.join("records"), ".json");
        names.is_ok_and(|names| names.len() >= MANY)
    }

    fn record_path(&self, kind: OwnerKind, uuid: Uuid) -> PathBuf {
        let name = format!("{}-{uuid}.json", kind.name());
        self.root.join("records").join(name)
    }

    /// Whether an owner has a record.
    #[must_use]
    pub fn has_record(&self, kind: OwnerKind, uuid: Uuid) -> bool {
        self.record_path(kind, uuid).exists()
    }

    /// The networks that have a record.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn recorded_networks(&self) -> Result<BTreeSet<Uuid>, FileError> {
        let prefix = format!("{}-", OwnerKind::Network.name());
        let names = files::names(&self.root.join("records"), ".json")?;
        let uuids = names.iter().filter_map(|name| {
            let uuid = name.strip_prefix(&prefix)?.strip_suffix(".json")?;
            Uuid::try_parse(uuid).ok()
        });
        Ok(uuids.collect())
    }

    /// An owner's record. One that cannot be understood counts as none, and the state is not
    /// trusted any more.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn record(&self, kind: OwnerKind, uuid: Uuid) -> Result<Option<Record>, FileError> {
        self.read_record(&self.record_path(kind, uuid))
    }

    /// How far an owner is whose record there is, whether or not the rest of that can be understood.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn phase(&self, kind: OwnerKind, uuid: Uuid) -> Result<Option<Phase>, FileError> {
        let record = self.read_record(&self.record_path(kind, uuid))?;
        Ok(record.map(|PhaseOfRecord { phase }| phase))
    }

    fn read_record<T: DeserializeOwned>(&self, path: &Path) -> Result<Option<T>, FileError> {
        let Some(content) = files::read_own(path)? else {
            return Ok(None);
        };
        match serde_json::from_slice(&content) {
            Ok(record) => Ok(Some(record)),
            Err(_) => {
                self.mark_dirty()?;
                Ok(None)
            }
        }
    }

    /// All records, in the order of their names, read one by one as they are asked for.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn records(
        &self,
    ) -> Result<impl Iterator<Item = Result<Record, FileError>> + '_, FileError> {
        self.read_records(None)
    }

    /// All of them at once.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn all_records(&self) -> Result<Vec<Record>, FileError> {
        let folder = self.root.join("records");
        let names = files::names(&folder, ".json")?;
        read_all(&names, |name| self.read_record(&folder.join(name)))
    }

    /// Those of everybody else.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn records_of_others(
        &self,
        owner: &Owner,
    ) -> Result<impl Iterator<Item = Result<Record, FileError>> + '_, FileError> {
        self.read_records(Some(self.record_path(owner.kind, owner.uuid)))
    }

    /// All records but one.
    fn read_records(
        &self,
        but: Option<PathBuf>,
    ) -> Result<impl Iterator<Item = Result<Record, FileError>> + '_, FileError> {
        let folder = self.root.join("records");
        let names = files::names(&folder, ".json")?;
        let paths = names.into_iter().map(move |name| folder.join(name));
        let paths = paths.filter(move |path| but.as_ref() != Some(path));
        Ok(paths.filter_map(|path| self.read_record(&path).transpose()))
    }

    /// Writes an owner's record.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn put_record(&self, record: &Record) -> Result<(), FileError> {
        self.put_record_text(&record.ruleset.owner, &self.record_text(record)?)
    }

    /// What the file of a record holds.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn record_text(&self, record: &Record) -> Result<Vec<u8>, FileError> {
        let owner = &record.ruleset.owner;
        to_json(&self.record_path(owner.kind, owner.uuid), record)
    }

    /// Writes an owner's record as [`State::record_text`] gives it.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn put_record_text(&self, owner: &Owner, text: &[u8]) -> Result<(), FileError> {
        self.make(&self.root.join("records"))?;
        files::write(&self.record_path(owner.kind, owner.uuid), text)
    }

    /// Removes an owner's record.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn remove_record(&self, kind: OwnerKind, uuid: Uuid) -> Result<(), FileError> {
        files::remove(&self.record_path(kind, uuid))?;
        match self.has_records() {
            true => Ok(()),
            false => self.forget_claims(),
        }
    }

    fn objects_path(&self, kind: OwnerKind) -> PathBuf {
        self.root.join(match kind {
            OwnerKind::Domain => "domains",
            OwnerKind::Network => "networks",
        })
    }

    fn object_path(&self, kind: OwnerKind, uuid: Uuid) -> PathBuf {
        self.objects_path(kind).join(object_file(uuid))
    }

    /// Whether an object's XML is kept.
    #[must_use]
    pub fn has_object(&self, kind: OwnerKind, uuid: Uuid) -> bool {
        self.object_path(kind, uuid).exists()
    }

    /// Keeps what libvirt said of an object; nothing is written when it says the same again.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn put_object(&self, kind: OwnerKind, uuid: Uuid, xml: &[u8]) -> Result<(), FileError> {
        let xml = match kind {
            OwnerKind::Domain => xml,
            // A network hook gets the network within `<hookData>`.
            OwnerKind::Network => {
                Status::read(xml, kind.name()).map_or(xml, |status| status.object.as_bytes())
            }
        };
        let path = self.object_path(kind, uuid);
        if files::read_own(&path)?.as_deref() == Some(xml) {
            return Ok(());
        }
        if let Some(folder) = path.parent() {
            self.make(folder)?;
        }
        files::write(&path, xml)
    }

    /// Forgets an object's XML.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn remove_object(&self, kind: OwnerKind, uuid: Uuid) -> Result<(), FileError> {
        self.parsed().remove(&object_file(uuid));
        files::remove(&self.object_path(kind, uuid))
    }

    /// A domain whose XML is kept; nothing when its file cannot be understood.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn domain(&self, uuid: Uuid) -> Result<Option<Domain>, FileError> {
        let content = files::read_own(&self.object_path(OwnerKind::Domain, uuid))?;
        Ok(content.and_then(|xml| self.domain_of(&object_file(uuid), xml)))
    }

    /// An active network; nothing when there is none of the UUID, or its file cannot be understood.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn network(&self, uuid: Uuid) -> Result<Option<Network>, FileError> {
        let content = files::read_own(&self.object_path(OwnerKind::Network, uuid))?;
        Ok(content.and_then(|xml| Network::read(&xml)))
    }

    /// All domains whose XML is kept; files that cannot be understood are passed over.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn domains(&self) -> Result<Vec<Domain>, FileError> {
        self.objects(OwnerKind::Domain, None, |name, xml| {
            self.domain_of(name, xml)
        })
    }

    /// All active networks; files that cannot be understood are passed over.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn networks(&self) -> Result<Vec<Network>, FileError> {
        self.objects(OwnerKind::Network, None, |_, xml| Network::read(&xml))
    }

    /// All active networks, `known` among them as it is and not as it was written.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn networks_with(&self, known: &Network) -> Result<Vec<Network>, FileError> {
        let mut networks = vec![known.clone()];
        let read = |_: &str, xml: Vec<u8>| Network::read(&xml);
        networks.extend(self.objects(OwnerKind::Network, Some(known.uuid), read)?);
        Ok(networks)
    }

    /// Forgets objects that are not among the active ones, unless they may be just starting.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn forget_others(
        &self,
        kind: OwnerKind,
        is_active: impl Fn(Uuid) -> bool,
    ) -> Result<(), FileError> {
        for uuid in self.others(kind, is_active)? {
            self.remove_object(kind, uuid)?;
        }
        Ok(())
    }

    /// The objects that [`State::forget_others`] forgets.
    ///
    /// # Errors
    /// [`FileError`].
    pub(crate) fn others(
        &self,
        kind: OwnerKind,
        is_active: impl Fn(Uuid) -> bool,
    ) -> Result<Vec<Uuid>, FileError> {
        let names = files::names(&self.objects_path(kind), ".xml")?;
        let uuids = names.iter().filter_map(|name| {
            let uuid = Uuid::try_parse(name.strip_suffix(".xml")?).ok()?;
            (!is_active(uuid) && is_older_than_a_start(&self.object_path(kind, uuid)))
                .then_some(uuid)
        });
        Ok(uuids.collect())
    }

    /// The domain in a file, by what was read there last where that is the same.
    fn domain_of(&self, file: &str, xml: Vec<u8>) -> Option<Domain> {
        let known = self.parsed().get(file).cloned();
        if let Some(known) = known.filter(|known| known.xml == xml) {
            return known.domain.clone();
        }
        let domain = Domain::read(&xml);
        let read = DomainFile {
            xml,
            domain: domain.clone(),
        };
        self.parsed().insert(file.to_owned(), Arc::new(read));
        domain
    }

    fn parsed(&self) -> MutexGuard<'_, HashMap<String, Arc<DomainFile>>> {
        let parsed = self.domains.lock();
        parsed.unwrap_or_else(PoisonError::into_inner)
    }

    /// All objects of a kind but one.
    fn objects<T: Send>(
        &self,
        kind: OwnerKind,
        but: Option<Uuid>,
        read: impl Fn(&str, Vec<u8>) -> Option<T> + Sync,
    ) -> Result<Vec<T>, FileError> {
        let folder = self.objects_path(kind);
        let but = but.map(object_file);
        let mut names = files::names(&folder, ".xml")?;
        names.retain(|name| Some(name) != but.as_ref());
        read_all(&names, |name| {
            let content = files::read_own(&folder.join(name))?;
            Ok(content.and_then(|content| read(name, content)))
        })
    }

    /// Whether portero has changed a setting.
    #[must_use]
    pub fn has_changed(&self, setting: Setting, which: &str) -> bool {
        self.root.join(setting.folder()).join(which).exists()
    }

    /// All of a kind that portero has changed, or was about to when it was killed.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn changes(&self, setting: Setting) -> Result<Vec<String>, FileError> {
        files::names(&self.root.join(setting.folder()), "")
    }

    /// Notes that portero changes a setting.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn note_change(&self, setting: Setting, which: &str) -> Result<(), FileError> {
        let folder = self.root.join(setting.folder());
        self.make(&folder)?;
        files::write(&folder.join(which), b"")
    }

    /// Notes that a setting is what it was before.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn forget_change(&self, setting: Setting, which: &str) -> Result<(), FileError> {
        files::remove(&self.root.join(setting.folder()).join(which))
    }

    /// The sets of others that are mirrored, as it was noted last; none where that cannot be read.
    #[must_use]
    pub fn ban_sets(&self) -> BTreeSet<NftSet> {
        let content = files::read_own(&self.root.join(BANS)).ok().flatten();
        let sets = content.and_then(|content| serde_json::from_slice(&content).ok());
        sets.unwrap_or_default()
    }

    /// Notes which sets of others are mirrored.
    ///
    /// # Errors
    /// [`FileError`].
    pub(crate) fn put_ban_sets(&self, sets: &BTreeSet<&NftSet>) -> Result<(), FileError> {
        let path = self.root.join(BANS);
        if sets.is_empty() {
            return files::remove(&path);
        }
        self.make(&self.root)?;
        write_json(&path, sets)
    }

    /// Notes flows that this process has yet to forget.
    ///
    /// # Errors
    /// [`FileError`].
    pub(crate) fn note_flows(&self, flows: &[Flow]) -> Result<(), FileError> {
        let folder = self.root.join(FLOWS);
        self.make(&folder)?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let nanoseconds = now.map_or(0, |now| now.as_nanos());
        let name = format!("{}-{nanoseconds}.json", std::process::id());
        write_json(&folder.join(name), &flows)
    }

    /// The files with flows that were noted, each with the process that noted it.
    pub(crate) fn noted_flows(&self) -> Vec<(PathBuf, u32)> {
        let folder = self.root.join(FLOWS);
        // Who may not read them forgets nothing either.
        let names = files::names(&folder, ".json").unwrap_or_default();
        let noted = names.into_iter().filter_map(|name| {
            let process = name.split('-').next()?.parse().ok()?;
            Some((folder.join(name), process))
        });
        noted.collect()
    }

    /// The flows of such a file; none when it is gone or cannot be understood.
    pub(crate) fn flows(&self, path: &Path) -> Vec<Flow> {
        let content = files::read_own(path).ok().flatten();
        let flows = content.and_then(|content| serde_json::from_slice(&content).ok());
        flows.unwrap_or_default()
    }

    /// Removes temporary files that killed events have left.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn sweep(&self) -> Result<(), FileError> {
        for folder in [
            "",
            "records",
            "domains",
            "networks",
            "localnet",
            "proxy_ndp",
            "neighbors",
            "reply_routes",
            FLOWS,
        ] {
            let folder = self.root.join(folder);
            for name in files::names(&folder, ".new")? {
                files::remove(&folder.join(name))?;
            }
        }
        Ok(())
    }
}

/// Whether a file was written so long ago that what it tells of cannot be just starting.
fn is_older_than_a_start(path: &Path) -> bool {
    let written = std::fs::metadata(path).and_then(|file| file.modified());
    let age = written.ok().and_then(|written| written.elapsed().ok());
    age.is_some_and(|age| age > LONGEST_START)
}

/// The name of the file that holds what libvirt wrote of an object.
fn object_file(uuid: Uuid) -> String {
    format!("{uuid}.xml")
}

/// Reads files, in the order of their names; many of them by several threads.
fn read_all<T: Send>(
    names: &[String],
    read: impl Fn(&str) -> Result<Option<T>, FileError> + Sync,
) -> Result<Vec<T>, FileError> {
    let readers = if names.len() < MANY { 1 } else { READERS };
    let length = names.len().div_ceil(readers).max(1);
    let parts: Vec<&[String]> = names.chunks(length).collect();
    let found = side_by_side(&parts, readers, |names| -> Result<Vec<T>, FileError> {
        let found = names.iter().filter_map(|name| read(name).transpose());
        found.collect()
    });
    let found: Vec<Vec<T>> = found.into_iter().collect::<Result<_, _>>()?;
    Ok(found.into_iter().flatten().collect())
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), FileError> {
    files::write(path, &to_json(path, value)?)
}

fn to_json(path: &Path, value: &impl Serialize) -> Result<Vec<u8>, FileError> {
    serde_json::to_vec(value).map_err(|error| FileError::Io {
        action: "write",
        path: path.to_owned(),
        source: error.into(),
    })
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::*;
    use nix::fcntl::{fcntl, FcntlArg, FdFlag};
    use std::fs::{self, File};

    /// `portero_system::Lock` has the test of what that does: a program holds the lock of an event that was killed.
    #[test]
    fn programs_that_an_event_starts_hold_its_lock_too() {
        let root = tempfile::tempdir().expect("a folder");
        let paths = Paths::below(root.path());
        let deadline = Deadline::after(Duration::from_secs(10));
        let _lock = State::new(&paths).lock(deadline).expect("the lock");
        let path = paths.state.join("lock");
        let descriptors = fs::read_dir("/proc/self/fd").expect("descriptors");
        let held = descriptors
            .flatten()
            .find(|entry| fs::read_link(entry.path()).is_ok_and(|to| to == path))
            .expect("the lock's file is open");
        let flags = fs::read_to_string(Path::new("/proc/self/fdinfo").join(held.file_name()));
        let flags = flags.expect("what the kernel knows of it");
        let line = flags.lines().find_map(|line| line.strip_prefix("flags:"));
        let bits = i32::from_str_radix(line.expect("flags").trim(), 8).expect("octal");
        assert_eq!(bits & nix::libc::O_CLOEXEC, 0, "{flags}");
        // The control: a file that nobody passes on.
        let other = File::open(&path).expect("the file");
        let flag = fcntl(&other, FcntlArg::F_GETFD).expect("its flag");
        assert_eq!(flag, FdFlag::FD_CLOEXEC.bits());
    }

    fn state(root: &Path) -> State {
        let paths = Paths::below(root);
        fs::create_dir_all(&paths.state).expect("a folder");
        State::new(&paths)
    }

    #[test]
    fn many_records_are_read_as_few_are() {
        let root = tempfile::tempdir().expect("a folder");
        let state = state(root.path());
        let record = |number: usize| Record {
            phase: Phase::Active,
            ruleset: Ruleset::empty(Owner {
                kind: OwnerKind::Domain,
                driver: None,
                uuid: Uuid::from_u128(number as u128),
                name: format!("guest{number}"),
            }),
            pending: Vec::new(),
            addresses: Vec::new(),
        };
        let mut records = Vec::new();
        for number in 0..=MANY {
            // Before, at and behind the number from which threads read them.
            assert_eq!(state.has_many_records(), number >= MANY);
            records.push(record(number));
            state.put_record(&records[number]).expect("a record");
            if number + 2 > MANY {
                assert!(state.all_records().expect("records") == records);
            }
        }
        state.mark_clean().expect("clean");
        let broken = &records.remove(MANY / 2).ruleset.owner;
        state.put_record_text(broken, b"{").expect("a file");
        assert!(state.all_records().expect("records") == records);
        assert!(!state.is_clean(), "it is trusted");
    }

    #[test]
    fn a_domain_is_what_its_file_says_now() {
        let root = tempfile::tempdir().expect("a folder");
        let state = state(root.path());
        let uuid = Uuid::from_u128(1);
        let named = |name: Option<&str>| {
            let xml = name.map_or(String::new(), |name| {
                format!("<domain type='kvm'><name>{name}</name><uuid>{uuid}</uuid></domain>")
            });
            let kept = state.put_object(OwnerKind::Domain, uuid, xml.as_bytes());
            kept.expect("it is kept");
            let one = state.domain(uuid).expect("a file");
            assert!(state.domains().expect("files") == Vec::from_iter(one.clone()));
            one.map(|domain| domain.name.to_string())
        };
        for name in [Some("one"), Some("two"), None, Some("two")] {
            assert_eq!(named(name).as_deref(), name);
        }
        let removed = state.remove_object(OwnerKind::Domain, uuid);
        removed.expect("it is removed");
        assert!(state.domain(uuid).expect("no file").is_none());
    }
}
