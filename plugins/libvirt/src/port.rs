//! What a port of a bridge has besides its place there, of guests' interfaces and of networks' ports alike.

use portero_xml::Element;
use serde::{Deserialize, Serialize};

/// What libvirt gives the port of a bridge besides its place there: the kernel forgets it with the bridge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PortSettings {
    /// It reaches no other port that is isolated, too (`<port isolated='yes'/>`).
    pub is_isolated: bool,
    /// It is in VLANs (`<vlan>`).
    pub has_vlan: bool,
    /// libvirt, not the bridge, keeps the table of its MAC addresses (`macTableManager='libvirt'`).
    pub has_own_mac_table: bool,
}

impl PortSettings {
    /// Reads them from a `<networkport>`, or from an `<interface>`, which does not tell of the table.
    pub(crate) fn of_element(element: &Element) -> Self {
        let attribute = |child, name| element.child(child)?.attribute(name);
        Self {
            is_isolated: attribute("port", "isolated") == Some("yes"),
            has_vlan: element.child("vlan").is_some(),
            has_own_mac_table: attribute("plug", "macTableManager") == Some("libvirt"),
        }
    }
}
