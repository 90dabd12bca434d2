//! What the operator is told of networks: their policies as written, as given and as in the
//! firewall.

use super::Engine;
use crate::{ApplyError, Record, Whereabouts};
use portero_event::Network;
use portero_plan::{Family, Origin, OwnerKind, Policy};
use portero_routed_policy::WrittenPolicy;
use std::net::IpAddr;

/// An active network.
#[derive(Debug)]
pub struct ActiveNetwork {
    /// The network.
    pub network: Network,
    /// The policy that it was given.
    pub policy: Option<Policy>,
    /// Whether that, and all else it was given, is in the firewall and can be reached.
    pub is_in_firewall: bool,
    /// Its policy as it is written now, and where.
    pub written: Result<Option<(WrittenPolicy, Origin)>, ApplyError>,
}

impl Engine<'_> {
    /// All active networks, in the order of their names.
    ///
    /// # Errors
    /// [`ApplyError`].
    pub fn networks(&mut self) -> Result<Vec<ActiveNetwork>, ApplyError> {
        let (config, deadline) = self.configure_or_default();
        let _lock = self.state.lock(deadline)?;
        self.refresh_networks()?;
        let records = self.all_records()?;
        let firewall = self.choose(&config, deadline)?.firewall;
        let seen = self.observe(firewall, &records, deadline)?;
        let mut networks = self.state.networks()?;
        networks.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
        let networks = networks.into_iter().map(|network| {
            let is_its_own = |record: &&Record| {
                let owner = &record.ruleset.owner;
                (owner.kind, owner.uuid) == (OwnerKind::Network, network.uuid)
            };
            let record = records.iter().find(is_its_own);
            ActiveNetwork {
                policy: record.and_then(|record| record.ruleset.policy.clone()),
                is_in_firewall: record.is_none_or(|record| seen.holds(&record.ruleset)),
                written: self.written_policy(&network),
                network,
            }
        });
        Ok(networks.collect())
    }

    /// Where an address is, seen from the host.
    ///
    /// # Errors
    /// [`ApplyError`] when the routes cannot be read.
    pub fn whereabouts(&mut self, address: IpAddr) -> Result<Whereabouts, ApplyError> {
        let (_, deadline) = self.configure_or_default();
        Ok(self.kernel.whereabouts(address, deadline)?)
    }

    /// Whether the host passes packets of a family on.
    pub fn passes_on(&mut self, family: Family) -> bool {
        self.kernel.passes_on(family)
    }
}
