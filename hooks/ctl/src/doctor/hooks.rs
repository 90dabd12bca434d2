//! Checks of libvirt's hooks: whether they are there, can be run, and have been found by daemons that
//! run.

use super::value::{Facts, Finding};
use portero_inventory::{
    Daemon, DesiredForwards, HookLink, HostFacts, MissingHook, Object, ObjectState,
};
use portero_libvirt::Nic;
use portero_trace::word;

/// What restarts libvirt's daemons, of which a host has the first or the others.
pub(super) const RESTART: &str = "systemctl try-restart libvirtd virtnetworkd virtqemud virtlxcd";

/// What restarts the daemon that has the networks, which is when libvirt writes its own rules. Guests go on.
pub(crate) fn restart_networks(daemons: &[Daemon]) -> String {
    let is_own = daemons.iter().any(|daemon| daemon.name == "virtnetworkd");
    let daemon = if is_own { "virtnetworkd" } else { "libvirtd" };
    format!("systemctl restart {daemon}")
}

/// Hooks that libvirt does not run, so that nothing follows its events.
pub(super) fn hooks(facts: &Facts) -> Vec<Finding> {
    missing(&facts.host)
}

/// Daemons that do not run, and those that have looked for hooks before ours were there.
pub(super) fn daemons(facts: &Facts) -> Vec<Finding> {
    let mut findings = absent(&facts.absent_daemons);
    findings.extend(stale(
        &facts.daemons,
        &facts.hook_links,
        &untold(&facts.desired),
    ));
    findings
}

fn absent(daemons: &[&str]) -> Vec<Finding> {
    let absent = daemons.iter().map(|daemon| Finding {
        finding: format!(
            "{daemon} does not run, and nothing starts it when it is asked: no hook is run"
        ),
        mend: format!("systemctl start {daemon}"),
    });
    absent.collect()
}

/// Everything that keeps libvirt from running the hooks.
pub(crate) fn troubles(
    host: &HostFacts,
    daemons: &[Daemon],
    links: &[HookLink],
    desired: &[DesiredForwards],
) -> Vec<Finding> {
    let mut findings = missing(host);
    findings.extend(stale(daemons, links, &untold(desired)));
    findings
}

fn missing(host: &HostFacts) -> Vec<Finding> {
    host.missing_hooks.iter().map(missing_one).collect()
}

fn missing_one(hook: &MissingHook) -> Finding {
    let folder = hook.folder.display().to_string();
    let program = hook.program;
    if let Some(file) = &hook.not_executable {
        let file = file.display().to_string();
        return Finding {
            finding: format!("{file} cannot be executed: libvirt does not run it"),
            mend: format!("chmod 0755 {} && {RESTART}", word(&file)),
        };
    }
    let link = word(&hook.folder.join("50-portero").display().to_string());
    let in_word = word(&folder);
    Finding {
        finding: format!("{program} is not in {folder}: libvirt does not run it"),
        mend: format!("mkdir -p {in_word} && ln -sfn /usr/bin/{program} {link} && {RESTART}"),
    }
}

/// Running domains on virtual networks of whose interfaces no hook has told.
fn untold(desired: &[DesiredForwards]) -> Vec<String> {
    let untold = desired.iter().filter(|forwards| {
        let Object::Domain(domain) = &forwards.object else {
            return false;
        };
        let is_on_network = |nic: &Nic| nic.network.is_some();
        forwards.state != ObjectState::Off
            && !forwards.was_told
            && domain.nics.iter().any(is_on_network)
    });
    untold.map(|forwards| forwards.owner.to_string()).collect()
}

/// Daemons that run since before a hook was there. A hook that was replaced is as new, so that is not
/// enough: either the folder is newer too, or a guest runs of which nothing was told.
fn stale(daemons: &[Daemon], links: &[HookLink], untold: &[String]) -> Vec<Finding> {
    let stale = daemons.iter().filter_map(|daemon| {
        let link = links.iter().find(|link| {
            let since = link.folder_since;
            let is_new = since.is_some_and(|since| since > daemon.started);
            link.daemons.contains(&daemon.name.as_str())
                && link.since > daemon.started
                && (is_new || !untold.is_empty())
        })?;
        let witness = untold
            .first()
            .map(|one| format!(", and has told nothing of {one}"));
        let witness = witness.unwrap_or_default();
        Some(Finding {
            finding: format!(
                "{} runs since before {} was put into {}{witness}: libvirt looks for hooks when it \
                 starts",
                daemon.name,
                link.program,
                link.folder.display()
            ),
            mend: RESTART.to_owned(),
        })
    });
    stale.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::tests::facts;
    use std::time::{Duration, SystemTime};

    #[test]
    fn a_missing_hook_is_linked_and_one_that_cannot_run_is_let() {
        let mut facts = facts(Vec::new());
        facts.host.missing_hooks.push(MissingHook {
            folder: "/etc/libvirt/hooks/qemu.d".into(),
            program: "portero-qemu-hook",
            not_executable: None,
        });
        let findings = hooks(&facts);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].mend.starts_with(
            "mkdir -p /etc/libvirt/hooks/qemu.d && ln -sfn /usr/bin/portero-qemu-hook \
             /etc/libvirt/hooks/qemu.d/50-portero && systemctl"
        ));
        facts.host.missing_hooks[0].not_executable = Some("/usr/bin/portero-qemu-hook".into());
        let mend = &hooks(&facts)[0].mend;
        assert!(
            mend.starts_with("chmod 0755 /usr/bin/portero-qemu-hook && systemctl"),
            "{mend}"
        );
    }

    #[test]
    fn a_daemon_that_does_not_run_is_started() {
        let mut facts = facts(Vec::new());
        facts.absent_daemons = vec!["virtnetworkd"];
        let mends: Vec<String> = daemons(&facts).into_iter().map(|one| one.mend).collect();
        assert_eq!(mends, ["systemctl start virtnetworkd"]);
    }

    #[test]
    fn a_daemon_is_stale_when_it_cannot_have_found_the_hook() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let daemon = |started| Daemon {
            name: "libvirtd".to_owned(),
            started: at(started),
        };
        let link = |folder_since, since| HookLink {
            program: "portero-qemu-hook",
            daemons: &["libvirtd", "virtqemud"],
            folder: "/etc/libvirt/hooks/qemu.d".into(),
            folder_since: Some(at(folder_since)),
            since: at(since),
        };
        let found = |started, link: HookLink, untold: &[String]| {
            stale(&[daemon(started)], &[link], untold).len()
        };
        let untold = ["domain 'web'".to_owned()];
        assert_eq!(found(10, link(20, 20), &[]), 1, "installed since");
        assert_eq!(found(30, link(20, 20), &untold), 0, "restarted since");
        assert_eq!(found(10, link(5, 20), &[]), 0, "replaced since");
        assert_eq!(found(10, link(5, 20), &untold), 1, "was not there before");
        let other = HookLink {
            daemons: &["virtqemud"],
            ..link(20, 20)
        };
        assert_eq!(found(10, other, &[]), 0, "run by another daemon");
    }
}
