//! Checks of what others do to forwarded packets: firewalls beside libvirt's, and AppArmor.

use super::hooks::RESTART;
use super::mend::SYNC;
use super::value::{Facts, Finding};
use crate::stop::{mend_stop, name_stop};
use crate::stopped::{Certainty, Obstacle};
use portero_inventory::{Backends, Denial, Published};
use portero_trace::{word, Flow, RuleOwner, Scope, Traffic, LENIENT};

/// Where libvirt's rules are, where it is told to have them, and where portero is told to have its.
pub(super) fn backend(facts: &Facts) -> Vec<Finding> {
    let backends = facts.backends;
    let mut findings: Vec<Finding> = misplaced(backends).into_iter().collect();
    if let (Some(told), Some(libvirt)) = (backends.told, backends.libvirt) {
        if told != libvirt {
            findings.push(Finding {
                finding: format!(
                    "firewall_backend of /etc/libvirt/network.conf is {told}, libvirt's rules are in \
                     {libvirt}: it is read when libvirt starts, and not by one before 10.4"
                ),
                mend: format!("{RESTART}, or take the line out of /etc/libvirt/network.conf"),
            });
        }
    }
    findings
}

/// portero's rules where libvirt's are not: what libvirt rejects can be accepted nowhere else.
pub(crate) fn misplaced(backends: Backends) -> Option<Finding> {
    let (configured, libvirt) = (backends.configured?, backends.libvirt?);
    (configured != libvirt).then(|| Finding {
        finding: format!(
            "firewall of /etc/portero/portero.toml is {configured}, and libvirt rejects in {libvirt} \
             what is accepted there"
        ),
        mend: format!(
            "sed -i 's/^firewall *=.*/firewall = \"auto\"/' /etc/portero/portero.toml && {SYNC}"
        ),
    })
}

/// Somebody else's rules that stop forwarded packets.
pub(super) fn firewalls(facts: &Facts) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    if facts.settings.is_firewalld_strict {
        findings.push(Finding {
            finding:
                "StrictForwardPorts of /etc/firewalld/firewalld.conf is yes: firewalld rejects \
                      what others forward"
                    .to_owned(),
            mend: LENIENT.to_owned(),
        });
    }
    let mut stopped: Vec<Stopped> = Vec::new();
    let others = facts.others();
    let forwards = others.stopped_forwards(&facts.owners);
    findings.extend(forwards.unknown().map(|finding| Finding {
        finding,
        mend: "portero explain PORT looks at one of them".to_owned(),
    }));
    for found in forwards.stopped {
        let outside = found.outside;
        let Obstacle {
            flow,
            leg,
            stop,
            certainty,
        } = found.obstacle;
        let is_told = facts.settings.is_firewalld_strict && stop.by == RuleOwner::Firewalld;
        if certainty != Certainty::Sure || is_told {
            continue;
        }
        let mend = mend_stop(&stop, (&flow, leg), &facts.settings, Scope::Forwards);
        match stopped.iter_mut().find(|known| known.mend == mend) {
            Some(known) if known.outside.contains(&outside) => {}
            Some(known) => known.outside.push(outside),
            None => stopped.push(Stopped {
                what: what(&flow),
                outside: vec![outside],
                by: format!("{} by {}", stop.verdict, name_stop(&stop)),
                mend,
            }),
        }
    }
    findings.extend(stopped.into_iter().map(Finding::from));
    findings
}

/// Ports that somebody else sends to a guest or container of his: portero's rules come first.
pub(super) fn published(facts: &Facts) -> Vec<Finding> {
    let given = facts.owners.iter().filter(|owner| owner.is_in_firewall);
    let dnats = given.flat_map(|owner| {
        let ruleset = &owner.record.ruleset;
        ruleset.dnats().map(move |dnat| (&ruleset.owner, dnat))
    });
    let findings = dnats.filter_map(|(owner, dnat)| {
        let published = Published::find(&facts.rules, owner, dnat)?;
        let (port, protocol) = (published.port, published.protocol);
        Some(Finding {
            mend: match published.by {
                RuleOwner::Docker => {
                    format!("publish it by another port; it is of: docker ps --filter publish={port}/{protocol}")
                }
                _ => "give one of both another port".to_owned(),
            },
            finding: published.to_string(),
        })
    });
    findings.collect()
}

