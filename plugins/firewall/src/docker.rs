//! portero's place in docker's firewall, where libvirt has its rules in nftables.
//!
//! Docker drops what is forwarded and what it does not accept itself (`-P FORWARD DROP`), in iptables. An accept in a table of
//! nftables does not change that: each base chain judges for itself. docker leaves a chain to the administrator, DOCKER-USER,
//! and asks it first (<https://docs.docker.com/engine/network/packet-filtering-firewalls/>). One jump there leads to a chain of
//! portero's, with a rule for each guest: connections that were sent to it by DNAT pass docker in both directions, errors about
//! them included. libvirt's rules, and all others, still judge them.
//!
//! Limits: only docker's chains in the variant of iptables that writes to nf_tables, since that tells of them.

use crate::iptables::address;
use crate::{Script, Tool};
use portero_model::{Family, Ruleset};
use std::collections::BTreeSet;

/// docker's chain for administrators, in table filter.
pub const DOCKER_USER: &str = "DOCKER-USER";
/// portero's chain that it jumps to. No prefix of portero's other chains: those come and go with rules in iptables.
pub const CHAIN: &str = "PORTERO_DOCKER";

/// What stands in the two chains of a family: rules as `iptables -S` prints them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DockerChains {
    /// Those of [`DOCKER_USER`].
    pub user: Vec<String>,
    /// Those of [`CHAIN`]; nothing when it is not there.
    pub own: Option<Vec<String>>,
}

impl DockerChains {
    /// Reads what `iptables -S CHAIN` prints of a chain.
    #[must_use]
    pub fn rules(listing: &str) -> Vec<String> {
        let rules = listing.lines().filter(|line| line.starts_with("-A "));
        rules.map(|line| line.trim_end().to_owned()).collect()
    }
}

fn jump() -> String {
    format!("{DOCKER_USER} -m comment --comment portero -j {CHAIN}")
}

/// The rules of portero's chain: of all forwards in a family, and of bridges whose guests docker shall let go their ways.
#[must_use]
pub fn docker_rules<'r>(
    family: Family,
    rulesets: impl IntoIterator<Item = &'r Ruleset>,
    bridges: &BTreeSet<String>,
) -> Vec<String> {
    let mut rules: BTreeSet<String> = BTreeSet::new();
    for ruleset in rulesets {
        for guest in ruleset
            .guests()
            .into_iter()
            .filter(|guest| Family::from(*guest) == family)
        {
            rules.insert(format!(
                "-A {CHAIN} -m conntrack --ctstate DNAT --ctreplsrc {} -m comment --comment \"{}\" -j ACCEPT",
                address(guest),
                ruleset.owner.comment()
            ));
        }
    }
    let mut rules: Vec<String> = rules.into_iter().collect();
    for bridge in bridges {
        rules.push(format!(
            "-A {CHAIN} -i {bridge} -m comment --comment portero -j ACCEPT"
        ));
        rules.push(format!(
            "-A {CHAIN} -o {bridge} -m conntrack --ctstate RELATED,ESTABLISHED -m comment --comment portero -j ACCEPT"
        ));
    }
    rules
}

