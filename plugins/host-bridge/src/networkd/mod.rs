//! Plans a bridge in units of systemd-networkd, systemd.network(5) and systemd.netdev(5).

mod fate;
mod planner;

pub(crate) use planner::{owner, plan};
