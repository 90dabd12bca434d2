//! Elements of sets and maps, in the words in which nft reads and prints them.

use super::{LIBVIRT_TABLE, NAME, POLICY_NAME};
use ipnet::IpNet;
use portero_model::Family;
use std::collections::BTreeMap;
use std::fmt;

/// A table that portero has sets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// portero's own.
    Own,
    /// portero's own for policies.
    Policy,
    /// portero's own for what guests may not pretend.
    Antispoof,
    /// libvirt's for a family.
    Libvirt(Family),
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = match self {
            Self::Own | Self::Policy => "inet",
            Self::Antispoof => "bridge",
            Self::Libvirt(family) => ip(*family),
        };
        write!(formatter, "{family} {}", self.name())
    }
}

impl Place {
    /// The table's name, without its family.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Own => NAME,
            Self::Policy | Self::Antispoof => POLICY_NAME,
            Self::Libvirt(_) => LIBVIRT_TABLE,
        }
    }
}

/// What an element is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key<'a> {
    /// The table.
    pub(crate) place: Place,
    /// The set or map.
    pub(crate) set: &'a str,
    /// The parts of the key, as nft reads them.
    pub(crate) key: &'a str,
}

/// One element, with what a map gives for it.
pub(crate) type Element<'a> = (Key<'a>, &'a Option<String>);

/// Keys of a set with what a map gives for them; a set gives nothing.
type Keys = BTreeMap<String, Option<String>>;

/// The same in their order, or still in none.
pub(crate) type Pairs = Vec<(String, Option<String>)>;

/// A table, a set or map of it, and elements of that.
pub(crate) type OfSet = (Place, String, Pairs);

/// Elements by their tables and sets, in the order of all of these.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Elements(BTreeMap<Place, BTreeMap<String, Keys>>);

impl Elements {
    fn in_set(&mut self, place: Place, set: &str, add: impl FnOnce(&mut Keys)) {
        let sets = self.0.entry(place).or_default();
        // An entry would need a name of its own for each of a set's elements.
        match sets.get_mut(set) {
            Some(keys) => add(keys),
            None => add(sets.entry(set.to_owned()).or_default()),
        }
    }

    pub(crate) fn insert(&mut self, place: Place, set: &str, key: String, data: Option<String>) {
        self.in_set(place, set, |keys| drop(keys.insert(key, data)));
    }

    /// Adds all of these to a set.
    pub(crate) fn insert_all(&mut self, place: Place, set: &str, elements: Pairs) {
        self.in_set(place, set, |keys| {
            add_all(keys, elements.into_iter().collect())
        });
    }

    pub(crate) fn extend(&mut self, others: Self) {
        for (place, sets) in others.0 {
            for (set, others) in sets {
                self.in_set(place, &set, |keys| add_all(keys, others));
            }
        }
    }

    /// All of them.
    pub(crate) fn into_sets(self) -> impl Iterator<Item = OfSet> {
        self.0.into_iter().flat_map(|(place, sets)| {
            let sets = sets.into_iter();
            sets.map(move |(set, keys)| (place, set, keys.into_iter().collect()))
        })
    }

