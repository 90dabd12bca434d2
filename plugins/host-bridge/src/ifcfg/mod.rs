//! ifcfg files, as initscripts and NetworkManager both read them.

mod file;
mod number;
mod planner;
mod port;
mod routes;
mod table;

pub use file::{Ifcfg, SyntaxError};
pub(crate) use planner::Scripts;
