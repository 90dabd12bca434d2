//! Everything that has an effect: reading the host, the lock, the state in /run/portero, the
//! firewall, and the report. The engine in [`Engine`] decides the order; a [`Kernel`] does the work,
//! so that tests can put another in its place.

mod bounded;
mod bridge;
mod config;
mod conntrack;
mod deadline;
mod engine;
mod error;
mod files;
mod hook;
mod host;
pub mod inspect;
mod interfaces;
mod kernel;
mod listeners;
mod lock;
mod log;
mod names;
mod neighbors;
mod netlink;
mod paths;
mod routes;
mod state;
mod tables;
mod taps;

pub use bridge::{
    define_network, host_files, nics, Back, Bridges, ChangeError, Confirmation, Outcome,
};
pub use config::{Config, FirewallSetting, LogLevel};
pub use deadline::Deadline;
pub use engine::{
    leases, ActiveNetwork, Backends, Checked, Engine, Guest, GuestNic, HostFacts, Life,
    MissingHook, NetworkPolicy, Object, OwnFile, OwnerStatus, Subject, Wish,
};
pub use error::ApplyError;
pub use hook::{clean_environment, run_hook, Hook, OnFailure};
pub use host::Host;
pub use interfaces::{Interface, InterfaceKind};
pub use kernel::{Flow, Kernel, KernelError, Localnet, ProxyNdp, Survey};
pub use lock::Lock;
pub use log::{Log, LogSink, Severity};
pub use names::{interface_names, object_names};
pub use paths::Paths;
pub use routes::Whereabouts;
pub use state::{Frame, Phase, Record, State, Waiting};
