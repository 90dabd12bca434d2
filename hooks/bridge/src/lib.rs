//! Puts a NIC into a bridge and takes it out again, without ever leaving the host where nobody
//! reaches it.

mod change;
mod error;
mod guard;
mod link;
mod made;
mod network;
mod noted;
mod owner;
mod reach;
mod read;
mod record;

pub use change::{Back, Bridges, Confirmation, Outcome};
pub use error::ChangeError;
pub use network::define_network;
pub use read::{host_files, nics};
