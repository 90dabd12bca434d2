//! From an event of libvirt's to its effects: what the event means, what the firewall shall hold then, the transaction,
//! and the record of it in /run/portero. [`Engine`] decides the order; `portero_system` does the work.

mod antispoof;
mod bans;
mod check;
mod commit;
mod config;
mod docker;
mod engine;
mod error;
mod events;
mod firewall;
mod hook;
mod inputs;
mod lost;
mod notices;
mod ready;
mod reconcile;
mod refresh;
mod settings;
mod state;
mod symmetric;
mod told;
mod toml_error;

pub use bans::BanSetState;
pub use config::{file_of, group, libvirt_firewall, parse, Config, FirewallSetting};
pub use engine::Engine;
pub use error::ApplyError;
pub use firewall::Choice;
pub use hook::run_hook;
pub use inputs::{leases, NetworkPolicy};
pub use refresh::Running;
pub use state::{by_owner, Phase, PortState, Record, RecordedPort, State, Watched, WatchedErrors};
