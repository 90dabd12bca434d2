//! A forward that waits, and one whose owner does not run: what each of them needs.

use super::address::edit;
use super::hop::Seen;
use crate::explain::value::{MissingNetwork, Waits};
use portero_libvirt::NicKind;
use portero_model::{Owner, OwnerKind};
use portero_trace::word;

const SYNC: &str = "portero sync";

/// What a forward waits for, and what gives it that.
pub(super) fn pending(owner: &Owner, reason: &str, waits: &Waits) -> Seen {
    let text = format!("{owner} waits for it: {reason}");
    let edit = edit(owner);
    match waits {
        Waits::Known(addresses) => {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            let addresses = addresses.join(" and ");
            Seen::fails(format!("{text}; it has {addresses} by now"), SYNC)
        }
        Waits::Network(network) => Seen::fails(text, start_network(network, owner)),
        Waits::Interface(kinds) => Seen::fails(
            match kinds.as_slice() {
                [] => text,
                kinds => format!("{text}: {}", name_kinds(kinds)),
            },
            if kinds.iter().any(|kind| matches!(kind, NicKind::Bridge | NicKind::Direct)) {
                format!(
                    "connect to the guest's own address on the LAN; for a forward, give the domain an \
                     <interface type='network'>: {edit}"
                )
            } else {
                format!("give the domain an <interface type='network'>: {edit}")
            },
        ),
        Waits::NamedInterface(has) => {
            let has: Vec<String> = has.iter().map(ToString::to_string).collect();
            Seen::fails(
                match has.as_slice() {
                    [] => text,
                    has => format!("{text}; it has {}", has.join(" and ")),
                },
                format!("correct interface= of the forward, or leave it out: {edit}"),
            )
        }
        Waits::Subnet { network, family } => Seen::fails(
            text,
            format!(
                "name an address of the host's of the other family, or give the network an {family} subnet: \
                 virsh net-edit {}",
                word(network)
            ),
        ),
        Waits::Address(spec) => Seen::fails(
            text,
            match spec {
                Some(spec) => {
                    let (connect, name) = (owner.connect_option(), word(&owner.name));
                    format!(
                        "portero forward remove {connect}{name} {spec} --persistent && \
                         portero forward add {connect}{name} {spec} --guest ADDRESS --persistent, with the guest's \
                         address"
                    )
                }
                None => format!("give the forward the guest's address (guest=): {edit}"),
            },
        ),
        Waits::Lease => Seen::fails(
            text,
            format!("let the guest ask for an address by DHCP, or give the forward one (guest); then: {SYNC}"),
        ),
    }
}

fn start_network(network: &MissingNetwork, owner: &Owner) -> String {
    match network.is_defined {
        true => format!("virsh net-start {}", word(&network.name)),
        false => format!(
            "give the interface a network that there is (virsh net-list --all): {}",
            edit(owner)
        ),
    }
}

/// What starts somebody who is not active: its networks first.
pub(super) fn start(owner: &Owner, inactive: &[MissingNetwork]) -> String {
    let name = word(&owner.name);
    let start = match owner.kind {
        OwnerKind::Network => return format!("virsh net-start {name}"),
        OwnerKind::Domain => format!("virsh {}start {name}", owner.connect_option()),
    };
    if let Some(absent) = inactive.iter().find(|network| !network.is_defined) {
        return format!("{}; then: {start}", start_network(absent, owner));
    }
    let networks = inactive.iter().map(|network| start_network(network, owner));
    let commands: Vec<String> = networks.chain([start]).collect();
    commands.join(" && ")
}

/// Why a start would fail, where it would.
pub(super) fn obstacle(inactive: &[MissingNetwork]) -> Option<String> {
    let names = inactive.iter().map(|network| {
        let state = match network.is_defined {
            true => "is not active",
            false => "does not exist",
        };
        format!("network '{}' {state}", network.name.escape_debug())
    });
    let names: Vec<String> = names.collect();
    (!names.is_empty()).then(|| names.join(" and "))
}

fn name_kinds(kinds: &[NicKind]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for kind in kinds {
        let name = match kind {
            NicKind::Network => "its interface on a network is unplugged",
            NicKind::Bridge => "an <interface type='bridge'> is on a LAN",
            NicKind::Direct => "an <interface type='direct'> (macvtap) is on a LAN",
            NicKind::User => "an <interface type='user'> is behind a program of its own",
            NicKind::Other => "its <interface> is of another type",
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(", ")
}
