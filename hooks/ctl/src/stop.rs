//! Who stops a packet, in words, and the command after which it passes.

use portero_trace::{mend, BaseChain, Flow, Leg, RuleOwner, Scope, Settings, Stop};

/// The command after which a packet passes, or what else to do.
pub(crate) fn mend_stop(
    stop: &Stop,
    (flow, leg): (&Flow, Leg),
    settings: &Settings,
    scope: Scope,
) -> String {
    let command = mend(stop, flow, leg, settings, scope);
    command.unwrap_or_else(|| "ask the author of that rule to exempt this connection".to_owned())
}

/// Who has stopped a packet.
pub(crate) fn name_stop(stop: &Stop) -> String {
    let whose = match stop.by {
        RuleOwner::Other => String::new(),
        owner => format!("{}'s ", owner.name()),
    };
    // Comments are whoever's wrote them.
    let rule: String = stop.rule.chars().filter(|one| !one.is_control()).collect();
    match &stop.base {
        BaseChain::Iptables { program, table, .. } if table == "filter" => {
            format!("{whose}{program}: {rule}")
        }
        BaseChain::Iptables { program, table, .. } => {
            format!("{whose}{program}, table {table}: {rule}")
        }
        BaseChain::Nftables { family, table, .. } => {
            format!("{whose}nftables table {family} {table}: {rule}")
        }
    }
}
