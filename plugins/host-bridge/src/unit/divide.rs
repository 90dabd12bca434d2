//! Divides a unit, key by key, into what stays with a NIC and what goes to its bridge.

use super::file::{Section, Unit};
use crate::bridge::HostNic;
use crate::disposition::{Disposition, Table};
use crate::format::Draft;
use crate::setting::Setting;
use crate::{BridgeError, Result};

/// Where the comments of a section that is divided go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comments {
    /// They stay, and their section with them, whatever else is in it.
    Stay,
    /// They go with what moves: most of what they stand before does.
    Move,
}

/// How a NIC's unit is divided.
pub(crate) struct Divide<'a> {
    pub(crate) table: &'a Table,
    pub(crate) comments: Comments,
    pub(crate) nic: &'a HostNic,
    /// The file's name.
    pub(crate) file: &'a str,
    /// Its path below /etc.
    pub(crate) path: String,
}

impl Divide<'_> {
    /// What of a unit stays, and the sections that go to the bridge.
    ///
    /// # Errors
    /// [`BridgeError::Value`] at a key that no NIC in a bridge can have.
    pub(crate) fn unit(&self, unit: &Unit, draft: &mut Draft<'_>) -> Result<(Unit, Vec<Section>)> {
        let mut stays = Unit {
            head: unit.head.clone(),
            sections: Vec::new(),
        };
        let mut moves = Vec::new();
        for section in &unit.sections {
            let name = format!("[{}]", section.name);
            let disposition = self.table.find(&name);
            if disposition == Disposition::Divided {
                let (own, moved) = self.section(section, draft)?;
                if self.comments == Comments::Stay || !own.is_empty() {
                    stays.sections.push(own);
                }
                if !moved.is_empty() {
                    moves.push(moved);
                }
                continue;
            }
            if disposition == Disposition::Unknown {
                let (file, nic) = (self.file, &self.nic.name);
                draft.warn(format!("{file}: {name} is not known; it stays with {nic}"));
            }
            if disposition.moves() {
                moves.push(section.clone());
            }
            if disposition.stays() {
                stays.sections.push(section.clone());
            }
        }
        Ok((stays, moves))
    }

    fn section(&self, section: &Section, draft: &mut Draft<'_>) -> Result<(Section, Section)> {
        let mut stays = Section::new(&section.name, &[]);
        let mut moves = stays.clone();
        for line in &section.lines {
            let Some(Setting {
                key, line: number, ..
            }) = line.setting()
            else {
                match self.comments {
                    Comments::Stay => stays.lines.push(line.clone()),
                    Comments::Move => moves.lines.push(line.clone()),
                }
                continue;
            };
            let disposition = self.table.find(&format!("{}.{key}", section.name));
            let remark = disposition
                .remark(key, &self.nic.name, &draft.bridge.name)
                .map_err(|reason| BridgeError::value(&self.path, Some(*number), reason))?;
            if let Some(remark) = remark {
                draft.warn(format!("{}, line {number}: {remark}", self.file));
            }
            if disposition.moves() {
                moves.lines.push(line.clone());
            }
            if disposition.stays() {
                stays.lines.push(line.clone());
            }
        }
        Ok((stays, moves))
    }
}
