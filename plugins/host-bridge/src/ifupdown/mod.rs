//! Plans a bridge in /etc/network/interfaces, interfaces(5), for ifupdown with bridge-utils.

mod file;
mod planner;
mod table;

pub(crate) use planner::Interfaces;
