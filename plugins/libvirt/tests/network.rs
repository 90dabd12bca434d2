//! What is read of a network's XML.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use portero_libvirt::{Domain, ForwardMode, Network, NetworkPort};
use portero_xml::Element;

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

fn network(content: &str) -> Result<Network, String> {
    let xml = format!("<network><name>lan</name>{content}</network>");
    let root = Element::parse(xml.as_bytes()).unwrap();
    Network::from_definition(&root).map_err(|problem| problem.to_string())
}

#[test]
fn networks_connect_their_guests_in_the_ways_of_libvirt() {
    let mode = |forward: &str| network(forward).unwrap().mode;
    let modes = [
        ("", ForwardMode::Isolated),
        ("<forward mode='none'/>", ForwardMode::Isolated),
        ("<forward/>", ForwardMode::Nat),
        ("<forward mode='nat'/>", ForwardMode::Nat),
        ("<forward mode='route'/>", ForwardMode::Route),
        ("<forward mode='open'/>", ForwardMode::Open),
        ("<forward mode='bridge'/>", ForwardMode::Bridge),
        ("<forward mode='passthrough'/>", ForwardMode::Direct),
    ];
    for (forward, expected) in modes {
        assert_eq!(mode(forward), expected, "{forward}");
        let is_routed = !matches!(expected, ForwardMode::Bridge | ForwardMode::Direct);
        assert_eq!(expected.is_routed_by_host(), is_routed, "{forward}");
    }
    // One on a bridge of the host's has that, and gets none.
    assert_eq!(network("<forward mode='bridge'/>").unwrap().bridge, None);
    let bridge = network("<forward mode='bridge'/><bridge name='br0'/>").unwrap();
    assert_eq!(bridge.bridge.unwrap().as_str(), "br0");
    let named = network("<bridge name='virbr%d'/>").unwrap();
    assert_eq!(named.bridge.unwrap().as_str(), "virbr0");
    for (nat, is_masqueraded) in [("<nat ipv6='yes'/>", true), ("<nat ipv6='no'/>", false)] {
        let network = network(&format!("<forward>{nat}</forward>")).unwrap();
        assert_eq!(network.masquerades_ipv6, is_masqueraded);
    }
}

#[test]
fn subnets_have_the_prefix_that_libvirt_gives_them() {
    let subnets = |attributes: &str| {
        let network = network(&format!("<ip {attributes}/>"))?;
        let subnets = network.subnets.iter();
        let texts = subnets.map(|subnet| format!("{}/{}", subnet.address, subnet.prefix));
        Ok::<_, String>(texts.collect::<Vec<_>>().join(" "))
    };
    let known = [
        ("address='10.0.0.1' prefix='24'", "10.0.0.1/24"),
        ("address='10.0.0.1' prefix='32'", "10.0.0.1/32"),
        ("address='10.0.0.1' netmask='255.255.128.0'", "10.0.0.1/17"),
        (
            "address='10.0.0.1' netmask='255.255.255.255'",
            "10.0.0.1/32",
        ),
        ("address='10.0.0.1' netmask='0.0.0.0'", "10.0.0.1/0"),
        ("address='127.0.0.1'", "127.0.0.1/8"),
        ("address='128.0.0.1'", "128.0.0.1/16"),
        ("address='191.0.0.1'", "191.0.0.1/16"),
        ("address='192.0.0.1'", "192.0.0.1/24"),
        ("family='ipv6' address='fd00::1'", "fd00::1/64"),
        (
            "family='ipv6' address='fd00::1' prefix='128'",
            "fd00::1/128",
        ),
        ("family='ipv4'", ""),
    ];
    for (attributes, expected) in known {
        assert_eq!(subnets(attributes).as_deref(), Ok(expected));
    }
    for wrong in [
        "address='10.0.0.1' prefix='33'",
        "address='fd00::1' prefix='129'",
        "address='10.0.0.1' netmask='255.0.255.0'",
        "address='10.0.0.1' prefix='x'",
        "address='10.0.0'",
    ] {
        assert!(subnets(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn reservations_of_all_subnets_are_read_and_what_reserves_nothing_is_not() {
    let network = network(
        "<ip address='10.0.0.1' prefix='24'><dhcp><range start='10.0.0.2' end='10.0.0.9'/>\
         <host mac='52:54:00:00:00:01' ip='10.0.0.11'/><host mac='52:54:00:00:00:02' name='a'/>\
         </dhcp></ip><ip family='ipv6' address='fd00::1' prefix='64'><dhcp>\
         <host id='0:3:0:1:52:54:0:0:0:1' ip='fd00::11'/></dhcp></ip>",
    );
    let network = network.unwrap();
    let read: Vec<(bool, bool, String)> = network
        .reservations
        .iter()
        .map(|one| {
            (
                one.mac.is_some(),
                one.duid.is_some(),
                one.address.to_string(),
            )
        })
        .collect();
    let expected = [
        (true, false, "10.0.0.11".to_owned()),
        (false, true, "fd00::11".to_owned()),
    ];
    assert_eq!(read, expected);
}

#[test]
fn ports_have_owners_and_those_without_an_address_are_none() {
    const UUIDS: [&str; 2] = [
        "11111111-1111-4111-8111-111111111111",
        "22222222-2222-4222-8222-222222222222",
    ];
    let [port, owner] = UUIDS;
    let read = |owner: &str, mac: &str| {
        let xml = format!("<networkport><uuid>{port}</uuid>{owner}{mac}</networkport>");
        NetworkPort::from_element(&Element::parse(xml.as_bytes()).unwrap())
    };
    let owner = format!("<owner><name>web</name><uuid>{owner}</uuid></owner>");
    let mac = "<mac address='52:54:00:00:00:01'/>";
    let known = read(&owner, mac).unwrap().unwrap();
    assert_eq!(
        [known.uuid, known.owner].map(|uuid| uuid.to_string()),
        UUIDS
    );
    assert_eq!(known.mac.to_string(), "52:54:00:00:00:01");
    assert_eq!(read(&owner, "").unwrap(), None);
    assert!(read("", mac).is_err());
    assert!(read(&owner, "<mac address='x'/>").is_err());
}

#[test]
fn a_domain_has_the_interfaces_that_have_an_address() {
    let definition = "<domain><name>web</name><devices>\
        <interface type='network'><mac address='52:54:00:00:00:01'/><source network='lan'/>\
        <target dev='vnet0'/></interface>\
        <interface type='bridge'><mac address='52:54:00:00:00:02'/><source network='x' bridge='br0'/>\
        </interface><interface type='network'><source network='lan'/></interface></devices></domain>";
    let root = Element::parse(definition.as_bytes()).unwrap();
    assert!(Domain::from_element(&root).is_err(), "it has no UUID");
    let domain = Domain::from_definition(&root).unwrap();
    assert!(domain.uuid.is_nil());
    assert_eq!(domain.name.as_str(), "web");
    let nics: Vec<String> = domain
        .nics
        .iter()
        .map(|nic| {
            let target = nic.target.as_ref().map(|target| target.as_str());
            format!("{} {:?} {target:?}", nic.mac, nic.network)
        })
        .collect();
    let expected = [
        "52:54:00:00:00:01 Some(\"lan\") Some(\"vnet0\")",
        "52:54:00:00:00:02 None None",
    ];
    assert_eq!(nics, expected);
    let other = Element::parse(b"<x:domain xmlns:x='urn:x'><name>web</name></x:domain>").unwrap();
    assert!(Domain::from_definition(&other).is_err());
}
