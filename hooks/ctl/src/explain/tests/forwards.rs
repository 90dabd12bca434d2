//! Ports that nobody has, with what is said of them.

use super::whole::{owner, trouble, wanted, whole, GUEST};
use super::Case;
use crate::explain::value::RefusalReason;
use crate::explain::value::{Facts, Wanted};
use portero_inventory::ObjectState;

/// Forwards that are not there, or cannot be: its name, the hop that fails first, and what is known.
pub(super) fn forwards() -> Vec<Case> {
    let pending = |known, inactive: Option<&str>| Wanted::Pending {
        owner: owner(),
        reason: "network 'lan' has neither a DHCP reservation nor a lease".to_owned(),
        known,
        inactive: inactive.map(str::to_owned),
    };
    let off = |refusal: Option<&str>| Wanted::Off {
        owner: owner(),
        refusal: refusal.map(|reason| RefusalReason {
            reason: reason.to_owned(),
            can_be_permitted: true,
        }),
    };
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
        ("no lease", Some("forward"), wanted(pending(None, None))),
        (
            "a lease by now",
            Some("forward"),
            wanted(pending(Some(GUEST), None)),
        ),
        (
            "network is not active",
            Some("forward"),
            wanted(pending(None, Some("my lan"))),
        ),
        (
            "shut off, with rules",
            Some("forward"),
            Facts {
                wanted: Wanted::Given {
                    owner: owner(),
                    state: ObjectState::Off,
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
