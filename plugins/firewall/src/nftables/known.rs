//! What of a table can be given to the kernel without nft: rules in words that are known, and elements of sets whose types are.

use super::base::{libvirt_sets, own_sets, policy_sets};
use super::element::Place;
use super::expression::RawRule;
use super::object::NewRule;
use super::reader::raw_rule;
use super::wire::SetTypes;
use crate::antispoof::antispoof_sets;
use std::collections::BTreeMap;

/// The types of the sets that tables always have, each table's worked out once.
#[derive(Debug, Default)]
pub struct KnownSets(BTreeMap<Place, BTreeMap<String, SetTypes>>);

impl KnownSets {
    /// Those of a table, by the names of the sets.
    pub fn of(&mut self, place: Place) -> &BTreeMap<String, SetTypes> {
        self.0.entry(place).or_insert_with(|| {
            let sets = match place {
                Place::Own => own_sets(),
                Place::Policy => policy_sets(),
                Place::Antispoof => antispoof_sets(),
                Place::Libvirt(family) => libvirt_sets(family).into(),
            };
            let mut known = BTreeMap::new();
            for set in sets {
                if let Some(types) = SetTypes::of_set(&set) {
                    known.insert(set.name, types);
                }
            }
            known
        })
    }

    /// A rule as the kernel takes it; nothing where it is nft's to read.
    pub fn raw_rule(&mut self, place: Place, rule: &NewRule) -> Option<RawRule> {
        raw_rule(place, &rule.words, self.of(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_of_all_sets_can_be_given_to_the_kernel() {
        assert_eq!(KnownSets::default().of(Place::Own).len(), own_sets().len());
        let mut known = KnownSets::default();
        assert_eq!(known.of(Place::Antispoof).len(), antispoof_sets().len());
        assert_eq!(known.of(Place::Policy).len(), policy_sets().len());
    }
}
