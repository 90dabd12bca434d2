//! The vocabulary of what portero wants of a host's firewall: rules as values, their owners, and what they claim.
//! Plugins make these values of elements, `plugins/firewall` writes them for a firewall; nothing here knows any
//! firewall's syntax or has an effect.

mod antispoof;
mod ban;
mod claim;
mod counter;
mod dnat;
mod family;
mod owner;
mod pending;
mod policy;
mod port;
mod reply_route;
mod rule;

pub use antispoof::{Antispoof, Spoof, Tap};
pub use ban::{Ban, NftSet};
pub use claim::Claim;
pub use counter::{Counter, Counters, ForwardCounter};
pub use dnat::{Arrives, Dnat, ToHost};
pub use family::Family;
pub use owner::{Origin, Owner, OwnerKey, OwnerKind};
pub use pending::Pending;
pub use policy::{
    CompiledRule, Direction, Judged, LogRate, Named, Nat, NatPeer, Neighbor, Nets, Peer, Policy,
    RuleName, RuleNameError, RuleSource, Service, TimeUnit, Verdict,
};
pub use port::{PortError, PortRange, Protocol};
pub use reply_route::ReplyRoute;
pub use rule::{Rule, Ruleset};
