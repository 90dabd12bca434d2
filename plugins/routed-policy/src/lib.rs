//! Plans the policy of a virtual network: from the `<policy>` element and the networks that are
//! active to compiled rules, and from these to the verdict on one packet. Pure: it reads nothing and
//! changes nothing.

mod attribute;
mod compile;
mod context;
mod evaluate;
mod explain;
mod grammar;
mod group;
mod packet;
mod peer;
mod reachability;
mod resolve;

pub use compile::{compile, is_host_service, Compiled};
pub use context::Context;
pub use evaluate::{Decider, Place, Refusal};
pub use explain::{explain, explain_reply, Decision};
pub use grammar::{
    Mode, WrittenDirection, WrittenNat, WrittenNeighbor, WrittenPolicy, WrittenRule,
};
pub use group::Group;
pub use packet::{At, End, Packet, PacketPath, Protocol, Routing};
pub use peer::{PeerTarget, WrittenPeer};
pub use reachability::{reachability, Outcome, Reachability};
