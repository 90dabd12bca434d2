//! What is on this host now: a [`Snapshot`] of what libvirt has, portero gave and the firewall holds, and
//! beside it whether a guest answers, what else judges packets, and what libvirt's daemons are. Nothing is changed.

mod configuration;
mod counters;
mod daemons;
mod desired;
mod dnat;
mod dnsmasq;
mod foreign;
mod guests;
mod host;
mod kernel_log;
mod link;
mod neighbor;
mod networks;
mod packages;
mod probe;
mod published;
mod routes;
mod service;
mod snapshot;
mod unlisted;

pub use configuration::ConfigProblem;
pub use daemons::{absent_daemons, changed, daemons, hook_links, Daemon, HookLink};
pub use desired::{Backends, DesiredForwards, Object, ObjectState};
pub use dnat::{find_dnat, find_reply_route, is_masqueraded, DnatMatch};
pub use dnsmasq::Dnsmasq;
pub use foreign::{
    foreign_rules, foreign_rules_during, publishing_rules, settings, stopping_rules,
};
pub use guests::{Guest, GuestNic};
pub use host::{HostFacts, MissingHook};
pub use kernel_log::{Avc, Denial, KernelLog};
pub use link::{is_bridge, link, link_of, reverse_path_filter, BridgePort, LinkState};
pub use neighbor::who_has;
pub use networks::{read_policy_file, ActiveNetwork, Checked};
pub use packages::Packages;
pub use probe::{ask_tcp, ask_udp, Answer};
pub use published::Published;
pub use routes::{
    advertised_uplinks, exit_of, has_rules_for_routes, passage_of, Exit, Journey, Passage,
};
pub use service::{runs_docker, runs_watch, watch_service, WatchService};
pub use snapshot::{OwnerStatus, Snapshot};
