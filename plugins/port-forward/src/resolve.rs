//! The networks that the `<source>`s of a forward come to.
//!
//! Whoever is excepted (`match='no'`) is taken out of the networks beforehand, so that no firewall has to know of exceptions:
//! all of IPv4 without 10.0.0.0/8 is eight networks.

use crate::source::SourceTarget;
use crate::{Forward, Result};
use ipnet::IpNet;
use portero_libvirt::ObjectName;
use portero_model::Family;
use std::collections::BTreeSet;

/// Most networks that the sources of a forward may come to: each takes an element or a rule for each of its ports.
const MOST: usize = 1000;

impl Forward {
    /// The forward with its `<source>`s resolved: one for each network, itself where it has none. `groups` gives the
    /// addresses of a group, or why it cannot.
    ///
    /// # Errors
    /// [`crate::ForwardError`] when a group cannot be used, nobody is left or the networks are too many.
    pub fn with_sources(
        self,
        groups: &dyn Fn(&ObjectName) -> Result<Vec<IpNet>, String>,
    ) -> Result<Vec<Self>> {
        if self.sources.is_empty() {
            return Ok(vec![self]);
        }
        let (mut given, mut excepted) = (Vec::new(), Vec::new());
        let mut bans = BTreeSet::new();
        given.extend(self.source);
        for source in &self.sources {
            let nets = match &source.target {
                SourceTarget::Net(net) => vec![*net],
                SourceTarget::Set(set) => {
                    bans.insert(set.clone());
                    continue;
                }
                SourceTarget::Group(name) => groups(name).map_err(|reason| self.invalid(reason))?,
            };
            match source.is_negated {
                true => excepted.extend(nets),
                false => given.extend(nets),
            }
        }
        if given.is_empty() && excepted.is_empty() && bans.len() == self.sources.len() {
            return Ok(vec![Self { bans, ..self }]);
        }
        let has_given = self.source.is_some() || self.sources.iter().any(|one| !one.is_negated);
        if !has_given {
            given.extend(Family::ALL.map(Family::all));
        }
        given.retain(|net| self.takes(Family::from(net.addr())));
        let mut nets = IpNet::aggregate(&given);
        for hole in excepted {
            nets = nets
                .into_iter()
                .flat_map(|net| without(net, hole))
                .collect();
            if nets.len() > MOST {
                return Err(self.invalid(format!(
                    "its sources come to more than {MOST} networks, expected fewer"
                )));
            }
        }
        if nets.is_empty() {
            return Err(self.invalid("its sources leave nobody, expected somebody"));
        }
        let forwards = nets.into_iter().map(|net| Self {
            source: Some(net),
            bans: bans.clone(),
            ..self.clone()
        });
        Ok(forwards.collect())
    }
}

/// A network without another, as the fewest networks.
fn without(net: IpNet, hole: IpNet) -> Vec<IpNet> {
    let are_alike = Family::from(net.addr()) == Family::from(hole.addr());
    if !are_alike || !(net.contains(&hole) || hole.contains(&net)) {
        return vec![net];
    }
    let (mut left, mut around) = (Vec::new(), net);
    while around.prefix_len() < hole.prefix_len() {
        let halves = around
            .subnets(around.prefix_len() + 1)
            .into_iter()
            .flatten();
        for half in halves {
            match half.contains(&hole) {
                true => around = half,
                false => left.push(half),
            }
        }
    }
    left
}
