//! The machine portero runs on: its programs, files, locks, interfaces, sockets, connections and log. All effects on the
//! kernel go through [`System`], which tests put another machine in place of; [`Linux`] is the real one.
//!
//! Whatever is called here has a deadline, or cannot wait: a hook that hangs hangs libvirt.

mod announcements;
mod attributes;
mod conntrack;
mod deadline;
mod error;
pub mod files;
pub mod interfaces;
mod linux;
mod listeners;
mod lock;
mod log;
mod names;
mod neighbors;
pub mod netlink;
mod nfnetlink;
mod nftables;
mod objects;
mod paths;
pub mod programs;
mod routes;
mod system;
mod tables;
mod taps;
mod threads;
mod uplinks;

pub use announcements::{changed_links, rules_concern, sets_concern, ChangedLink};
pub use deadline::Deadline;
pub use error::{FileError, Result, SystemError};
pub use interfaces::{Interface, InterfaceKind};
pub use linux::Linux;
pub use lock::Lock;
pub use log::{Fields, Log, LogSink, Message, Severity};
pub use names::{active_networks, interface_names, object_names};
pub use paths::Paths;
pub use programs::clean_environment;
pub use routes::RouteLookup;
pub use system::{Detected, Flow, InterfaceState, Switch, System};
pub use threads::side_by_side;
pub use uplinks::{Uplink, RULE_PROTOCOL};
