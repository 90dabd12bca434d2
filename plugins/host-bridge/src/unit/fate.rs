//! What a table says becomes of each section and key.

/// What becomes of a section or key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is about the link: it stays with the NIC.
    Stays,
    /// It is about IP: it goes to the bridge.
    Moves,
    /// Both need it.
    Both,
    /// What becomes of it is decided key by key.
    Divided,
    /// No bridge can be made of a NIC with it, for this reason.
    Refused(&'static str),
    /// It stays, and its packets are taken by the bridge from now on.
    Stacked,
    /// It is not known: it stays, and the administrator is told.
    Unknown,
}

/// The table of a format.
pub(crate) struct Table {
    /// Sections by name; others are not known.
    pub(crate) sections: &'static [(&'static str, Fate)],
    /// Keys of sections that are divided, by section and name.
    pub(crate) keys: &'static [(&'static str, &'static str, Fate)],
    /// What becomes of other keys of this section; those of all others stay.
    pub(crate) others: (&'static str, Fate),
}

impl Table {
    /// What becomes of a section.
    pub(crate) fn of_section(&self, name: &str) -> Fate {
        let line = self.sections.iter().find(|(section, _)| *section == name);
        line.map_or(Fate::Unknown, |(_, fate)| *fate)
    }

    /// What becomes of a key of a section that is divided.
    pub(crate) fn of_key(&self, section: &str, key: &str) -> Fate {
        let mut keys = self.keys.iter();
        match keys.find(|(known, name, _)| (*known, *name) == (section, key)) {
            Some((_, _, fate)) => *fate,
            None if section == self.others.0 => self.others.1,
            None => Fate::Stays,
        }
    }
}
