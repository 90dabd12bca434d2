//! The targets of the qemu hook.

use crate::world::{choose, World};
use crate::{written, Reached};
use portero_libvirt::{Driver, Hook};

const OPERATIONS: [&str; 10] = [
    "prepare",
    "start",
    "started",
    "reconnect",
    "attach",
    "stopped",
    "release",
    "migrate",
    "restore",
    "paused",
];

/// Any bytes as the qemu hook's stdin, beside a network with DHCP reservations. The first chooses the
/// firewall and the operation.
pub fn qemu_hook(input: &[u8]) -> Reached {
    let Some((choice, stdin)) = input.split_first() else {
        return Reached::Nothing;
    };
    let (firewall, operation) = choose(*choice, &OPERATIONS);
    World::new(firewall).hook(Hook::Domain(Driver::Qemu), operation, stdin)
}

/// As [`qemu_hook`], with a domain whose elements, attributes and values the bytes choose.
pub fn domain_written(input: &[u8]) -> Reached {
    let Some((choice, rest)) = input.split_first() else {
        return Reached::Nothing;
    };
    let (firewall, operation) = choose(*choice, &OPERATIONS);
    let stdin = written::domain(rest);
    World::new(firewall).hook(Hook::Domain(Driver::Qemu), operation, stdin.as_bytes())
}
