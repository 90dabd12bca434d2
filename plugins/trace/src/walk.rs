//! What both walks through rules have in common.

use crate::verdict::{Judgement, Stop};

/// Whether a packet comes to a rule at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Certainty {
    Sure,
    Maybe,
}

/// How a chain ends early.
pub(crate) enum End {
    Accept,
    Stop(Stop),
    Return,
}

/// What is known so far while rules are walked through.
#[derive(Debug, Default)]
pub(crate) struct Doubts {
    /// A rule that may have stopped the packet.
    pub(crate) stop: Option<Stop>,
    /// Whether a rule may have let it pass before it is stopped.
    pub(crate) may_have_passed: bool,
}

impl Doubts {
    /// The judgement when the walk has ended: stopped, or not.
    pub(crate) fn judgement(self, stopped: Option<Stop>) -> Judgement {
        match (stopped, self.stop, self.may_have_passed) {
            (Some(stop), _, false) => Judgement::Stopped(stop),
            (Some(stop), _, true) => Judgement::Doubtful(stop),
            (None, Some(stop), _) => Judgement::Doubtful(stop),
            (None, None, _) => Judgement::Passes,
        }
    }
}

/// Whether an interface has a name, of which the end may be left open (`vnet*`, `vnet+`).
pub(crate) fn is_interface(name: &str, pattern: &str, open: char) -> bool {
    match pattern.strip_suffix(open) {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

/// Most chains that are walked through one from another; the kernel has as many.
pub(crate) const DEPTH: usize = 16;
