//! Why a bridge could not be made or taken away; each is one line.

use crate::outcome::Back;
use portero_host_bridge::{NicOwner, OwnerError};
use portero_system::{FileError, SystemError};

/// The result of a change, or of a part of it.
pub(crate) type Result<T, E = ChangeError> = std::result::Result<T, E>;

/// Why a bridge could not be made or taken away.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// A file or a lock.
    #[error(transparent)]
    File(#[from] FileError),
    /// A program failed.
    #[error(transparent)]
    System(#[from] SystemError),
    /// The program that would be called does not have the NIC up.
    #[error(transparent)]
    Owner(#[from] OwnerError),
    /// There is a bridge of ours by this name already.
    #[error(
        "{bridge} was made by portero and is {phase}; run 'portero bridge {help} {bridge}' first"
    )]
    Present {
        /// The bridge.
        bridge: String,
        /// How far it is.
        phase: &'static str,
        /// The command that goes on from there.
        help: &'static str,
    },
    /// There is none.
    #[error(
        "portero has not made {bridge}; 'portero bridge status' lists the bridges that it made"
    )]
    Absent {
        /// The bridge.
        bridge: String,
    },
    /// An interface of the bridge's name is there already.
    #[error("an interface {bridge} exists already; choose another name")]
    Taken {
        /// The bridge.
        bridge: String,
    },
    /// Nothing is to be changed.
    #[error("no file would change; is the NIC in a bridge already?")]
    Nothing,
    /// Guests are on it.
    #[error("{interface} is in {bridge}; shut that guest down or move it first, it would lose its network")]
    InUse {
        /// The bridge.
        bridge: String,
        /// The host's end of a guest's interface.
        interface: String,
    },
    /// A network of libvirt's uses it.
    #[error(
        "network '{network}' is active and uses {bridge}; run 'virsh net-destroy {network}' first"
    )]
    NetworkActive {
        /// The bridge.
        bridge: String,
        /// The network.
        network: String,
    },
    /// A file was edited since it was written.
    #[error("/etc/{path} has changed since portero wrote it; undo that change first. The original file is in {record}")]
    Edited {
        /// Its path below /etc.
        path: String,
        /// The file that has the originals.
        record: String,
    },
    /// The record of a bridge cannot be understood.
    #[error("{path}: {source}")]
    Record {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Nobody watches over the change.
    #[error("the process that would roll back did not start within {seconds} s")]
    NoGuard {
        /// How long was waited, in seconds.
        seconds: u64,
    },
    /// It has what the bridge would not have.
    #[error("{nic} has {what}, which none of its files configures, so {bridge} would not have it; write it into the file first, or accept the loss with --accept {kinds}")]
    Unwritten {
        /// The bridge.
        bridge: String,
        /// The NIC.
        nic: String,
        /// What it has.
        what: String,
        /// What the option takes.
        kinds: String,
    },
    /// The program that brings NICs up has ended or hangs.
    #[error("{owner} {what} and cannot bring {bridge} up")]
    Deserted {
        /// The program.
        owner: NicOwner,
        /// What became of it.
        what: &'static str,
        /// The bridge.
        bridge: String,
    },
    /// Not all is as it was.
    #[error("{what} after {seconds} s with {bridge}{hint}")]
    Lost {
        /// The bridge.
        bridge: String,
        /// What is missing.
        what: String,
        /// How long was waited, in seconds.
        seconds: u64,
        /// The option that does without it, in brackets; nothing where none does.
        hint: String,
    },
    /// It failed, and what was before is there again.
    #[error("{source}; what was there before is back{back}")]
    RolledBack {
        /// Why it failed.
        source: Box<ChangeError>,
        /// How it came back.
        back: Back,
    },
    /// Neither the program that brings NICs up nor portero could bring back everything.
    #[error("not back after {bridge}: {what}{why}")]
    NotBack {
        /// The bridge.
        bridge: String,
        /// What is missing.
        what: String,
        /// What failed, in brackets; nothing when nothing did.
        why: String,
    },
    /// It failed, and rolling it back failed too.
    #[error("{source}; and rolling it back failed: {second}; 'portero bridge rollback --bridge {bridge}' tries again")]
    Stuck {
        /// The bridge.
        bridge: String,
        /// Why it failed.
        source: Box<ChangeError>,
        /// Why rolling it back failed.
        second: Box<ChangeError>,
    },
}
