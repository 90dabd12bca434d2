//! How rules look in iptables: a chain for each owner and purpose, compared and committed as text in
//! the very form in which `iptables -S` prints it.

mod base;
mod driver;
mod observed;
pub(crate) mod policy;
mod render;
mod transaction;
mod words;

pub(crate) use render::{accept, send, sender};
pub(crate) use words::address;

pub use base::{Base, LibvirtChains, Table};
pub(crate) use base::{CHAIN_PREFIX, LIBVIRT_CHAIN_PREFIX};
pub use driver::Families;
pub use observed::{Observed, ObservedTable};
pub use transaction::{change_owner, reconcile};
