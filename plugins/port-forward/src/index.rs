//! Claims that are found by what they have in common with another: whoever writes thousands of them
//! shall not keep others waiting.

use ipnet::IpNet;
use portero_model::{Claim, Protocol};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

/// Claims, each with the number of its forward.
#[derive(Default)]
pub(crate) struct Index(HashMap<(Protocol, u16), Place>);

/// Claims of neighbouring ports, by interface and address.
type Place = HashMap<(Option<String>, Option<IpAddr>), Sources>;

/// Claims that are alike but for source and port.
#[derive(Default)]
struct Sources {
    everybody: Vec<(usize, Claim)>,
    networks: BTreeMap<IpNet, Vec<(usize, Claim)>>,
}

impl Index {
    /// How many ports are looked for together.
    const PORTS: u16 = 64;

    fn keys(claim: &Claim) -> impl Iterator<Item = (Protocol, u16)> {
        let (protocol, ports) = (claim.protocol, claim.ports);
        let places = ports.start() / Self::PORTS..=ports.end() / Self::PORTS;
        places.map(move |place| (protocol, place))
    }

    pub(crate) fn insert(&mut self, forward: usize, claim: Claim) {
        for key in Self::keys(&claim) {
            let place = self.0.entry(key).or_default();
            let alike = place.entry((claim.dev.clone(), claim.address)).or_default();
            let there = match claim.source {
                Some(source) => alike.networks.entry(source.trunc()).or_default(),
                None => &mut alike.everybody,
            };
            there.push((forward, claim.clone()));
        }
    }

    /// The first forward with a claim that is in the way of another.
    pub(crate) fn first_in_conflict(&self, claim: &Claim) -> Option<(usize, &Claim)> {
        Self::keys(claim)
            .filter_map(|key| self.0.get(&key))
            .flat_map(|place| alike(place, claim))
            .filter_map(|sources| sources.first_in_conflict(claim))
            .min_by_key(|(forward, _)| *forward)
    }
}

/// Those of a place whose interface and address can be a claim's too.
fn alike<'a>(place: &'a Place, claim: &Claim) -> Vec<&'a Sources> {
    let (dev, address) = (&claim.dev, claim.address);
    if dev.is_some() && address.is_some() {
        let keys = [
            (dev.clone(), address),
            (dev.clone(), None),
            (None, address),
            (None, None),
        ];
        return keys.iter().filter_map(|key| place.get(key)).collect();
    }
    let fits = |(other_dev, other_address): &(Option<String>, Option<IpAddr>)| {
        (dev.is_none() || other_dev.is_none() || dev == other_dev)
            && (address.is_none() || other_address.is_none() || address == *other_address)
    };
    let all = place.iter().filter(|(key, _)| fits(key));
    all.map(|(_, sources)| sources).collect()
}

impl Sources {
    fn first_in_conflict(&self, claim: &Claim) -> Option<(usize, &Claim)> {
        let networks = self.networks_near(claim.source);
        std::iter::once(&self.everybody)
            .chain(networks)
            .filter_map(|there| there.iter().find(|(_, other)| other.conflicts_with(claim)))
            .map(|(forward, claim)| (*forward, claim))
            .min_by_key(|(forward, _)| *forward)
    }

    /// Claims of networks that have an address in common with a source: those it is in, and those in it.
    fn networks_near(&self, source: Option<IpNet>) -> Vec<&Vec<(usize, Claim)>> {
        let Some(source) = source.map(|source| source.trunc()) else {
            return self.networks.values().collect();
        };
        let above = std::iter::successors(source.supernet(), IpNet::supernet);
        let above = above.filter_map(|network| self.networks.get(&network));
        let last = IpNet::from(source.broadcast());
        let within = self.networks.range(source..=last);
        above.chain(within.map(|(_, there)| there)).collect()
    }
}
