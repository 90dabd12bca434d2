//! Plans a bridge in keyfiles of NetworkManager, nm-settings-keyfile(5).

mod fate;
mod planner;

pub(crate) use planner::{owner, plan};
