//! Files of sections with `Key=value` in them: units of systemd, and keyfiles of NetworkManager.

mod divide;
mod file;

pub(crate) use divide::{Comments, Divide};
pub(crate) use file::{Section, Unit};
