//! The vocabulary of what portero wants: rules as values, their owners, and the transactions that
//! bring a host's firewall from one set of rules to another. Nothing here has an effect.

mod claim;
mod counter;
mod family;
mod firewall;
mod guards;
pub mod iptables;
pub mod nftables;
mod owner;
mod policy;
mod port;
mod rule;

pub use claim::Claim;
pub use counter::{Carried, Counter, Counters};
pub use family::Family;
pub use firewall::{Firewall, Script, Tool};
pub use guards::{Guards, Spoof, Tap};
pub use owner::{Origin, Owner, OwnerKind};
pub use policy::{
    Clause, Judged, LogRate, Named, Nat, NatPeer, Neighbor, Nets, Peer, Policy, Service, TimeUnit,
    Verdict, Way,
};
pub use port::{PortError, PortRange, Protocol};
pub use rule::{Rule, Ruleset};
