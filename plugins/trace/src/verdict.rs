//! What rules make of a packet, and whose they are.

use crate::flow::Hook;

/// What becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// Everybody lets it pass.
    Passes,
    /// Somebody stops it.
    Stopped(Stop),
    /// Somebody may; what decides cannot be seen from here.
    Doubtful(Stop),
}

/// Who stops a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// Whose rules they are.
    pub by: RuleOwner,
    /// `drop` or `reject`.
    pub verdict: &'static str,
    /// The rule, or that it is the policy of a chain.
    pub rule: String,
    /// The base chain that was asked.
    pub base: BaseChain,
}

/// A rule that lets a packet pass, so that none after it in its base chain is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceptance {
    /// Whose rule it is.
    pub by: RuleOwner,
    /// The rule.
    pub rule: String,
}

/// Whose rules they are, by the names of chains and tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum RuleOwner {
    /// docker's.
    Docker,
    /// ufw's.
    Ufw,
    /// firewalld's.
    Firewalld,
    /// libvirt's.
    Libvirt,
    /// portero's.
    Portero,
    /// Somebody's.
    Other,
}

impl RuleOwner {
    /// `docker`, `ufw`, ...; `other` for somebody's.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// A chain that the kernel asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BaseChain {
    /// Of nftables.
    Nftables {
        /// `inet`, `ip`, ...
        family: String,
        /// The table.
        table: String,
        /// The chain.
        chain: String,
        /// Where the kernel asks it.
        hook: Hook,
    },
    /// Of iptables.
    Iptables {
        /// The program whose rules they are: `iptables`, `ip6tables-legacy`.
        program: String,
        /// `filter`, `raw`, ...
        table: String,
        /// The built-in chain's hook.
        hook: Hook,
    },
}

impl BaseChain {
    /// Where the kernel asks it.
    #[must_use]
    pub fn hook(&self) -> Hook {
        match self {
            Self::Nftables { hook, .. } | Self::Iptables { hook, .. } => *hook,
        }
    }
}
