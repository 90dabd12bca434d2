//! The targets of the qemu hook.

use crate::world::World;
use crate::{written, Reached};
use portero_apply::Hook;
use portero_plan::Firewall;

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
    let (firewall, operation) = choose(*choice);
    World::new(firewall).hook(Hook::Qemu, operation, stdin)
}

/// As [`qemu_hook`], with a domain whose elements, attributes and values the bytes choose.
pub fn domain_written(input: &[u8]) -> Reached {
    let Some((choice, rest)) = input.split_first() else {
        return Reached::Nothing;
    };
    let (firewall, operation) = choose(*choice);
    let stdin = written::domain(rest);
    World::new(firewall).hook(Hook::Qemu, operation, stdin.as_bytes())
}

/// `@` and `A` are `prepare` with both firewalls, `B` and `C` are `start`, and so on.
fn choose(choice: u8) -> (Firewall, &'static str) {
    let firewall = if choice & 1 == 0 {
        Firewall::Iptables
    } else {
        Firewall::Nftables
    };
    let operation = usize::from(choice & 0x1f) / 2 % OPERATIONS.len();
    (firewall, OPERATIONS[operation])
}
