//! The rules before and after an event, and what a fault may leave of them.

use crate::world::{difference, Tables};

/// The rules before an event, after it, and after what mends it.
#[derive(Debug)]
pub struct Rules {
    /// Before.
    pub old: Tables,
    /// After.
    pub new: Tables,
    /// After what mends it.
    pub mended: Tables,
}

impl Rules {
    /// Expects all of the old or all of the new.
    pub fn are_whole(&self, now: &Tables, what: &str) {
        let is_one = [&self.old, &self.new, &self.mended].contains(&now);
        assert!(is_one, "{what}\n{:#?}", difference(now, &self.old));
    }

    /// Expects of each transaction that it was made or not.
    pub fn are_made_or_not(&self, now: &Tables, what: &str) {
        for (table, lines) in now {
            let has = |tables: &Tables| tables.get(table) == Some(lines);
            let is_one = has(&self.old) || has(&self.new) || has(&self.mended);
            assert!(is_one, "{what}: {table}\n{:#?}", difference(now, &self.old));
        }
    }
}
