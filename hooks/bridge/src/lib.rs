//! Puts a NIC into a bridge and takes it out again, without ever leaving the host where nobody
//! reaches it.

mod change;
mod error;
mod guard;
mod guard_start;
mod link;
mod made;
mod network;
mod noted;
mod open;
mod outcome;
mod owner;
mod reach;
mod read;
mod record;

pub use change::Bridges;
pub use error::ChangeError;
pub use network::define_network;
pub use open::{open_bridges, OpenBridge};
pub use outcome::{Back, Confirmation};
pub use read::{host_files, nics};
