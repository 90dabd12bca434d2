//! Divides a section, key by key, into what stays with a NIC and what goes to its bridge.

use super::file::{Line, Section};
use crate::bridge::{Bridge, Nic};
use crate::disposition::Table;
use crate::BridgeError;

/// Where the comments of a section go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comments {
    /// They stay.
    Stay,
    /// They go with what moves: most of what they stand before does.
    Move,
}

/// How the sections of a NIC's file are divided.
pub(crate) struct Divide<'a> {
    pub(crate) table: &'a Table,
    pub(crate) comments: Comments,
    pub(crate) bridge: &'a Bridge,
    pub(crate) nic: &'a Nic,
    /// The file's folder below /etc.
    pub(crate) folder: &'static str,
    /// The file's name in it.
    pub(crate) file: &'a str,
}

impl Divide<'_> {
    /// What of a section stays and what goes to the bridge; what the administrator should know is
    /// added to `warnings`.
    ///
    /// # Errors
    /// [`BridgeError::Value`] at a key that no NIC in a bridge can have.
    pub(crate) fn section(
        &self,
        section: &Section,
        warnings: &mut Vec<String>,
    ) -> Result<(Section, Section), BridgeError> {
        let mut stays = Section::new(&section.name, &[]);
        let mut moves = stays.clone();
        for line in &section.lines {
            let Line::Setting {
                key, line: number, ..
            } = line
            else {
                match self.comments {
                    Comments::Stay => stays.lines.push(line.clone()),
                    Comments::Move => moves.lines.push(line.clone()),
                }
                continue;
            };
            let (file, bridge) = (self.file, &self.bridge.name);
            let disposition = self.table.find(&format!("{}.{key}", section.name));
            let remark = disposition
                .remark(key, &self.nic.name, bridge)
                .map_err(|reason| BridgeError::Value {
                    file: format!("{}/{file}", self.folder),
                    line: Some(*number),
                    reason,
                })?;
            if let Some(remark) = remark {
                warnings.push(format!("{file}, line {number}: {remark}"));
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
