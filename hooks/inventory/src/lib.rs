//! What `portero explain` and `portero doctor` look at beyond the engine: whether a guest answers,
//! what else judges packets, and what libvirt's daemons are. Nothing is changed.

mod daemons;
mod foreign;
mod kernel_log;
mod link;
mod neighbor;
mod probe;

pub use daemons::{daemons, hook_links, Daemon, HookLink};
pub use foreign::{foreign_rules, settings};
pub use kernel_log::{denials, Denial};
pub use link::{link, reverse_path_filter, Link};
pub use neighbor::{who_has, Heard};
pub use probe::{ask_tcp, ask_udp, Answer};
