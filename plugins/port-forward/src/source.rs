//! `<source>`: who may use a forward, as it is written, and the networks that it comes to.
//!
//! Whoever is excepted (`match='no'`) is taken out of the networks beforehand, so that no firewall has to know of exceptions:
//! all of IPv4 without 10.0.0.0/8 is eight networks.

use crate::grammar::network;
use crate::{Forward, Result};
use ipnet::IpNet;
use portero_libvirt::ObjectName;
use portero_model::Family;
use portero_xml::{Element, Problem};
use std::fmt;

/// Most networks that the sources of a forward may come to: each takes an element or a rule for each of its ports.
const MOST: usize = 1000;

/// One `<source>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenSource {
    /// Whom it names.
    pub target: SourceTarget,
    /// Whether it is excepted (`match='no'`).
    pub is_negated: bool,
}

/// Whom a `<source>` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceTarget {
    /// Addresses.
    Net(IpNet),
    /// The addresses in /etc/portero/groups/NAME.xml.
    Group(ObjectName),
}

impl WrittenSource {
    /// Reads a `<source>`.
    ///
    /// # Errors
    /// [`Problem`] at an attribute that is not as the grammar has it.
    pub(crate) fn read(element: &Element) -> Result<Self, Problem> {
        element.only_attributes(&["address", "prefix", "group", "match"])?;
        element.expect_nothing()?;
        let address = element.attribute("address");
        let target = match (address, element.attribute("prefix")) {
            (None, Some(_)) => return Err(element.problem("prefix without address")),
            (None, None) => None,
            (Some(address), prefix) => {
                if address.contains('/') {
                    return Err(element.problem(format!(
                        "address is '{}', expected an address, and prefix beside it",
                        address.escape_debug()
                    )));
                }
                let text =
                    prefix.map_or(address.to_owned(), |prefix| format!("{address}/{prefix}"));
                Some(network(&text).map_err(|reason| element.problem(reason))?)
            }
        };
        let group: Option<ObjectName> = element.optional("group", str::parse)?;
        let target = match (target, group) {
            (Some(net), None) => SourceTarget::Net(net),
            (None, Some(group)) => SourceTarget::Group(group),
            _ => return Err(element.problem("expected one of the attributes address, group")),
        };
        let is_negated = match element.attribute("match") {
            None | Some("yes") => false,
            Some("no") => true,
            Some(other) => {
                return Err(element.problem(format!(
                    "match is '{}', expected yes or no",
                    other.escape_debug()
                )))
            }
        };
        Ok(Self { target, is_negated })
    }
}

impl fmt::Display for WrittenSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_negated {
            formatter.write_str("not ")?;
        }
        match &self.target {
            SourceTarget::Net(net) => write!(formatter, "{net}"),
            SourceTarget::Group(name) => write!(formatter, "group {name}"),
        }
    }
}

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
        given.extend(self.source);
        for source in &self.sources {
            let nets = match &source.target {
                SourceTarget::Net(net) => vec![*net],
                SourceTarget::Group(name) => groups(name).map_err(|reason| self.invalid(reason))?,
            };
            match source.is_negated {
                true => excepted.extend(nets),
                false => given.extend(nets),
            }
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
            sources: Vec::new(),
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
