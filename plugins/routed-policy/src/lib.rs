//! Plans the policy of a virtual network: from the `<policy>` element and the networks that are
//! active to clauses, and from clauses to the verdict on one packet. Pure: it reads nothing and
//! changes nothing.

mod attribute;
mod compile;
mod context;
mod explain;
mod grammar;
mod group;
mod outlook;
mod peer;
mod resolve;

pub use compile::{compile, is_host_service, rule_of_clause, Compiled};
pub use context::Context;
pub use explain::{
    explain, explain_reply, At, Course, Decider, Decision, End, Packet, Protocol, Refusal, Routing,
};
pub use grammar::{
    Antispoof, Direction, Mode, WrittenNat, WrittenNeighbor, WrittenPolicy, WrittenRule,
};
pub use group::Group;
pub use outlook::{outlook, Fate, Outlook, Place};
pub use peer::{PeerTarget, WrittenPeer};
