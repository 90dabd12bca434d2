//! Whose addresses a domain's metadata may name.
#![allow(clippy::expect_used, reason = "a test fails by a panic")]

use portero_libvirt::{InterfaceName, MacAddress, Network};
use portero_model::{Family, Origin, Owner, OwnerKind};
use portero_port_forward::{
    address_of, parse, parse_leases, plan_domain, plan_network, AddressSources, Attachment,
    LastAddress, Lease,
};
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

fn network(xml: &str) -> Network {
    let root = Element::parse(xml.as_bytes()).expect("XML");
    Network::from_definition(&root).expect("a network")
}

/// What says where the interfaces of a guest are that starts.
fn starting<'a>(leases: &'a dyn Fn(&InterfaceName) -> Rc<[Lease]>) -> AddressSources<'a> {
    AddressSources {
        leases,
        last: &[],
        seen: &|_, _| Vec::new(),
    }
}

/// Why an address is refused; nothing when it is not.
fn refusal(guest: &str, origin: &Origin) -> Option<String> {
    let network = network(NETWORK);
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
    let plan = plan_domain(owner(), &forwards, &[attachment], starting(&leases));
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
fn what_is_behind_a_guest_is_the_administrator_s_and_the_network_s_to_forward() {
    let lan = network(&NETWORK.replace(
        "<ip address='192.168.50.1'",
        "<route address='10.77.0.0' prefix='24' gateway='192.168.50.10'/><ip address='192.168.50.1'",
    ));
    let by_hand = network(
        "<network><name>hand</name><uuid>5ec0d000-0000-4000-8000-000000000090</uuid>\
         <forward mode='bridge'/><bridge name='hand0'/></network>",
    );
    let leads_to = |lan: &Network, guest: &str, kind: OwnerKind, origin: &Origin| {
        let name = kind.name();
        let xml = format!(
            "<{name} xmlns='urn:portero:1'><portForward proto='tcp' guest='{guest}'><range start='8080'/></portForward></{name}>"
        );
        let root = Element::parse(xml.as_bytes()).expect("XML");
        let forwards = parse(&root, kind, origin).expect("forwards");
        let plan = match kind {
            OwnerKind::Network => plan_network(owner(), &forwards, lan),
            OwnerKind::Domain => {
                let attachment = Attachment {
                    mac: RESERVED.parse().expect("a MAC address"),
                    network_name: lan.name.as_str(),
                    network: Some(lan),
                };
                let leases = |_: &_| Rc::from([]);
                plan_domain(owner(), &forwards, &[attachment], starting(&leases))
            }
        };
        plan.map(|plan| plan.ruleset.dnats().count())
    };
    let (file, metadata) = (
        Origin::File("web.xml".to_owned()),
        Origin::Metadata(owner()),
    );
    for (network, guest) in [(&lan, "10.77.0.9"), (&by_hand, "192.168.90.5")] {
        assert_eq!(
            leads_to(network, guest, OwnerKind::Network, &metadata),
            Ok(1)
        );
        assert_eq!(leads_to(network, guest, OwnerKind::Domain, &file), Ok(1));
        assert!(leads_to(network, guest, OwnerKind::Domain, &metadata).is_err());
    }
    assert!(leads_to(&lan, "10.78.0.9", OwnerKind::Network, &metadata).is_err());
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
    let network = network(NETWORK);
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
    let address = address_of(&network, mac, Family::Ipv4, None, || &leases)?;
    Some(address.to_string())
}

/// Where a guest is that runs and was last there, by leases as MAC address, address and end.
fn running(last: &str, leases: &[(&str, &str, u64)]) -> String {
    let network = network(NETWORK);
    let leases: Vec<Lease> = leases
        .iter()
        .map(|(mac, address, expiry)| Lease {
            mac: mac.parse().expect("a MAC address"),
            address: address.parse().expect("an address"),
            expiry: *expiry,
        })
        .collect();
    let mac = RESERVED.parse().expect("a MAC address");
    let last = LastAddress {
        mac,
        network: network.uuid,
        address: last.parse().expect("an address"),
        stale_until: 150,
    };
    let address = address_of(&network, mac, Family::Ipv4, Some(&last), || &leases);
    address.expect("an address").to_string()
}

/// The network reserves 192.168.50.10 for it.
const RESERVED: &str = "52:54:00:00:50:10";

#[test]
fn a_running_guest_is_where_its_lease_says() {
    let (reserved, leased) = ("192.168.50.10", "192.168.50.77");
    // It was reserved another address since, and has not asked for it yet.
    assert_eq!(running(leased, &[(RESERVED, leased, 120)]), leased);
    // Now it has.
    assert_eq!(running(leased, &[(RESERVED, reserved, 200)]), reserved);
    // It started with its reservation; the lease is of the time before.
    assert_eq!(running(reserved, &[(RESERVED, leased, 150)]), reserved);
    // It took another all the same.
    assert_eq!(running(reserved, &[(RESERVED, leased, 151)]), leased);
    assert_eq!(running(reserved, &[(RESERVED, leased, 0)]), leased);
}

#[test]
fn a_running_guest_keeps_its_address_while_nobody_else_has_it() {
    let (reserved, last) = ("192.168.50.10", "192.168.50.77");
    let other = "52:54:00:00:50:99";
    assert_eq!(running(last, &[]), last);
    assert_eq!(running(last, &[(other, "192.168.50.78", 900)]), last);
    assert_eq!(running(last, &[(other, last, 900)]), reserved);
    // Reserved for another guest; not of this network.
    assert_eq!(running("192.168.50.11", &[]), reserved);
    assert_eq!(running("192.168.51.77", &[]), reserved);
}

/// Where a forward of a domain leads that has interfaces on these networks, in this order.
fn leads_to(interfaces: &[(&str, &Network)], leases: &[Lease]) -> Result<String, String> {
    let xml = "<domain xmlns='urn:portero:1'><portForward proto='tcp'><range start='8080'/></portForward></domain>";
    let root = Element::parse(xml.as_bytes()).expect("XML");
    let origin = Origin::Metadata(owner());
    let forwards = parse(&root, OwnerKind::Domain, &origin).expect("forwards");
    let attachments: Vec<Attachment<'_>> = interfaces
        .iter()
        .map(|(mac, network)| Attachment {
            mac: mac.parse().expect("a MAC address"),
            network_name: network.name.as_str(),
            network: Some(network),
        })
        .collect();
    let of_bridge = |_: &_| Rc::from(leases);
    let plan = plan_domain(owner(), &forwards, &attachments, starting(&of_bridge));
    let plan = plan.map_err(|error| error.to_string())?;
    let guest = plan.ruleset.dnats().next().map(|dnat| dnat.guest);
    guest
        .map(|guest| guest.to_string())
        .ok_or_else(|| plan.pending[0].reason.clone())
}

#[test]
fn of_several_interfaces_the_first_is_meant_that_can_be_and_has_an_address() {
    let lan = network(NETWORK);
    let bridge =
        network("<network><name>host</name><forward mode='bridge'/><bridge name='br0'/></network>");
    let other = network(
        "<network><name>other</name><bridge name='br-other'/>         <ip address='192.168.70.1' prefix='24'><dhcp><range start='192.168.70.2' end='192.168.70.9'/></dhcp></ip></network>",
    );
    let (first, second) = ("52:54:00:00:70:01", "52:54:00:00:70:02");
    let lease = |mac: &str, address: &str| Lease {
        mac: mac.parse().expect("a MAC address"),
        address: address.parse().expect("an address"),
        expiry: 0,
    };
    let reserved = "192.168.50.10".to_owned();
    // On a LAN of the host's it is not behind the host.
    let on_lan = [(first, &bridge), (RESERVED, &lan)];
    assert_eq!(leads_to(&on_lan, &[]), Ok(reserved.clone()));
    let refused = leads_to(&on_lan[..1], &[]).expect_err("a refusal");
    assert!(refused.contains("are not behind this host"), "{refused}");
    // The one with an address.
    let both = [(first, &other), (RESERVED, &lan)];
    assert_eq!(leads_to(&both, &[]), Ok(reserved));
    let leased = lease(first, "192.168.70.5");
    assert_eq!(leads_to(&both, &[leased]), Ok("192.168.70.5".to_owned()));
    // None has one yet.
    let none = [(first, &other), (second, &other)];
    let waits = leads_to(&none, &[]).expect_err("nothing yet");
    assert!(
        waits.starts_with(
            "none of the interfaces 52:54:00:00:70:01, 52:54:00:00:70:02 has an address"
        ),
        "{waits}"
    );
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
    let plan = plan_domain(owner(), &forwards, &[attachment], starting(&leases)).expect("a plan");
    let reasons: Vec<&str> = plan.pending.iter().map(|one| one.reason.as_str()).collect();
    assert_eq!(reasons, ["network 'lab\\n' is not known to be active"]);
}

#[test]
fn who_has_no_lease_is_told_the_address_that_it_was_seen_at() {
    let range = "<dhcp><range start='192.168.50.100' end='192.168.50.200'/>";
    let leasing = network(&NETWORK.replacen("<dhcp>", range, 1));
    let other = network(
        &NETWORK
            .replace("br-lan", "br-other")
            .replace("lan<", "other<"),
    );
    let mac = |last: u8| -> MacAddress {
        format!("52:54:00:00:50:{last}")
            .parse()
            .expect("a MAC address")
    };
    let reason = |networks: &[&Network], seen: &[&str]| {
        let xml = "<domain xmlns='urn:portero:1'><portForward proto='tcp'><range start='8080'/></portForward></domain>";
        let root = Element::parse(xml.as_bytes()).expect("XML");
        let forwards =
            parse(&root, OwnerKind::Domain, &Origin::Metadata(owner())).expect("forwards");
        let attachments: Vec<Attachment<'_>> = (77..)
            .zip(networks)
            .map(|(last, network)| Attachment {
                mac: mac(last),
                network_name: network.name.as_str(),
                network: Some(network),
            })
            .collect();
        let leases = |_: &_| Rc::from([]);
        let seen = |bridge: &InterfaceName, of: MacAddress| {
            let is_it = bridge.as_str() == "br-lan" && of == mac(77);
            let addresses = seen.iter().filter(|_| is_it);
            addresses
                .map(|address| address.parse().expect("an address"))
                .collect()
        };
        let sources = AddressSources {
            leases: &leases,
            last: &[],
            seen: &seen,
        };
        let plan = plan_domain(owner(), &forwards, &attachments, sources).expect("a plan");
        plan.pending[0].reason.clone()
    };
    let nothing = "network 'lan' has neither a DHCP reservation nor a lease for 52:54:00:00:50:77";
    let at = |address: &str| {
        format!("; it was seen at {address}, which guest='{address}' of the forward pins")
    };
    assert_eq!(reason(&[&leasing], &[]), nothing);
    // Those of others, the host's, and what nobody on the network can have.
    let strange = ["192.168.50.10", "192.168.50.1", "192.168.51.7", "fe80::1"];
    assert_eq!(reason(&[&leasing], &strange), nothing);
    let seen = [&strange[..], &["192.168.50.7", "fd00:50::7"]].concat();
    let said = reason(&[&leasing], &seen);
    assert_eq!(said, nothing.to_owned() + &at("192.168.50.7"));
    let lan = network(NETWORK);
    let said = reason(&[&lan], &["fd00:50::7"]);
    assert!(
        said.starts_with("network 'lan' gives 52:54:00:00:50:77 no address: "),
        "{said}"
    );
    assert!(said.ends_with(&at("fd00:50::7")), "{said}");
    let said = reason(&[&lan, &other], &seen);
    let expected = "(interface= says which is meant); 52:54:00:00:50:77 was seen at 192.168.50.7, which guest=";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn nobody_looks_for_a_guest_whose_address_is_known() {
    let lan = network(NETWORK);
    let attachment = Attachment {
        mac: "52:54:00:00:50:10".parse().expect("a MAC address"),
        network_name: "lan",
        network: Some(&lan),
    };
    let xml = "<domain xmlns='urn:portero:1'><portForward proto='tcp'><range start='8080'/></portForward></domain>";
    let root = Element::parse(xml.as_bytes()).expect("XML");
    let forwards = parse(&root, OwnerKind::Domain, &Origin::Metadata(owner())).expect("forwards");
    let leases = |_: &_| Rc::from([]);
    let asked = std::cell::Cell::new(false);
    let sources = AddressSources {
        leases: &leases,
        last: &[],
        seen: &|_, _| {
            asked.set(true);
            Vec::new()
        },
    };
    let plan = plan_domain(owner(), &forwards, &[attachment], sources).expect("a plan");
    assert_eq!(plan.pending, []);
    assert!(!asked.get());
}
