//! What `portero` exits with. Clap itself exits with 2 when it does not understand its arguments.

/// Nothing to do, or done.
pub(crate) const DONE: u8 = 0;
/// Not done, or not valid.
pub(crate) const FAILED: u8 = 1;
/// `plan` or `doctor` found something to change.
pub(crate) const FOUND: u8 = 2;
