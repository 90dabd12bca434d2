//! What becomes of each setting of a NIC, and the tables that say it.

use portero_libvirt::InterfaceName;

/// What becomes of a setting, or of a section of settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disposition {
    /// It is about the link: it stays with the NIC.
    Stays,
    /// It is about IP: it goes to the bridge.
    Moves,
    /// Both need it.
    Both,
    /// Each setting of the section is looked up by itself.
    Divided,
    /// It is a command, and what it does decides.
    Command,
    /// It stays, and its packets are taken by the bridge from now on.
    Stacked,
    /// No bridge can be made of a NIC with it, for this reason.
    Refused(&'static str),
    /// It is not known: it stays, and the administrator is told.
    Unknown,
}

impl Disposition {
    /// Whether the NIC keeps it.
    pub(crate) fn stays(self) -> bool {
        self != Self::Moves
    }

    /// Whether the bridge gets it.
    pub(crate) fn moves(self) -> bool {
        matches!(self, Self::Moves | Self::Both)
    }

    /// What the administrator should know of a setting of a NIC that becomes this, if anything.
    ///
    /// # Errors
    /// Why no bridge can be made of the NIC.
    pub(crate) fn remark(
        self,
        key: &str,
        nic: &InterfaceName,
        bridge: &InterfaceName,
    ) -> Result<Option<String>, String> {
        match self {
            Self::Refused(why) => Err(format!("{key}: {why}")),
            Self::Stacked => Ok(Some(format!(
                "{key} is on a NIC whose packets {bridge} takes: put it on {bridge}"
            ))),
            Self::Unknown => Ok(Some(format!("{key} is not known; it stays with {nic}"))),
            Self::Stays | Self::Moves | Self::Both | Self::Divided | Self::Command => Ok(None),
        }
    }
}

/// The table of a format: names with spaces between, by what becomes of them. A `*` stands for any
/// beginning or end of a name, a `#` for a number at its end or for nothing.
pub(crate) struct Table(pub(crate) &'static [(Disposition, &'static str)]);

impl Table {
    /// What becomes of a name: the first line that has it counts.
    pub(crate) fn find(&self, name: &str) -> Disposition {
        let mut lines = self.0.iter();
        let line = lines.find(|(_, names)| names.split_whitespace().any(|known| fits(known, name)));
        line.map_or(Disposition::Unknown, |(disposition, _)| *disposition)
    }
}

/// Whether a name is one that a table has.
fn fits(known: &str, name: &str) -> bool {
    if let Some(end) = known.strip_prefix('*') {
        name.ends_with(end)
    } else if let Some(start) = known.strip_suffix('*') {
        name.starts_with(start)
    } else if let Some(start) = known.strip_suffix('#') {
        let number = name.strip_prefix(start);
        number.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
    } else {
        name == known
    }
}

#[cfg(test)]
mod tests {
    use super::Disposition::{Both, Moves, Refused, Stays, Unknown};
    use super::Table;

    #[test]
    fn the_first_line_that_has_a_name_counts() {
        let table = Table(&[
            (Refused("why"), "bond-master wireless*"),
            (Stays, "bond-* *-offload"),
            (Both, "mtu"),
            (Moves, "IPADDR#"),
        ]);
        for (name, expected) in [
            ("bond-master", Refused("why")),
            ("bond-mode", Stays),
            ("wireless", Refused("why")),
            ("tcp-offload", Stays),
            ("offload", Unknown),
            ("mtu", Both),
            ("mtu6", Unknown),
            ("mtu IPADDR", Unknown),
            ("IPADDR", Moves),
            ("IPADDR12", Moves),
            ("IPADDR_START", Unknown),
            ("", Unknown),
        ] {
            assert_eq!(table.find(name), expected, "{name}");
        }
    }
}
