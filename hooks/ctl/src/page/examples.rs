//! The examples of manual pages.

/// A command, and what it is for.
type Example = (&'static str, &'static str);

/// Pages, and the examples of each.
const EXAMPLES: [(&str, &[Example]); 27] = [
    (
        "portero",
        &[
            (
                "portero forward add web 8080:80 --persistent",
                "Forward port 8080 of the host to port 80 of guest web, now and on every start.",
            ),
            (
                "portero explain 8080",
                "Find out why port 8080 is not reached.",
            ),
            (
                "portero doctor",
                "Find what is wrong on this host, with the command that repairs it.",
            ),
        ],
    ),
    (
        "portero-status",
        &[
            ("portero status", "List networks, guests and forwards."),
            (
                "portero status web",
                "Show guest web with its networks and forwards.",
            ),
            (
                "portero status --watch",
                "Refresh the list every two seconds.",
            ),
            (
                "portero status --watch --json",
                "Print a line of JSON whenever something has changed.",
            ),
            (
                "portero status --format prometheus",
                "Print what is counted, for node_exporter and Prometheus.",
            ),
        ],
    ),
    (
        "portero-forward",
        &[
            (
                "portero forward add web 8080:80 53/udp --persistent",
                "Forward a TCP and a UDP port to guest web, now and on every start.",
            ),
            ("portero forward list web", "List the forwards of guest web."),
        ],
    ),
    (
        "portero-forward-add",
        &[
            (
                "portero forward add web 8080:80 --persistent",
                "Forward port 8080 of the host to port 80 of guest web, now and on every start.",
            ),
            (
                "portero forward add web 8000-8010 53/tcp,udp",
                "Forward a range of ports and, by TCP and UDP, one more, until the guest stops.",
            ),
            (
                "portero forward add web 2222:22 --dev eth0 --source 198.51.100.0/24 --source '!198.51.100.9'",
                "Forward ssh by one interface of the host, for one network except one of its machines.",
            ),
            (
                "portero forward add web 203.0.113.5 --exclude 22",
                "Give the guest all of an address of the host, except port 22.",
            ),
            (
                "portero forward add -c lxc:///system web 8080:80",
                "Forward to a container of libvirt's LXC driver.",
            ),
        ],
    ),
    (
        "portero-forward-remove",
        &[
            (
                "portero forward remove web 8080 --persistent",
                "Remove the forward of port 8080, now and for every start.",
            ),
            (
                "portero forward remove web 53/udp",
                "Remove one of several forwards of a port.",
            ),
            (
                "portero forward remove web --all --dry-run",
                "Say what would be removed; change nothing.",
            ),
            (
                "portero forward remove web 8080 --ignore-missing --json",
                "For a script: remove the forward if it is there, and print whether it was.",
            ),
        ],
    ),
    (
        "portero-forward-list",
        &[
            (
                "portero forward list",
                "List the forwards of all guests and networks, those that are off too.",
            ),
            ("portero forward list web", "List the forwards of guest web."),
            (
                "portero forward list web --config",
                "List those of its next start.",
            ),
        ],
    ),
    (
        "portero-doctor",
        &[("portero doctor", "Find what is wrong on this host.")],
    ),
    (
        "portero-explain",
        &[
            (
                "portero explain 8080",
                "Follow a packet to TCP port 8080 and back.",
            ),
            (
                "portero explain 203.0.113.1:53/udp --from 198.51.100.7",
                "Follow a packet from one client to a UDP port of one address.",
            ),
            (
                "portero explain web --to 198.51.100.7:443",
                "Find out why guest web does not reach a server.",
            ),
            (
                "portero explain 8080 --format svg >way.svg",
                "Draw the way for a browser.",
            ),
        ],
    ),
    (
        "portero-map",
        &[
            ("portero map", "Draw networks, guests and forwards as a tree."),
            (
                "portero map --format svg >map.svg",
                "Draw them for a browser.",
            ),
        ],
    ),
    (
        "portero-policy",
        &[
            (
                "portero policy show lab",
                "List the policy of network lab with its counters.",
            ),
            (
                "portero policy explain 198.51.100.7 db tcp 22",
                "Find out whether a client reaches guest db by ssh, and who decides it.",
            ),
        ],
    ),
    (
        "portero-policy-show",
        &[(
            "portero policy show lab",
            "List the policy of network lab with its counters.",
        )],
    ),
    (
        "portero-policy-check",
        &[
            (
                "portero policy check lab",
                "Read the metadata and the file of network lab.",
            ),
            (
                "portero policy check draft.xml --network lab",
                "Read a file as if it were the policy of network lab.",
            ),
        ],
    ),
    (
        "portero-policy-explain",
        &[
            (
                "portero policy explain 198.51.100.7 192.168.50.10 tcp 22",
                "Find out whether a client reaches a guest by ssh, and who decides it.",
            ),
            (
                "portero policy explain web db icmp",
                "Find out whether one guest can ping another.",
            ),
        ],
    ),
    (
        "portero-bridge",
        &[
            (
                "portero bridge plan --bridge br0 --nic eth0",
                "Print the changes in /etc.",
            ),
            (
                "portero bridge apply --bridge br0 --nic eth0",
                "Make the bridge.",
            ),
            ("portero bridge confirm br0", "Keep it."),
            (
                "portero bridge network br0 --define",
                "Define the libvirt network that puts guests into it.",
            ),
        ],
    ),
    (
        "portero-bridge-plan",
        &[(
            "portero bridge plan --bridge br0 --nic eth0",
            "Print the changes in /etc.",
        )],
    ),
    (
        "portero-bridge-apply",
        &[
            (
                "portero bridge apply --bridge br0 --nic eth0",
                "Make the bridge, and roll back unless you confirm it within 120 seconds.",
            ),
            (
                "portero bridge apply --bridge br0 --nic eth0 --timeout 600",
                "Give yourself ten minutes.",
            ),
        ],
    ),
    (
        "portero-bridge-status",
        &[(
            "portero bridge status",
            "Show the bridges that portero has made, and how long each waits to be confirmed.",
        )],
    ),
    (
        "portero-bridge-confirm",
        &[("portero bridge confirm br0", "Keep bridge br0.")],
    ),
    (
        "portero-bridge-rollback",
        &[(
            "portero bridge rollback br0",
            "Roll back now, without waiting for the end of the time.",
        )],
    ),
    (
        "portero-bridge-remove",
        &[(
            "portero bridge remove br0",
            "Remove bridge br0. First move every guest off it.",
        )],
    ),
    (
        "portero-bridge-network",
        &[
            (
                "portero bridge network br0",
                "Print the network with the name br0.",
            ),
            (
                "portero bridge network br0 --name lan --define",
                "Define it in libvirt with the name lan.",
            ),
        ],
    ),
    (
        "portero-import",
        &[
            (
                "portero import /etc/libvirt/hooks/hooks.json",
                "Print the metadata, and change nothing.",
            ),
            (
                "portero import /etc/libvirt/hooks/qemu --domain web --set",
                "Set it in guest web, for its next start.",
            ),
        ],
    ),
    (
        "portero-validate",
        &[
            (
                "portero validate /etc/portero/domains/web.xml",
                "Check a file.",
            ),
            (
                "virsh dumpxml web --inactive | portero validate -",
                "Check the metadata of a guest.",
            ),
        ],
    ),
    (
        "portero-plan",
        &[(
            "portero plan",
            "Print what 'portero sync' would change.",
        )],
    ),
    (
        "portero-sync",
        &[(
            "portero sync",
            "Restore every rule that is missing, and remove every rule that is too many.",
        )],
    ),
    (
        "portero-withdraw",
        &[(
            "portero withdraw --yes",
            "Stop and disable portero-watch, and remove every rule, until a guest or network starts.",
        )],
    ),
    (
        "portero-report",
        &[(
            "portero report --anonymous -o report.txt",
            "Write a report for others, with pseudonyms for addresses and names.",
        )],
    ),
];

/// The examples of a page.
pub(super) fn of(page: &str) -> &'static [Example] {
    let found = EXAMPLES.iter().find(|(name, _)| *name == page);
    found.map_or(&[], |(_, examples)| *examples)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test fails by a panic")]

    use super::EXAMPLES;
    use crate::args::Args;
    use crate::page::list;
    use clap::Parser;

    #[test]
    fn every_page_has_examples_that_the_command_understands() {
        for page in list().lines() {
            let found = EXAMPLES.iter().filter(|(name, _)| *name == page).count();
            assert_eq!(found, 1, "{page}");
        }
        assert_eq!(EXAMPLES.len(), list().lines().count());
        for (page, examples) in EXAMPLES {
            for (command, _) in examples {
                let start = command.rfind("portero ").expect("a command of portero's");
                let own = command[start..].split(" >").next().expect("a command");
                let words = shlex::split(own).expect("words");
                let parsed = Args::try_parse_from(&words);
                assert!(parsed.is_ok(), "{command}: {parsed:?}");
                let name = page.replace('-', " ");
                assert!(own.starts_with(&name), "{command} in {page}");
            }
        }
        assert!(Args::try_parse_from(["portero", "forward", "add", "web"]).is_err());
    }
}
