//! Plans a bridge in netplan's YAML, netplan(5).

mod planner;
mod table;
mod tree;

pub(crate) use planner::Trees;