/// The script that brings both chains to these rules; none when they have them.
#[must_use]
pub fn reconcile_docker(family: Family, found: &DockerChains, wanted: &[String]) -> Option<Script> {
    let jumps = found
        .user
        .iter()
        .filter(|rule| rule.ends_with(&format!(" -j {CHAIN}")));
    let jumps: Vec<&String> = jumps.collect();
    let wanted_jump = format!("-A {}", jump());
    let is_first = found.user.first() == Some(&wanted_jump) && jumps.len() == 1;
    let is_right = match wanted {
        [] => jumps.is_empty() && found.own.is_none(),
        _ => is_first && found.own.as_deref() == Some(wanted),
    };
    if is_right {
        return None;
    }
    let mut text = "*filter\n".to_owned();
    let mut line = |line: &str| {
        text += line;
        text.push('\n');
    };
    let delete = |rule: &str| rule.replacen("-A ", "-D ", 1);
    match wanted {
        [] => {
            jumps.iter().for_each(|jump| line(&delete(jump)));
            if found.own.is_some() {
                line(&format!("-F {CHAIN}"));
                line(&format!("-X {CHAIN}"));
            }
        }
        _ => {
            // That empties it where it is there.
            line(&format!(":{CHAIN} - [0:0]"));
            wanted.iter().for_each(|rule| line(rule));
            if !is_first {
                jumps.iter().for_each(|jump| line(&delete(jump)));
                line(&format!("-I {}", jump()));
            }
        }
    }
    line("COMMIT");
    Some(Script::of_text(Tool::Restore(family), text))
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::*;
    use portero_model::{Dnat, Owner, OwnerKind, PortRange, Protocol, Rule};

    fn forwarding(guests: &[&str]) -> Ruleset {
        let dnat = |guest: &&str| {
            Rule::Dnat(Dnat {
                protocol: Protocol::Tcp,
                address: None,
                dev: None,
                source: None,
                ports: PortRange::new(80, 80).expect("a port"),
                guest: guest.parse().expect("an address"),
                guest_ports: PortRange::new(80, 80).expect("a port"),
                is_whole_address: false,
            })
        };
        Ruleset {
            rules: guests.iter().map(dnat).collect(),
            ..Ruleset::empty(Owner {
                kind: OwnerKind::Domain,
                driver: None,
                uuid: uuid::Uuid::nil(),
                name: "web".to_owned(),
            })
        }
    }

    const RULE: &str = "-A PORTERO_DOCKER -m conntrack --ctstate DNAT --ctreplsrc 192.0.2.7 -m comment --comment \"domain web\" -j ACCEPT";
    const JUMP: &str = "-A DOCKER-USER -m comment --comment portero -j PORTERO_DOCKER";

    fn script(found: &DockerChains, wanted: &[String]) -> Option<String> {
        reconcile_docker(Family::Ipv4, found, wanted).map(|script| script.text())
    }

    #[test]
    fn forwards_pass_docker_and_nothing_is_left_without_them() {
        let ruleset = forwarding(&["192.0.2.7", "192.0.2.7", "2001:db8::7"]);
        let wanted = docker_rules(Family::Ipv4, [&ruleset], &BTreeSet::new());
        assert_eq!(wanted, [RULE]);
        let mut found = DockerChains {
            user: vec!["-A DOCKER-USER -j RETURN".to_owned()],
            own: None,
        };
        assert_eq!(
            script(&found, &wanted).as_deref(),
            Some(
                format!(
                    "*filter\n:PORTERO_DOCKER - [0:0]\n{RULE}\n{}\nCOMMIT\n",
                    JUMP.replace("-A", "-I")
                )
                .as_str()
            )
        );
        assert_eq!(script(&found, &[]), None);
        found.user.insert(0, JUMP.to_owned());
        found.own = Some(wanted.clone());
        assert_eq!(script(&found, &wanted), None);
        // Below a rule of somebody's it may come too late.
        found.user.swap(0, 1);
        let again = script(&found, &wanted).expect("a script");
        assert!(again.contains(&JUMP.replace("-A", "-D")) && again.contains("-I DOCKER-USER"));
        assert_eq!(
            script(&found, &[]).as_deref(),
            Some(
                format!(
                    "*filter\n{}\n-F PORTERO_DOCKER\n-X PORTERO_DOCKER\nCOMMIT\n",
                    JUMP.replace("-A", "-D")
                )
                .as_str()
            )
        );
    }

    #[test]
    fn guests_of_bridges_go_their_ways_where_that_is_asked_for() {
        let bridges = BTreeSet::from(["virbr0".to_owned()]);
        let wanted = docker_rules(Family::Ipv6, [], &bridges);
        assert_eq!(wanted.len(), 2);
        assert!(wanted[0].contains("-i virbr0 ") && wanted[1].contains("RELATED,ESTABLISHED"));
    }
}
