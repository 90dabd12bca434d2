//! Plans a bridge in netplan's YAML, netplan(5).

mod fate;
mod planner;
mod tree;

pub(crate) use planner::{left_to, owner, plan};
