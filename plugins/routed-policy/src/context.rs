//! What a policy is compiled in: the networks and groups of this host.

use crate::group::Group;
use portero_libvirt::{Network, ObjectName};

/// The networks and groups that rules may name.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// All active networks.
    pub networks: &'a [Network],
    /// Reads a group; the error is one line.
    pub groups: &'a dyn Fn(&ObjectName) -> Result<Group, String>,
}
