//! The libvirt network of a bridge of the host.

use portero_libvirt::InterfaceName;
use portero_xml::NAMESPACE;
use quick_xml::escape::escape;

/// The network's XML; with a NIC it says what the bridge is made of.
pub(crate) fn xml(name: &str, bridge: &InterfaceName, nic: Option<&str>) -> String {
    let metadata = nic.map(|nic| {
        format!(
            "  <metadata>\n    <portero:network xmlns:portero='{NAMESPACE}'>\n      \
             <portero:hostBridge nic='{}'/>\n    </portero:network>\n  </metadata>\n",
            escape(nic)
        )
    });
    format!(
        "<network>\n  <name>{}</name>\n{}  <forward mode='bridge'/>\n  <bridge name='{}'/>\n</network>\n",
        escape(name),
        metadata.unwrap_or_default(),
        escape(bridge.as_str())
    )
}
