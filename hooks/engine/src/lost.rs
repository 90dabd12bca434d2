//! What was taken out of the firewall behind portero's back, and how that is told.

use crate::state::Record;
use portero_firewall::Driver;
use portero_model::{Owner, Ruleset};
use std::collections::HashMap;
use std::time::Duration;

/// What somebody had taken out of the firewall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lost {
    is_flushed: bool,
    forwards: usize,
    policies: usize,
}

impl Lost {
    /// What owners had, are to have now and do not find in the firewall; nothing where they find all.
    pub(crate) fn of(observed: &dyn Driver, old: &[Record], desired: &[Ruleset]) -> Option<Self> {
        let desired: HashMap<&Owner, &Ruleset> =
            desired.iter().map(|one| (&one.owner, one)).collect();
        let is_kept = |one: &&Ruleset| {
            let desired = desired.get(&one.owner);
            one.has_rules() && desired.is_some_and(|desired| desired.has_rules_of(one))
        };
        let lost: Vec<Ruleset> = old
            .iter()
            .map(|record| &record.ruleset)
            .filter(|ruleset| is_kept(ruleset) && !observed.holds(ruleset))
            .cloned()
            .collect();
        (!lost.is_empty()).then(|| Self {
            is_flushed: observed.is_flushed(&lost),
            forwards: lost.iter().map(|one| one.dnats().count()).sum(),
            policies: lost.iter().filter(|one| one.policy.is_some()).count(),
        })
    }

    /// The line on it when it is there again; libvirt's own events say that it was libvirt.
    pub(crate) fn line(&self, cause: Option<&str>, took: Duration) -> String {
        let is_libvirts =
            |cause: &str| cause.starts_with("libvirt") || cause.starts_with("network");
        let how = match (self.is_flushed, cause.is_some_and(is_libvirts)) {
            (true, _) => "flushed by somebody",
            (false, true) => "changed by libvirt",
            (false, false) => "changed by somebody",
        };
        let what = amount(self.forwards, self.policies);
        let milliseconds = took.as_millis();
        format!("firewall was {how}: {what} restored in {milliseconds} ms")
    }
}

/// `4 forwards and 1 policy`.
pub(crate) fn amount(forwards: usize, policies: usize) -> String {
    let count = |count: usize, one: &str, many: &str| match count {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    };
    let in_words = |policies| count(policies, "policy", "policies");
    match (forwards, policies) {
        (0, 1..) => in_words(policies),
        (_, 0) => count(forwards, "forward", "forwards"),
        _ => {
            let forwards = count(forwards, "forward", "forwards");
            format!("{forwards} and {}", in_words(policies))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{amount, Lost};
    use std::time::Duration;

    #[test]
    fn amounts_are_in_words() {
        let words = [(0, 0), (1, 0), (0, 1), (4, 1), (2, 3)].map(|(f, p)| amount(f, p));
        let expected = [
            "0 forwards",
            "1 forward",
            "1 policy",
            "4 forwards and 1 policy",
            "2 forwards and 3 policies",
        ];
        assert_eq!(words, expected);
    }

    #[test]
    fn who_it_was_is_told() {
        let of = |is_flushed, cause| {
            let lost = Lost {
                is_flushed,
                forwards: 4,
                policies: 1,
            };
            lost.line(cause, Duration::from_millis(48))
        };
        let rest = "4 forwards and 1 policy restored in 48 ms";
        let flushed = format!("firewall was flushed by somebody: {rest}");
        assert_eq!(of(true, Some("rules changed")), flushed);
        let changed = format!("firewall was changed by somebody: {rest}");
        assert_eq!(of(false, None), changed);
        let libvirt = format!("firewall was changed by libvirt: {rest}");
        assert_eq!(of(false, Some("libvirt started")), libvirt);
    }
}
