//! Check of portero-watch's service.

use super::value::{Facts, Finding};
use portero_inventory::WatchService;

/// A service that does not run, or will not after the next boot.
pub(super) fn service(facts: &Facts) -> Vec<Finding> {
    facts.watch.and_then(found).into_iter().collect()
}

fn found(watch: WatchService) -> Option<Finding> {
    let WatchService {
        is_enabled,
        is_masked,
        is_running,
    } = watch;
    let (state, mend) = match (is_masked, is_enabled, is_running) {
        (false, true, true) => return None,
        (true, _, _) => (
            "is masked: systemd does not start it",
            "systemctl unmask portero-watch && systemctl enable --now portero-watch",
        ),
        (_, false, false) => (
            "does not run, and is not enabled",
            "systemctl enable --now portero-watch",
        ),
        (_, false, true) => (
            "is not enabled: it does not run after the next boot",
            "systemctl enable portero-watch",
        ),
        (_, true, false) => ("does not run", "systemctl restart portero-watch"),
    };
    let finding = format!(
        "portero-watch {state}; without it nothing follows leases, ban lists, metadata that changes \
         live and rules that are thrown away until the next event of libvirt's"
    );
    let mend = mend.to_owned();
    Some(Finding { finding, mend })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::tests::facts;

    #[test]
    fn a_service_that_does_not_run_now_or_later_is_found() {
        let mut facts = facts(Vec::new());
        assert_eq!(service(&facts), [], "no systemd");
        let mut found = |is_enabled, is_running, is_masked| -> Vec<String> {
            facts.watch = Some(WatchService {
                is_enabled,
                is_masked,
                is_running,
            });
            service(&facts).into_iter().map(|one| one.mend).collect()
        };
        assert_eq!(found(true, true, false), [""; 0]);
        assert_eq!(
            found(false, true, false),
            ["systemctl enable portero-watch"]
        );
        assert_eq!(
            found(false, false, false),
            ["systemctl enable --now portero-watch"]
        );
        assert_eq!(
            found(true, false, false),
            ["systemctl restart portero-watch"]
        );
        let unmask = "systemctl unmask portero-watch && systemctl enable --now portero-watch";
        assert_eq!(found(true, true, true), [unmask]);
    }
}
