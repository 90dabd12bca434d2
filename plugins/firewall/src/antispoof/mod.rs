//! What guests may not pretend, as a table of the family `bridge`: it sees a packet where it enters
//! the bridge, before it is passed on to the host or to another guest, and before the bridge learns
//! from it who is where. It is there while any network has antispoof, whichever firewall has the rest.

mod base;
mod transaction;

pub(crate) use base::{antispoof_chains, antispoof_sets};
pub use base::{is_tap_name, unguarded};
pub use transaction::{change_antispoof, reconcile_antispoof, shares_antispoof};
