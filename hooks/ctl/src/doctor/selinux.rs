//! Check of what SELinux denies portero.

use super::hooks::RESTART;
use super::value::{Facts, Finding};
use portero_inventory::{Avc, Packages};

/// What SELinux has denied since the hooks have their labels, or that nothing is known of it.
pub(super) fn selinux(facts: &Facts) -> Vec<Finding> {
    let is_past = |avc: &&Avc| match (avc.time, facts.labelled_since) {
        (Some(time), Some(since)) => time <= since,
        _ => false,
    };
    let avcs = facts.avcs.iter().filter(|avc| !is_past(avc));
    let mut findings: Vec<Finding> = avcs.map(|avc| denied(avc, facts.packages)).collect();
    if facts.are_avcs_unread {
        findings.push(Finding {
            finding:
                "SELinux is enforcing, and its log (/var/log/audit/audit.log, or else the journal) cannot be \
                      read: whether it denies portero anything is not known"
                    .to_owned(),
            mend: "ausearch -m avc -ts boot | grep portero".to_owned(),
        });
    }
    findings
}

/// Puts the labels of the module on what was there before it.
const RELABEL: &str =
    "restorecon -iRv /usr/bin/portero* /etc/portero /etc/libvirt/hooks /run/portero /var/lib/portero";

/// What gives the host the module: portero's RPMs have it, and Debian's packages do not.
fn install(packages: Packages) -> &'static str {
    match packages {
        Packages::Dnf => "dnf install ./portero-selinux-*.rpm",
        Packages::Zypper => "zypper install ./portero-selinux-*.rpm",
        Packages::Apt => {
            "make -f /usr/share/selinux/devel/Makefile NAME=default portero.pp && semodule -i portero.pp"
        }
    }
}

/// Where that has to be done.
fn place(packages: Packages) -> &'static str {
    match packages {
        Packages::Dnf | Packages::Zypper => "where 'make rpm' has put the packages",
        Packages::Apt => "in packaging/selinux of portero's sources, with selinux-policy-dev",
    }
}

fn denied(avc: &Avc, packages: Packages) -> Finding {
    let name = avc
        .name
        .as_ref()
        .map_or(String::new(), |name| format!(" '{}'", name.escape_debug()));
    // A program or folder that has another label than the module gives it was there before the module.
    let is_labelled = avc.source.starts_with("portero_") || avc.target.starts_with("portero_");
    let mend = if is_labelled {
        format!("{RELABEL}, and report what is denied after that")
    } else {
        let (place, install) = (place(packages), install(packages));
        format!("{place}: {install} && {RELABEL} && {RESTART}")
    };
    Finding {
        finding: format!(
            "SELinux denies {} {{ {} }} of the {}{name} of type {}",
            avc.source, avc.permissions, avc.class, avc.target
        ),
        mend,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::tests::facts;
    use std::time::{Duration, SystemTime};

    #[test]
    fn a_denial_names_the_domain_and_what_labels_the_programs() {
        let mut facts = facts(Vec::new());
        facts.avcs.push(Avc {
            source: "virtnetworkd_t".to_owned(),
            permissions: "execute".to_owned(),
            class: "file".to_owned(),
            target: "bin_t".to_owned(),
            name: Some("portero-network-hook".to_owned()),
            time: None,
        });
        let found = selinux(&facts).remove(0);
        assert_eq!(
            found.finding,
            "SELinux denies virtnetworkd_t { execute } of the file 'portero-network-hook' of type bin_t"
        );
        let expected = "where 'make rpm' has put the packages: dnf install ./portero-selinux-*.rpm && restorecon ";
        assert!(found.mend.starts_with(expected), "{}", found.mend);
        facts.packages = Packages::Apt;
        let found = selinux(&facts).remove(0);
        assert!(found.mend.contains("semodule -i portero.pp && restorecon "));
        assert!(!found.mend.contains("dnf"));
        facts.avcs[0].source = "portero_hook_t".to_owned();
        assert!(selinux(&facts)[0].mend.starts_with("restorecon "));
        // What was denied before the hooks were labelled is mended.
        let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        facts.avcs[0].time = at(20);
        facts.labelled_since = at(10);
        assert_eq!(selinux(&facts).len(), 1);
        facts.labelled_since = at(30);
        assert_eq!(selinux(&facts), []);
    }

    #[test]
    fn what_cannot_be_read_is_a_doubt() {
        let mut facts = facts(Vec::new());
        assert_eq!(selinux(&facts), []);
        facts.are_avcs_unread = true;
        let found = selinux(&facts);
        assert!(found[0].finding.ends_with("is not known"));
    }
}
