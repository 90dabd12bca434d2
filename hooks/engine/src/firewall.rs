//! Which firewall the rules belong in, and what is in it now.

use crate::config::libvirt_firewall;
use crate::engine::Engine;
use crate::{ApplyError, BaseTables, Config, Record};
use portero_firewall::iptables::LibvirtChains;
use portero_firewall::{iptables, nftables, Firewall, Script};
use portero_model::{Family, Ruleset};
use portero_system::{Deadline, Severity};

/// Where rules go, and whether there may be some where they no longer belong.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice {
    /// The firewall.
    pub(crate) firewall: Firewall,
    /// Whether the other one has to be looked through.
    pub(crate) withdraw: bool,
}

/// portero's part of a firewall.
pub(crate) enum Seen {
    Iptables(Vec<(Family, iptables::Observed)>),
    Nftables(Box<nftables::Observed>),
}

impl Seen {
    /// Whether all of an owner's rules are there and can be reached.
    pub(crate) fn holds(&self, ruleset: &Ruleset) -> bool {
        match self {
            Self::Iptables(families) => families
                .iter()
                .all(|(family, observed)| observed.holds(*family, ruleset)),
            Self::Nftables(observed) => observed.holds(ruleset),
        }
    }
}

impl Engine<'_> {
    /// The firewall of portero.toml; else the one libvirt has its rules in, since only there can
    /// be accepted what it rejects; else the one libvirt is told to use; else the last; else
    /// whichever is installed.
    pub(crate) fn choose(
        &mut self,
        config: &Config,
        deadline: Deadline,
    ) -> Result<Choice, ApplyError> {
        let detect_backend = self.system.detect_backend(deadline)?;
        let last = self.state.base()?.map(|base| base.firewall);
        let installed = if detect_backend.can_iptables {
            Firewall::Iptables
        } else {
            Firewall::Nftables
        };
        let firewall = config
            .firewall
            .named()
            .or(detect_backend.libvirt)
            .or_else(|| libvirt_firewall(&self.paths))
            .or(last)
            .unwrap_or(installed);
        let elsewhere = match firewall {
            Firewall::Iptables => detect_backend.has_nftables,
            Firewall::Nftables => detect_backend.has_iptables,
        };
        Ok(Choice {
            firewall,
            withdraw: elsewhere || last == Some(firewall.other()),
        })
    }

    /// Reads portero's part of a firewall, as far as it concerns these owners.
    pub(crate) fn observe(
        &mut self,
        firewall: Firewall,
        records: &[Record],
        deadline: Deadline,
    ) -> Result<Seen, ApplyError> {
        Ok(match firewall {
            Firewall::Nftables => Seen::Nftables(Box::new(self.system.observe_nftables(deadline)?)),
            Firewall::Iptables => {
                let mut families = Vec::new();
                for family in Family::ALL {
                    match self.system.observe_iptables(family, deadline) {
                        Ok(observed) => families.push((family, observed)),
                        Err(error) if concerns(family, records) => return Err(error.into()),
                        Err(error) => self.log.write(Severity::Debug, error),
                    }
                }
                Seen::Iptables(families)
            }
        })
    }

    /// The scripts that bring a firewall from what is in it to `new`, and where the rules will be.
    pub(crate) fn scripts(
        &mut self,
        firewall: Firewall,
        old: &[Record],
        new: &[Record],
        deadline: Deadline,
    ) -> Result<(Vec<Script>, BaseTables), ApplyError> {
        let rulesets: Vec<Ruleset> = new.iter().map(|record| record.ruleset.clone()).collect();
        let mut base = BaseTables {
            firewall,
            libvirt: Vec::new(),
            shared: false,
            policies: rulesets.iter().any(|ruleset| ruleset.policy.is_some()),
            guards: false,
        };
        let all: Vec<Record> = old.iter().chain(new).cloned().collect();
        let scripts = match self.observe(firewall, &all, deadline)? {
            Seen::Iptables(families) => {
                let standing = families.iter();
                base.libvirt = standing
                    .filter(|(_, observed)| observed.libvirt() == LibvirtChains::Standing)
                    .map(|(family, _)| *family)
                    .collect();
                let scripts = families.iter();
                scripts
                    .filter_map(|(family, observed)| {
                        iptables::reconcile(*family, observed, &rulesets)
                    })
                    .collect()
            }
            Seen::Nftables(observed) => {
                base.libvirt = observed.libvirt_families().collect();
                base.shared = nftables::shares_elements(&rulesets);
                nftables::reconcile(&observed, &rulesets)
                    .into_iter()
                    .collect()
            }
        };
        Ok((scripts, base))
    }
}

fn concerns(family: Family, records: &[Record]) -> bool {
    records.iter().any(|record| {
        let mut rules = record.ruleset.rules.iter();
        record.ruleset.policy.is_some() || rules.any(|rule| rule.family() == family)
    })
}
