//! Ports that portero forwards and somebody else sends to a guest or container of his (DNAT), too.

use portero_model::{Arrives, Dnat, Owner, Protocol, ToHost};
use portero_trace::{RuleOwner, Rules};
use std::fmt;

/// Such a port: portero's rules come first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Who has the forward.
    pub owner: Owner,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its first port.
    pub port: u16,
    /// Whose the other rule is.
    pub by: RuleOwner,
    /// That rule.
    pub rule: String,
}

impl Published {
    /// Finds it for a forward among everybody's rules.
    #[must_use]
    pub fn find(rules: &Rules, owner: &Owner, dnat: &Dnat) -> Option<Self> {
        let (protocol, port) = (dnat.protocol, dnat.ports.start());
        let packet = ToHost {
            protocol,
            port,
            address: dnat.address,
            source: None,
            arrives: Arrives::Somehow,
        };
        let other = rules.published_by_others(&packet)?;
        Some(Self {
            owner: owner.clone(),
            protocol,
            port,
            by: other.by,
            rule: other.rule,
        })
    }
}

impl fmt::Display for Published {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            owner,
            protocol,
            port,
            by,
            rule,
        } = self;
        let by = match by {
            RuleOwner::Other => "somebody else",
            named => named.name(),
        };
        write!(
            formatter,
            "{protocol} port {port} of {owner} is published by {by} too ({rule}): {owner} gets what comes for it"
        )
    }
}