/// A rule that stops what is forwarded.
struct Stopped {
    /// The port of the first packet.
    what: String,
    /// The interfaces of which it stops some.
    outside: Vec<String>,
    by: String,
    mend: String,
}

impl From<Stopped> for Finding {
    fn from(stopped: Stopped) -> Self {
        let outside = stopped.outside.join(" and ");
        Self {
            finding: format!(
                "what is forwarded from {} on {outside} is stopped: {}",
                stopped.what, stopped.by
            ),
            mend: stopped.mend,
        }
    }
}

/// `tcp port 8080`.
fn what(flow: &Flow) -> String {
    match (flow.traffic, flow.translated) {
        (Traffic::Port { protocol, .. }, Some(translated)) => {
            format!("{protocol} port {}", translated.port)
        }
        _ => String::new(),
    }
}

/// What AppArmor has denied libvirt of portero, since its profile was changed last.
pub(super) fn apparmor(facts: &Facts) -> Vec<Finding> {
    let denials = facts.denials.iter().filter(|denial| {
        let since = facts.profiles_since.get(&denial.profile_file());
        let times = denial.time.zip(since);
        times.is_none_or(|(time, since)| time > *since)
    });
    denials
        .map(|denial| Finding {
            finding: format!(
                "AppArmor's profile {} denies libvirt {} of {}",
                denial.profile, denial.operation, denial.name
            ),
            mend: permission(denial),
        })
        .collect()
}

/// A line in the profile's local part, which belongs to the administrator.
fn permission(denial: &Denial) -> String {
    let access = match denial.operation.as_str() {
        "exec" => "PUx",
        _ => "r",
    };
    let profile = denial.profile_file();
    let line = word(&format!("  {} {access},", denial.name));
    format!(
        "echo {line} >> /etc/apparmor.d/local/{profile} && apparmor_parser -r /etc/apparmor.d/{profile}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::tests::facts;
    use portero_firewall::Firewall;
    use std::time::{Duration, SystemTime};

    #[test]
    fn firewalls_that_differ_are_found() {
        let mut facts = facts(Vec::new());
        let found = |facts: &Facts| backend(facts).len();
        facts.backends = Backends {
            configured: None,
            told: Some(Firewall::Nftables),
            libvirt: None,
        };
        assert_eq!(found(&facts), 0, "libvirt has no rules");
        facts.backends.libvirt = Some(Firewall::Nftables);
        assert_eq!(found(&facts), 0);
        facts.backends.libvirt = Some(Firewall::Iptables);
        assert_eq!(found(&facts), 1);
        facts.backends.configured = Some(Firewall::Nftables);
        let findings = backend(&facts);
        assert_eq!(findings.len(), 2);
        assert!(findings[0]
            .mend
            .ends_with("/etc/portero/portero.toml && portero sync"));
    }

    #[test]
    fn a_denial_counts_until_the_profile_is_changed() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let mut facts = facts(Vec::new());
        facts.denials = vec![Denial {
            profile: "libvirtd".to_owned(),
            operation: "exec".to_owned(),
            name: "/opt/portero-qemu-hook".to_owned(),
            time: Some(at(20)),
        }];
        let findings = apparmor(&facts);
        assert_eq!(
            findings[0].mend,
            "echo '  /opt/portero-qemu-hook PUx,' >> /etc/apparmor.d/local/usr.sbin.libvirtd && \
             apparmor_parser -r /etc/apparmor.d/usr.sbin.libvirtd"
        );
        let mut changed = |profile: &str, seconds| {
            let profile = profile.to_owned();
            facts.profiles_since.insert(profile, at(seconds));
            apparmor(&facts).len()
        };
        assert_eq!(changed("usr.sbin.libvirtd", 10), 1);
        assert_eq!(changed("usr.sbin.virtqemud", 30), 1, "another's");
        assert_eq!(changed("usr.sbin.libvirtd", 30), 0);
    }
}
