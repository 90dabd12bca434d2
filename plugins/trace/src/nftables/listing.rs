//! The objects of `nft -j list ruleset`.

use serde_json::Value;

/// Everything that nft lists.
pub(super) struct NftObjects<'a>(pub(super) Vec<&'a Value>);

impl<'a> NftObjects<'a> {
    /// Objects of a kind: `chain`, `rule`, `set`, `map`.
    pub(super) fn all(&self, kind: &'a str) -> impl Iterator<Item = &'a Value> + '_ {
        self.0.iter().filter_map(move |object| object.get(kind))
    }

    /// A set or map of a table.
    pub(super) fn elements(&self, kind: &'a str, table: &Value, name: &str) -> Option<&'a [Value]> {
        let found = self.all(kind).find(|set| {
            set["name"] == name
                && set["family"] == table["family"]
                && set["table"] == table["table"]
        })?;
        Some(found["elem"].as_array().map_or(&[], Vec::as_slice))
    }
}
