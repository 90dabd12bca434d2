//! Whose addresses a domain's metadata may name.
#![allow(clippy::expect_used, reason = "a test fails by a panic")]

use portero_libvirt::{MacAddress, Network};
use portero_model::{Family, Origin, Owner, OwnerKind};
use portero_port_forward::{address_of, parse, parse_leases, plan_domain, Attachment};
use portero_xml::Element;
use std::rc::Rc;
use uuid::Uuid;

const NETWORK: &str = "<network><name>lan</name><uuid>00000000-0000-4000-8000-000000000001</uuid>
<forward mode='nat'/><bridge name='br-lan'/>
<ip address='192.168.50.1' prefix='24'><dhcp><host mac='52:54:00:00:50:10' ip='192.168.50.10'/>
<host mac='52:54:00:00:50:11' ip='192.168.50.11'/></dhcp></ip>
<ip address='192.168.50.2' prefix='24'/><ip address='192.168.60.0' prefix='31'/>
<ip family='ipv6' address='fd00:50::1' prefix='64'/></network>";

fn owner() -> Owner {
    Owner {
        kind: OwnerKind::Domain,
        driver: None,
        uuid: Uuid::nil(),
        name: "web".to_owned(),
    }
}

/// Why an address is refused; nothing when it is not.
fn refusal(guest: &str, origin: &Origin) -> Option<String> {
    let network = Element::parse(NETWORK.as_bytes()).expect("XML");
    let network = Network::from_definition(&network).expect("a network");
    let xml = format!(
        "<domain xmlns='urn:portero:1'><portForward proto='udp' guest='{guest}'>\
         <range start='8080'/></portForward></domain>"
    );
    let root = Element::parse(xml.as_bytes()).expect("XML");
    let mac: MacAddress = "52:54:00:00:50:10".parse().expect("a MAC address");
    let attachment = Attachment {
        mac,
        network_name: "lan",
        network: Some(&network),
    };
    let forwards = match parse(&root, OwnerKind::Domain, origin) {
        Ok(forwards) => forwards,
        Err(error) => return Some(error.to_string()),
    };
    let leases = |_: &_| Rc::from([]);
    let plan = plan_domain(owner(), &forwards, &[attachment], &leases);
    plan.err().map(|error| error.to_string())
}

#[test]
fn an_address_that_the_host_answers_for_is_no_guest_s() {
    let metadata = Origin::Metadata(owner());
    for guest in [
        "192.168.50.10",
        "192.168.50.77",
        "192.168.60.1",
        "fd00:50::10",
    ] {
        assert_eq!(refusal(guest, &metadata), None, "{guest}");
    }
    let strange = [
        // The network's, those of the host, and of everybody.
        "192.168.50.0",
        "192.168.50.1",
        "192.168.50.2",
        "192.168.50.255",
        "192.168.60.0",
        "fd00:50::",
        "fd00:50::1",
        // Of nobody here.
        "192.168.51.10",
        "169.254.1.1",
        "fe80::1",
    ];
    for guest in strange {
        let message = refusal(guest, &metadata).expect(guest);
        let expected = format!("guest address {guest} cannot be a guest's here");
        assert!(message.contains(&expected), "{message}");
    }
    for guest in [
        "127.0.0.1",
        "::1",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
        "0.0.0.0",
    ] {
        assert!(refusal(guest, &metadata).is_some(), "{guest}");
    }
}

#[test]
fn another_guest_s_reservation_is_the_administrator_s_to_forward() {
    let message = refusal("192.168.50.11", &Origin::Metadata(owner())).expect("a refusal");
    assert!(
        message.contains("guest address 192.168.50.11 is reserved for 52:54:00:00:50:11"),
        "{message}"
    );
    let file = Origin::File("/etc/portero/domains/web.xml".to_owned());
    assert_eq!(refusal("192.168.50.11", &file), None);
}

/// The address that leases, as MAC address, address and end, give to a guest.
fn leased(mac: &str, leases: &[(&str, &str, u64)]) -> Option<String> {
    let network = Element::parse(NETWORK.as_bytes()).expect("XML");
    let network = Network::from_definition(&network).expect("a network");
    let entries: Vec<String> = leases
        .iter()
        .map(|(mac, address, end)| {
            format!(
                "{{\"ip-address\": \"{address}\", \"mac-address\": \"{mac}\", \"expiry-time\": {end}}}"
            )
        })
        .collect();
    let json = format!("[{}]", entries.join(","));
    let leases = parse_leases(json.as_bytes(), 100).expect("leases");
    let mac = mac.parse().expect("a MAC address");
    let address = address_of(&network, mac, Family::Ipv4, || &leases)?;
    Some(address.to_string())
}

#[test]
fn a_lease_gives_no_address_that_is_another_guest_s() {
    let (mac, other) = ("52:54:00:00:50:66", "52:54:00:00:50:77");
    let own = |leases: &[(&str, &str, u64)]| leased(mac, leases);
    let ours = Some("192.168.50.101".to_owned());
    assert_eq!(own(&[(mac, "192.168.50.101", 200)]), ours);
    // Another's; of the host; of another network; that has ended; reserved for another.
    assert_eq!(own(&[(other, "192.168.50.101", 200)]), None);
    assert_eq!(own(&[(mac, "192.168.50.1", 200)]), None);
    assert_eq!(own(&[(mac, "192.168.50.255", 200)]), None);
    assert_eq!(own(&[(mac, "192.168.51.101", 200)]), None);
    assert_eq!(own(&[(mac, "192.168.50.101", 99)]), None);
    assert_eq!(own(&[(mac, "192.168.50.11", 200)]), None);
    // Leased to another since.
    let both = |end| [(mac, "192.168.50.101", 200), (other, "192.168.50.101", end)];
    assert_eq!(own(&both(300)), None);
    assert_eq!(own(&both(0)), None);
    assert_eq!(own(&both(200)), None);
    assert_eq!(own(&both(150)), ours);
}

#[test]
fn a_network_that_is_not_known_to_be_active_is_named() {
    let xml = "<domain xmlns='urn:portero:1'><portForward proto='tcp'><range start='8080'/></portForward></domain>";
    let root = Element::parse(xml.as_bytes()).expect("XML");
    let origin = Origin::Metadata(owner());
    let forwards = parse(&root, OwnerKind::Domain, &origin).expect("forwards");
    let attachment = Attachment {
        mac: "52:54:00:00:50:10".parse().expect("a MAC address"),
        network_name: "lab\n",
        network: None,
    };
    let leases = |_: &_| Rc::from([]);
    let plan = plan_domain(owner(), &forwards, &[attachment], &leases).expect("a plan");
    let reasons: Vec<&str> = plan.pending.iter().map(|one| one.reason.as_str()).collect();
    assert_eq!(reasons, ["network 'lab\\n' is not known to be active"]);
}
