//! From an event of libvirt's to its effects: what the event means, what the firewall shall hold then, the transaction,
//! and the record of it in /run/portero. [`Engine`] decides the order; `portero_system` does the work.

mod carried;
mod check;
mod commit;
mod config;
mod desired;
mod engine;
mod error;
mod events;
mod facts;
mod firewall;
mod guards;
mod guests;
mod hook;
mod inputs;
mod policies;
mod reconcile;
mod refresh;
mod settings;
mod state;

pub use config::{Config, FirewallSetting};
pub use desired::{Backends, DesiredForwards, Object, ObjectState};
pub use engine::{Engine, OwnerStatus};
pub use error::ApplyError;
pub use facts::{HostFacts, MissingHook};
pub use guests::{Guest, GuestNic};
pub use hook::run_hook;
pub use inputs::leases;
pub use policies::{ActiveNetwork, Checked, NetworkPolicy, OwnFile, Subject};
pub use state::{Phase, Record, State};
