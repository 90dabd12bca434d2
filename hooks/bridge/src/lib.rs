//! Puts a NIC into a bridge and takes it out again, without ever leaving the host where nobody
//! reaches it.

mod bridges;
mod change;
mod difference;
mod dns;
mod error;
mod guard;
mod guard_start;
mod host;
mod kernel;
mod link;
mod made;
mod message;
mod network;
mod noted;
mod open;
mod outcome;
mod owner;
mod reach;
mod read;
mod record;
mod rollback;
mod rule;
mod steps;
mod written;

pub use bridges::Bridges;
pub use error::ChangeError;
pub use network::define_network;
pub use open::{made_bridges, MadeBridge, Stage};
pub use outcome::{Back, Confirmation, Kind, KindError, Wish};
pub use read::{host_files, nics};
