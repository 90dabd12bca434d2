//! What both walks through rules have in common.

use crate::verdict::{Acceptance, Judgement, Stop};

/// Whether a packet comes to a rule at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Certainty {
    Sure,
    Maybe,
}

/// How a chain ends early.
pub(crate) enum ChainEnd {
    Accept(Acceptance),
    Stop(Stop),
    Return,
}

/// What a base chain makes of a packet.
#[derive(Debug)]
pub(crate) struct Walked {
    pub(crate) judgement: Judgement,
    /// The rule that has let it pass, where one surely has.
    pub(crate) accepted: Option<Acceptance>,
    /// Whether connection tracking may leave it alone (`notrack`).
    pub(crate) may_be_untracked: bool,
}

/// What is known so far while rules are walked through.
#[derive(Debug, Default)]
pub(crate) struct Doubts {
    /// Whether a rule that may fit has taken it from connection tracking.
    pub(crate) may_be_untracked: bool,
    /// A rule that may have stopped the packet.
    pub(crate) stop: Option<Stop>,
    /// Whether a rule may have let it pass before it is stopped.
    pub(crate) may_have_passed: bool,
}

impl Doubts {
    /// Ends a chain for a packet that surely comes to a rule; one that only may come there goes on, which is noted.
    pub(crate) fn meet(&mut self, end: ChainEnd, certainty: Certainty) -> Option<ChainEnd> {
        match (end, certainty) {
            (end, Certainty::Sure) => return Some(end),
            (ChainEnd::Accept(_) | ChainEnd::Return, Certainty::Maybe) => {
                self.may_have_passed = true
            }
            (ChainEnd::Stop(stop), Certainty::Maybe) => {
                self.stop.get_or_insert(stop);
            }
        }
        None
    }

    /// The judgement when the walk has come to an end, or else to the policy of the base chain.
    pub(crate) fn walked(self, end: Option<ChainEnd>, policy: Option<Stop>) -> Walked {
        let (accepted, stopped) = match end {
            Some(ChainEnd::Accept(acceptance)) => (Some(acceptance), None),
            Some(ChainEnd::Stop(stop)) => (None, Some(stop)),
            Some(ChainEnd::Return) | None => (None, policy),
        };
        let judgement = match (stopped, self.stop, self.may_have_passed) {
            (Some(stop), _, false) => Judgement::Stopped(stop),
            (Some(stop), _, true) => Judgement::Doubtful(stop),
            (None, Some(stop), _) => Judgement::Doubtful(stop),
            (None, None, _) => Judgement::Passes,
        };
        Walked {
            judgement,
            accepted,
            may_be_untracked: self.may_be_untracked,
        }
    }
}

/// Whether all fit; nothing when that depends on one of which it cannot be told.
pub(crate) fn all(fits: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut all = Some(true);
    for fit in fits {
        match fit {
            Some(true) => {}
            Some(false) => return fit,
            None => all = None,
        }
    }
    all
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
