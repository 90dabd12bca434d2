//! How the rulesets of the model look in iptables and in nftables: what a firewall holds, read from what its program
//! prints, and the script that brings it to what is wanted. Nothing here has an effect.

pub mod antispoof;
mod bans;
mod change;
mod concern;
pub mod docker;
mod driver;
mod forward_counters;
pub mod iptables;
pub mod nftables;
#[cfg(test)]
mod readable;
mod rule_counters;
mod script;

pub use bans::{
    reconcile_bans, BanList, BanListError, BanTable, Banned, ObservedBans, BANS_TABLE, MOST_BANNED,
};
pub use change::{change_owner, Change};
pub use concern::concerns;
pub use driver::{BaseTables, Driver, Reconciled};
pub use forward_counters::ForwardCounters;
pub use rule_counters::RuleCounters;
pub use script::{append, Command, ElementChange, Firewall, Script, Tool, Verb};