    /// Those in a table that others lack, or have with other data.
    pub(crate) fn without<'a>(
        &'a self,
        place: Place,
        others: &'a Self,
    ) -> impl Iterator<Item = OfSet> + 'a {
        let sets = self.0.get(&place).into_iter().flatten();
        sets.map(move |(set, keys)| {
            let others = others.0.get(&place).and_then(|sets| sets.get(set));
            // Both are in one order.
            let mut others = others.into_iter().flatten().peekable();
            let lacked = keys.iter().filter(|(key, data)| {
                while others.next_if(|(other, _)| other < key).is_some() {}
                others.peek() != Some(&(key, data))
            });
            let lacked = lacked.map(|(key, data)| (key.clone(), data.clone()));
            (place, set.clone(), lacked.collect())
        })
    }

    /// Those that others lack, and those of the others that it lacks.
    pub(crate) fn difference(self, others: Self) -> [Vec<OfSet>; 2] {
        if self.is_empty() || others.is_empty() {
            return [self, others].map(|all| all.into_sets().collect());
        }
        [(&self, &others), (&others, &self)].map(|(own, others)| {
            let all = own.0.keys().map(|place| own.without(*place, others));
            all.flatten().collect()
        })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Element<'_>> {
        self.0.keys().flat_map(|place| self.iter_in(*place))
    }

    /// Those in a table.
    pub(crate) fn iter_in(&self, place: Place) -> impl Iterator<Item = Element<'_>> {
        let sets = self.0.get(&place).into_iter().flatten();
        sets.flat_map(move |(set, keys)| {
            keys.iter()
                .map(move |(key, data)| (Key { place, set, key }, data))
        })
    }

    /// Whether there are any in a table.
    pub(crate) fn has_any(&self, place: Place) -> bool {
        self.iter_in(place).next().is_some()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    pub(crate) fn len(&self) -> usize {
        let sets = self.0.values().flat_map(BTreeMap::values);
        sets.map(BTreeMap::len).sum()
    }

    /// What a map gives for an element that is among them.
    pub(crate) fn get(&self, key: Key<'_>) -> Option<&Option<String>> {
        self.0.get(&key.place)?.get(key.set)?.get(key.key)
    }
}

/// Adds some to others, of which there may be many: `BTreeMap::append` would go through all of them.
fn add_all(keys: &mut Keys, more: Keys) {
    if keys.is_empty() {
        *keys = more;
    } else {
        keys.extend(more);
    }
}

/// nft's name for the header of a family, and for the family of tables.
pub(crate) fn ip(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "ip",
        Family::Ipv6 => "ip6",
    }
}

/// What the names of a family's sets start with.
pub(crate) fn prefix(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "v4",
        Family::Ipv6 => "v6",
    }
}

/// nft's name for addresses of a family.
pub(crate) fn address_type(family: Family) -> String {
    format!("ip{}_addr", prefix(family))
}

/// A network as nft prints it: one address without its length.
pub(crate) fn network(network: IpNet) -> String {
    if network.prefix_len() == network.max_prefix_len() {
        network.addr().to_string()
    } else {
        network.trunc().to_string()
    }
}

/// An interface's name; [`portero_libvirt::InterfaceName`] has no quote in it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(set: &str, pairs: &[(&str, &str)]) -> Elements {
        let pairs = pairs.iter();
        let pairs = pairs.map(|(key, data)| ((*key).to_owned(), Some((*data).to_owned())));
        let mut elements = Elements::default();
        elements.insert_all(Place::Own, set, pairs.collect());
        elements
    }

    fn lacked(own: &Elements, others: &Elements) -> Vec<String> {
        let sets = own.without(Place::Own, others);
        sets.flat_map(|(_, _, pairs)| pairs.into_iter().map(|(key, _)| key))
            .collect()
    }

    #[test]
    fn what_others_lack_is_what_they_have_not_or_otherwise() {
        let own = [("b", "1"), ("d", "2"), ("f", "3"), ("h", "4")];
        let own = elements("set", &own);
        let all = ["b", "d", "f", "h"];
        // Before, between and behind its own, and one with other data.
        let others = [("a", "1"), ("c", "1"), ("d", "2"), ("f", "0"), ("i", "1")];
        assert_eq!(lacked(&own, &elements("set", &others)), ["b", "f", "h"]);
        assert_eq!(lacked(&own, &own), [""; 0]);
        assert_eq!(lacked(&own, &elements("set", &others[..2])), all);
        assert_eq!(lacked(&own, &elements("other", &others)), all);
        assert_eq!(lacked(&own, &Elements::default()), all);
        assert_eq!(lacked(&Elements::default(), &own), [""; 0]);
    }
}
