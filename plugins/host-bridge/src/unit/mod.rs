//! Files of sections with `Key=value` in them: units of systemd, and keyfiles of NetworkManager.

mod divide;
mod fate;
mod file;

pub(crate) use divide::{Comments, Divide};
pub(crate) use fate::{Fate, Table};
pub(crate) use file::{Line, Section, Unit};
