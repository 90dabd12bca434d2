//! What the host has besides its NICs, and a program that brings NICs up changes with them: rules of routing, and servers
//! for names.

use crate::difference::Difference;
use crate::dns::Dns;
use crate::error::ChangeError;
use crate::kernel::{change, dump, FAMILIES};
use crate::outcome::Kind;
use crate::rule::{RoutingRule, RULE_HEAD};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use nix::libc::{RTM_DELRULE, RTM_GETRULE, RTM_NEWRULE};
use portero_system::{Paths, SystemError};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Who is asked what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whom {
    /// Everybody.
    All,
    /// The kernel and files: a program may hang as the one does that brings NICs up.
    Kernel,
}

/// What the host had before its NIC was put into a bridge, or taken out of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct HostNoted {
    /// The interface that had it.
    interface: String,
    pub(crate) rules: Vec<RoutingRule>,
    pub(crate) dns: Dns,
}

impl HostNoted {
    /// What it has now, with `interface` as the one that it goes by.
    pub(super) fn read(paths: &Paths, interface: &str) -> Result<Self, SystemError> {
        Ok(Self {
            interface: interface.to_owned(),
            rules: rules()?,
            dns: Dns::read(&resolv_conf(paths), interface),
        })
    }

    /// What is missing, when all of it is to go by another interface.
    pub(super) fn missing(
        &self,
        paths: &Paths,
        interface: &str,
        whom: Whom,
    ) -> Result<Vec<Difference>, SystemError> {
        let rules = self.missing_rules(&rules()?, interface).into_iter();
        let rules = rules.map(|rule| Difference::new(Kind::Rules, format!("rule {}", rule.text)));
        let dns = match (whom, &self.dns) {
            (Whom::Kernel, Dns::Resolved { .. }) => Vec::new(),
            _ => self.missing_servers(paths, interface),
        };
        let dns = dns.into_iter();
        let dns = dns.map(|server| Difference::new(Kind::Dns, format!("DNS server {server}")));
        Ok(rules.chain(dns).collect())
    }

    fn missing_servers(&self, paths: &Paths, interface: &str) -> Vec<String> {
        let now = Dns::read_servers(&resolv_conf(paths), interface);
        self.dns.missing_in(&now)
    }

    fn missing_rules(&self, now: &[RoutingRule], interface: &str) -> Vec<RoutingRule> {
        let wanted = self.moved_rules(interface).into_iter();
        wanted
            .filter(|wanted| !now.iter().any(|rule| rule.is_same(wanted)))
            .collect()
    }

    fn moved_rules(&self, interface: &str) -> Vec<RoutingRule> {
        let rules = self.rules.iter();
        rules
            .map(|rule| rule.moved(&self.interface, interface))
            .collect()
    }

    /// Makes what is missing, and removes rules by the bridge that is gone; gives what was refused.
    pub(super) fn put_back(&self, paths: &Paths, nic: &str, bridge: &str) -> Vec<ChangeError> {
        let now = match rules() {
            Ok(now) => now,
            Err(error) => return vec![error.into()],
        };
        let mut refused = Vec::new();
        for rule in self.missing_rules(&now, nic) {
            let flags = NLM_F_CREATE | NLM_F_EXCL;
            let made = change(RTM_NEWRULE, rule.request(), flags);
            refused.extend(made.err().map(ChangeError::from));
        }
        let noted = self.moved_rules(nic);
        let is_noted = |rule: &RoutingRule| noted.iter().any(|known| known.is_same(rule));
        for rule in now {
            if rule.is_by(bridge) && !is_noted(&rule) {
                let removed = change(RTM_DELRULE, rule.request(), 0);
                refused.extend(removed.err().map(ChangeError::from));
            }
        }
        if !self.missing_servers(paths, nic).is_empty() {
            let put = self.dns.put_back(&resolv_conf(paths), nic, &self.interface);
            refused.extend(put.err());
        }
        refused
    }
}

fn resolv_conf(paths: &Paths) -> PathBuf {
    paths.etc.join("resolv.conf")
}

/// The host's rules.
fn rules() -> Result<Vec<RoutingRule>, SystemError> {
    let mut rules = Vec::new();
    for family in FAMILIES {
        let answers = dump(RTM_GETRULE, RULE_HEAD, family)?.into_iter();
        rules.extend(answers.filter_map(|answer| RoutingRule::read(&answer.payload)));
    }
    Ok(rules)
}
