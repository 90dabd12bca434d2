//! Plans a bridge in units of systemd-networkd, systemd.network(5) and systemd.netdev(5).

mod fate;
mod find;
mod planner;

pub(crate) use find::owner;
pub(crate) use planner::plan;
