//! Named groups of peers, /etc/portero/groups/NAME.xml.

use crate::peer::{PeerTarget, WrittenPeer};
use portero_xml::{check_root, Element, Problem};

/// A group: peers that rules name together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    targets: Vec<PeerTarget>,
}

impl Group {
    /// Reads a `<portero:group>`.
    ///
    /// # Errors
    /// [`Problem`] at an element or attribute that is not as the grammar has it.
    pub fn read(root: &Element) -> Result<Self, Problem> {
        check_root(root, "group")?;
        root.only_attributes(&[])?;
        root.expect_elements()?;
        let targets = root.children().iter().map(|child| {
            if child.own_name() != Some("peer") {
                return Err(child.problem("not known in a group, expected <peer>"));
            }
            let peer = WrittenPeer::read(child)?;
            if peer.is_negated || peer.keeps_sources {
                return Err(child.problem(
                    "match and nat belong to the rule that names the group, expected neither here",
                ));
            }
            match peer.target {
                PeerTarget::Group(_) => Err(child.problem(
                    "a group cannot name another, expected network, address, host or mac",
                )),
                target => Ok(target),
            }
        });
        Ok(Self {
            targets: targets.collect::<Result<_, _>>()?,
        })
    }

    /// Whom it names.
    #[must_use]
    pub fn targets(&self) -> &[PeerTarget] {
        &self.targets
    }
}
