//! The targets of the network hook.

use crate::world::{choose, World};
use crate::{written, Reached};
use portero_libvirt::Hook;

const OPERATIONS: [&str; 7] = [
    "start",
    "started",
    "updated",
    "stopped",
    "port-created",
    "port-deleted",
    "plugged",
];

/// Any bytes as the network hook's stdin. The first chooses the firewall and the operation.
pub fn network_hook(input: &[u8]) -> Reached {
    let Some((choice, stdin)) = input.split_first() else {
        return Reached::Nothing;
    };
    let (firewall, operation) = choose(*choice, &OPERATIONS);
    World::new(firewall).hook(Hook::Network, operation, stdin)
}

/// As [`network_hook`], with a network whose elements, attributes and values the bytes choose.
pub fn network_written(input: &[u8]) -> Reached {
    let Some((choice, rest)) = input.split_first() else {
        return Reached::Nothing;
    };
    let (firewall, operation) = choose(*choice, &OPERATIONS);
    let stdin = written::network(rest);
    World::new(firewall).hook(Hook::Network, operation, stdin.as_bytes())
}
