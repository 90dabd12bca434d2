//! Which firewall the rules belong in, and what is in it now.

use crate::config::libvirt_firewall;
use crate::engine::Engine;
use crate::lost::Lost;
use crate::{ApplyError, Config, Record};
use portero_firewall::{iptables, BaseTables, Driver, Firewall, Reconciled, Script};
use portero_model::{Family, Ruleset};
use portero_system::{Deadline, Severity};

/// Where rules go, and whether there may be some where they no longer belong.
#[derive(Debug, Clone, Copy)]
pub struct Choice {
    /// The firewall.
    pub firewall: Firewall,
    /// Where libvirt has its rules; nothing when it has none.
    pub libvirt: Option<Firewall>,
    /// The one that portero's rules were in last.
    pub last: Option<Firewall>,
    /// Whether the other one has to be looked through.
    pub withdraw: bool,
}

impl Engine<'_> {
    /// The firewall of portero.toml; else the one libvirt has its rules in, since only there can
    /// be accepted what it rejects; else the one libvirt is told to use; else the last; else
    /// whichever is installed.
    pub fn choose(&mut self, config: &Config, deadline: Deadline) -> Result<Choice, ApplyError> {
        let detected = self.system.detect_backend(deadline)?;
        let last = self.state.base()?.map(|base| base.firewall);
        let installed = if detected.can_iptables {
            Firewall::Iptables
        } else {
            Firewall::Nftables
        };
        let firewall = config
            .firewall
            .named()
            .or(detected.libvirt)
            .or_else(|| libvirt_firewall(&self.paths))
            .or(last)
            .unwrap_or(installed);
        let elsewhere = match firewall {
            Firewall::Iptables => detected.has_nftables,
            Firewall::Nftables => detected.has_iptables,
        };
        Ok(Choice {
            firewall,
            libvirt: detected.libvirt,
            last,
            withdraw: elsewhere || last == Some(firewall.other()),
        })
    }

    /// Begins to read what [`Engine::observe`] will be asked for, where that takes long.
    pub fn preobserve(&mut self, deadline: Deadline) {
        let base = self.state.base().ok().flatten();
        let is_nftables = base.is_some_and(|base| base.firewall == Firewall::Nftables);
        if is_nftables && self.state.has_many_records() {
            self.system.preobserve_nftables(deadline);
        }
    }

    /// Reads portero's part of a firewall, as far as it concerns these owners.
    pub fn observe<'r>(
        &mut self,
        firewall: Firewall,
        rulesets: impl Iterator<Item = &'r Ruleset> + Clone,
        deadline: Deadline,
    ) -> Result<Box<dyn Driver>, ApplyError> {
        Ok(match firewall {
            Firewall::Nftables => Box::new(self.system.observe_nftables(deadline)?),
            Firewall::Iptables => {
                let mut families = Vec::new();
                for family in Family::ALL {
                    match self.system.observe_iptables(family, deadline) {
                        Ok(observed) => families.push((family, observed)),
                        Err(error) if rulesets.clone().any(|one| concerns(family, one)) => {
                            return Err(error.into());
                        }
                        Err(error) => self.log.write(Severity::Debug, error),
                    }
                }
                Box::new(iptables::Families(families))
            }
        })
    }

    /// The scripts that bring a firewall from what is in it to `new`, and where the rules will be.
    pub(crate) fn scripts(
        &mut self,
        firewall: Firewall,
        old: &[Record],
        new: &[Ruleset],
        deadline: Deadline,
    ) -> Result<(Vec<Script>, BaseTables), ApplyError> {
        let all = old.iter().map(|record| &record.ruleset).chain(new);
        let observed = self.observe(firewall, all, deadline)?;
        let Reconciled { scripts, shared } = observed.reconcile(new);
        let base = BaseTables {
            firewall,
            libvirt: observed.libvirt(),
            shared,
            policies: new.iter().any(|ruleset| ruleset.policy.is_some()),
            antispoof: false,
        };
        // What moves from another firewall was not lost.
        let is_same = !scripts.is_empty()
            && (self.state.base()?).is_some_and(|last| last.firewall == firewall);
        self.lost = match is_same {
            true => Lost::of(&*observed, old, new),
            false => None,
        };
        Ok((scripts, base))
    }
}

fn concerns(family: Family, ruleset: &Ruleset) -> bool {
    let mut rules = ruleset.rules.iter();
    ruleset.policy.is_some() || rules.any(|rule| rule.family() == family)
}
