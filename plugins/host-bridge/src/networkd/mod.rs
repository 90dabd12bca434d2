//! Plans a bridge in units of systemd-networkd, systemd.network(5) and systemd.netdev(5).

mod find;
mod planner;
mod table;

pub(crate) use planner::Units;
