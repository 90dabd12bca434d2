//! Marks of connections whose answers leave by another routing table than the guest's other packets.

use crate::Family;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Packets of a family with a mark are routed by a table: a rule of the kernel's routing policy (ip-rule(8)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReplyRoute {
    /// The family.
    pub family: Family,
    /// The mark: 1 to [`Self::MOST`].
    pub mark: u8,
    /// The number of the routing table.
    pub table: u32,
}

impl ReplyRoute {
    /// The bits of a packet's and a connection's mark that are portero's. Whoever has none of them stays as it is.
    pub const MASK: u32 = 0x0700_0000;

    /// How many marks there are.
    pub const MOST: u8 = 7;

    /// The mark in its place among all bits.
    #[must_use]
    pub fn bits(self) -> u32 {
        Self::bits_of(self.mark)
    }

    /// Any of the marks in its place among all bits.
    #[must_use]
    pub fn bits_of(mark: u8) -> u32 {
        u32::from(mark) << Self::MASK.trailing_zeros()
    }
}

impl fmt::Display for ReplyRoute {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            family,
            mark,
            table,
        } = self;
        write!(formatter, "{family},{mark},{table}")
    }
}

impl FromStr for ReplyRoute {
    type Err = ();

    /// Reads what [`fmt::Display`] writes.
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split(',');
        let mut next = || parts.next().ok_or(());
        let family = next()?;
        let family = Family::ALL
            .into_iter()
            .find(|one| one.to_string() == family);
        let (mark, table) = (next()?, next()?);
        Ok(Self {
            family: family.ok_or(())?,
            mark: mark.parse().map_err(|_| ())?,
            table: table.parse().map_err(|_| ())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::ReplyRoute;
    use crate::Family;

    #[test]
    fn marks_stay_within_their_bits() {
        for mark in 1..=ReplyRoute::MOST {
            let route = ReplyRoute {
                family: Family::Ipv6,
                mark,
                table: 4_000_000_000,
            };
            assert_eq!(route.bits() & !ReplyRoute::MASK, 0);
            assert_ne!(route.bits(), 0);
            assert_eq!(route.to_string().parse(), Ok(route));
        }
        assert_eq!("IPv4,1".parse::<ReplyRoute>(), Err(()));
    }
}
