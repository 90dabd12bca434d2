//! From an event of libvirt's to its effects: what the event means, what the firewall shall hold then, the transaction,
//! and the record of it in /run/portero. [`Engine`] decides the order; `portero_system` does the work.

mod config;
mod engine;
mod error;
mod hook;
mod state;

pub use config::{Config, FirewallSetting};
pub use engine::{
    leases, ActiveNetwork, Backends, Checked, Engine, Guest, GuestNic, HostFacts, Life,
    MissingHook, NetworkPolicy, Object, OwnFile, OwnerStatus, Subject, Wish,
};
pub use error::ApplyError;
pub use hook::run_hook;
pub use state::{Frame, Phase, Record, State, Waiting};
