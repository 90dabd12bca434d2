//! Plans a bridge in keyfiles of NetworkManager, nm-settings-keyfile(5).

mod planner;
mod table;

pub(crate) use planner::Profiles;
