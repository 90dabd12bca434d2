//! What `portero` exits with. Clap itself exits with 2 when it does not understand its arguments.

/// Nothing to do, or done.
pub(crate) const DONE: u8 = 0;
/// Not done, not valid, or a fault was found.
pub(crate) const FAILED: u8 = 1;
/// `plan` or `bridge plan` would change something.
pub(crate) const WOULD_CHANGE: u8 = 3;
