//! Ports that nobody has, with what is said of them.

#![allow(clippy::expect_used, reason = "a test fails by a panic")]

use super::whole::{owner, trouble, wanted, whole, GUEST, MAC};
use super::Case;
use crate::explain::value::{Facts, MissingNetwork, Publisher, RefusalReason, Waits, Wanted};
use portero_inventory::ObjectState;
use portero_libvirt::NicKind;
use portero_model::Family;

fn missing(name: &str, is_defined: bool) -> MissingNetwork {
    MissingNetwork {
        name: name.to_owned(),
        is_defined,
    }
}

fn published(is_docker: bool, what: &str) -> Wanted {
    Wanted::Published(Publisher {
        is_docker,
        what: what.to_owned(),
    })
}

/// Forwards that are not there, or cannot be: its name, the hop that fails first, and what is known.
pub(super) fn forwards() -> Vec<Case> {
    let pending = |reason: &str, waits| {
        wanted(Wanted::Pending {
            owner: owner(),
            reason: reason.to_owned(),
            waits,
        })
    };
    let no_lease = "network 'lan' has neither a DHCP reservation nor a lease for 52:54:00:00:50:10";
    let no_interface = "the domain has no interface on a virtual network";
    let off_on = |refusal: Option<&str>, inactive: &[(&str, bool)]| Wanted::Off {
        owner: owner(),
        refusal: refusal.map(|reason| RefusalReason {
            reason: reason.to_owned(),
            can_be_permitted: true,
        }),
        inactive: inactive
            .iter()
            .map(|(name, is)| missing(name, *is))
            .collect(),
    };
    let off = |refusal| off_on(refusal, &[]);
    vec![
        ("whole", None, whole()),
        ("nobody", Some("forward"), wanted(Wanted::Nobody)),
        (
            "unclear",
            Some("forward"),
            wanted(Wanted::Unclear {
                problem: "metadata of domain 'x', line 3".to_owned(),
            }),
        ),
        (
            "for others",
            Some("forward"),
            wanted(Wanted::ForOthers {
                owner: owner(),
                whom: "clients in 198.51.100.0/24".to_owned(),
            }),
        ),
        ("shut off", Some("forward"), wanted(off(None))),
        (
            "shut off and refused",
            Some("forward"),
            wanted(off(Some(
                "host port 8080 is not among the ports that [limits] in portero.toml permits",
            ))),
        ),
        (
            "from its next start",
            Some("forward"),
            wanted(Wanted::Later {
                owner: owner(),
                spec: "8080:80/tcp".to_owned(),
            }),
        ),
        (
            "refused",
            Some("forward"),
            wanted(Wanted::Refused {
                owner: owner(),
                refusal: RefusalReason {
                    reason: "tcp port 8080 is held by domain 'other'".to_owned(),
                    can_be_permitted: false,
                },
            }),
        ),
        (
            "shut off, and its network is not active",
            Some("forward"),
            wanted(off_on(None, &[("my lan", true), ("dmz", true)])),
        ),
        (
            "shut off, and its network is gone",
            Some("forward"),
            wanted(off_on(None, &[("old", false)])),
        ),
        ("no lease", Some("forward"), pending(no_lease, Waits::Lease)),
        (
            "a lease by now",
            Some("forward"),
            pending(no_lease, Waits::Known(vec![GUEST])),
        ),
        (
            "network is not active",
            Some("forward"),
            pending(
                "network 'my lan' is not known to be active",
                Waits::Network(missing("my lan", true)),
            ),
        ),
        (
            "network is gone",
            Some("forward"),
            pending(
                "network 'old' is not known to be active",
                Waits::Network(missing("old", false)),
            ),
        ),
        (
            "no interface",
            Some("forward"),
            pending(no_interface, Waits::Interface(Vec::new())),
        ),
        (
            "on a bridge and macvtap",
            Some("forward"),
            pending(
                no_interface,
                Waits::Interface(vec![NicKind::Bridge, NicKind::Bridge, NicKind::Direct]),
            ),
        ),
        (
            "user's network",
            Some("forward"),
            pending(no_interface, Waits::Interface(vec![NicKind::User])),
        ),
        (
            "an interface that is gone",
            Some("forward"),
            pending(
                "the domain has no interface 52:54:00:00:50:99 on a virtual network",
                Waits::NamedInterface(vec![MAC.parse().expect("a MAC address")]),
            ),
        ),
        (
            "no DHCP",
            Some("forward"),
            pending(
                "network 'lan' gives 52:54:00:00:50:10 no address: it has neither a DHCP range nor a reservation \
                 for it",
                Waits::Address(Some("8080:80/tcp".to_owned())),
            ),
        ),
        (
            "no DHCP, in a file",
            Some("forward"),
            pending("network 'lan' gives none", Waits::Address(None)),
        ),
        (
            "no IPv6",
            Some("forward"),
            pending(
                "network 'lan' has no IPv6 subnet",
                Waits::Subnet {
                    network: "lan".to_owned(),
                    family: Family::Ipv6,
                },
            ),
        ),
        (
            "docker publishes it",
            Some("forward"),
            wanted(published(true, "iptables: -A DOCKER -p tcp --dport 8080 -j DNAT")),
        ),
        (
            "another rule has it",
            Some("forward"),
            wanted(published(false, "iptables: -A PREROUTING -p tcp --dport 8080 -j DNAT")),
        ),
        (
            "shut off, with rules",
            Some("forward"),
            Facts {
                wanted: Wanted::Given {
                    owner: owner(),
                    state: ObjectState::Off,
                    inactive: Vec::new(),
                },
                ..whole()
            },
        ),
        (
            "untold",
            Some("hooks"),
            wanted(Wanted::Untold { owner: owner() }),
        ),
        (
            "untold for a reason",
            Some("hooks"),
            Facts {
                hooks: Some(trouble("libvirtd is older")),
                ..wanted(Wanted::Untold { owner: owner() })
            },
        ),
        (
            "hooks are missing, rules are there",
            None,
            Facts {
                hooks: Some(trouble("a hook is missing")),
                ..whole()
            },
        ),
    ]
}
