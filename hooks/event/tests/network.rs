//! What is read of a network's XML.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use portero_event::{Element, Network};

#[test]
fn the_one_interface_of_a_network_is_read_as_libvirt_does() {
    let dev = |forward: &str| {
        let xml = format!("<network><name>lan</name>{forward}</network>");
        let root = Element::parse(xml.as_bytes()).unwrap();
        Network::from_definition(&root).unwrap().forward_dev
    };
    assert_eq!(dev(""), None);
    assert_eq!(dev("<forward mode='nat'/>"), None);
    assert_eq!(dev("<forward dev='eth0'/>").as_deref(), Some("eth0"));
    let interfaces =
        "<forward mode='route'><interface dev='eth1'/><interface dev='eth2'/></forward>";
    assert_eq!(dev(interfaces).as_deref(), Some("eth1"));
}

#[test]
fn a_definition_may_lack_a_uuid_and_a_bridge() {
    let root = Element::parse(b"<network><name>lan</name></network>").unwrap();
    assert!(Network::from_element(&root).is_err());
    let network = Network::from_definition(&root).unwrap();
    let bridge = network.bridge.as_ref().map(ToString::to_string);
    assert!(network.uuid.is_nil());
    assert_eq!(bridge.as_deref(), Some("virbr0"));
    let wrong = b"<network><name>lan</name><uuid>1</uuid></network>";
    let root = Element::parse(wrong).unwrap();
    assert!(Network::from_definition(&root).is_err());
}
