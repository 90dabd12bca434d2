//! How rules look in nftables: elements of a fixed set of maps and sets.
//!
//! Table `inet portero` has one map of forwards for each combination of interface, source and
//! address, so that a packet costs the same whether ten or ten thousand ports are forwarded. What
//! libvirt's own table would reject is accepted inside it, from a set of exactly our connections.

mod elements;
mod frame;
mod observed;
mod transaction;

pub use elements::Place;
pub use observed::{Observed, ReadError};
pub use transaction::{change_owner, reconcile, shares_elements};

/// The name of portero's table, of its chain and of its set in libvirt's tables.
pub const NAME: &str = "portero";

/// The name of libvirt's tables (src/network/network_nftables.c).
pub const LIBVIRT_TABLE: &str = "libvirt_network";

/// libvirt's base chain at the hook `forward`.
pub const LIBVIRT_CHAIN: &str = "forward";
