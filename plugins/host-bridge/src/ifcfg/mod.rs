//! ifcfg files, as initscripts and NetworkManager both read them.

mod attached;
mod file;
mod planner;
mod port;
mod routes;
mod table;
mod value;

pub use file::{Ifcfg, SyntaxError};
pub(crate) use planner::Scripts;
