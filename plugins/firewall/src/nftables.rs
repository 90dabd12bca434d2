//! How rules look in nftables: elements of a fixed set of maps and sets.
//!
//! Table `inet portero` has one map of forwards for each combination of interface, source and
//! address, so that a packet costs the same whether ten or ten thousand ports are forwarded. What
//! libvirt's own table would reject is accepted inside it, from a set of exactly our connections.
//!
//! Table `inet portero_policy` has the policies of networks. It only ever forbids; what it lets pass
//! between guests and others is accepted in libvirt's table, with libvirt's own verdict for the end
//! that has no policy.
//!
//! Table `bridge portero_policy` has what guests may not pretend; iptables has nothing like it.

pub(crate) mod base;
mod content;
mod driver;
pub(crate) mod element;
mod expression;
mod field;
mod forward;
mod known;
mod listing;
pub(crate) mod object;
pub(crate) mod observed;
pub(crate) mod policy;
mod reader;
mod transaction;
mod wire;
pub(crate) mod write;

pub(crate) use forward::accepted;

pub use content::{
    ElementContent, RawData, RawElement, RawTypes, RuleContent, SetContent, TableContent,
};
pub use element::Place;
pub use expression::{behind, Edge, Expression, OwnSet, RawRule, Value, JUMP};
pub use known::KnownSets;
pub use listing::ReadError;
pub use object::{Hook, NewChain, NewRule, NewSet, Object, ObjectChange};
pub use observed::Observed;
pub use transaction::{change_owner, reconcile};
pub use wire::{DataTypes, Intervals, SetTypes, Types};
pub use write::PolicyTable;

/// The name of portero's table, of its chain and of its set in libvirt's tables.
pub const NAME: &str = "portero";

/// The name of portero's tables for policies.
pub const POLICY_NAME: &str = "portero_policy";

/// The name of libvirt's tables (src/network/network_nftables.c).
pub const LIBVIRT_TABLE: &str = "libvirt_network";

/// libvirt's base chain at the hook `forward`.
pub const LIBVIRT_CHAIN: &str = "forward";

/// libvirt's chains with its verdicts on packets to and from guests.
const LIBVIRT_VERDICTS: [&str; 2] = ["guest_input", "guest_output"];
