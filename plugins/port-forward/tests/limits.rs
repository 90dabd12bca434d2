//! What metadata may ask for, and how long it takes to find out.
#![allow(clippy::expect_used, reason = "a test fails by a panic")]

use portero_model::{Origin, Owner, OwnerKind, Protocol, Ruleset};
use portero_port_forward::{
    check_listeners, check_others, check_own, parse, Forward, Limits, Listener,
};
use portero_xml::Element;
use std::collections::HashSet;
use std::fmt::Write;
use std::time::{Duration, Instant};
use uuid::Uuid;

fn owner(number: u128) -> Owner {
    Owner {
        kind: OwnerKind::Domain,
        driver: None,
        uuid: Uuid::from_u128(number),
        name: format!("guest{number}"),
    }
}

fn read(content: &str, origin: &Origin) -> Vec<Forward> {
    let xml = format!("<domain xmlns='urn:portero:1'>{content}</domain>");
    let root = Element::parse(xml.as_bytes()).expect("XML");
    parse(&root, OwnerKind::Domain, origin).expect("forwards")
}

fn in_metadata(content: &str) -> Vec<Forward> {
    read(content, &Origin::Metadata(owner(1)))
}

fn refused(limits: &Limits, forwards: &[Forward]) -> Option<String> {
    let checked = limits.check_all(forwards);
    checked.err().map(|error| error.to_string())
}

/// So many forwards of one port, each from another source.
fn sources(count: u32) -> String {
    let mut content = String::new();
    for number in 0..count {
        let [_, a, b, c] = number.to_be_bytes();
        write!(
            content,
            "<portForward proto='tcp' source='10.{a}.{b}.{c}'><range start='8080'/></portForward>"
        )
        .expect("a string");
    }
    content
}

#[test]
fn ranges_and_ports_are_counted_together() {
    let limits = Limits::default();
    let all = "<portForward proto='tcp'><range start='1' end='65535'/></portForward>";
    let one = "<portForward proto='udp'><range start='1'/></portForward>";
    assert_eq!(refused(&limits, &in_metadata(all)), None);
    let both = in_metadata(&format!("{all}\n{one}"));
    let message = refused(&limits, &both).expect("a refusal");
    assert!(
        message.contains(
            "line 2: <portForward>: with this one it is 65536 ports, expected at most 65535"
        ),
        "{message}"
    );
    assert_eq!(refused(&limits, &in_metadata(&sources(10_000))), None);
    let message = refused(&limits, &in_metadata(&sources(10_001))).expect("a refusal");
    assert!(
        message.contains("10001 ranges, expected at most 10000"),
        "{message}"
    );
    // The administrator's own.
    let file = Origin::File("/etc/portero/domains/web.xml".to_owned());
    assert_eq!(refused(&limits, &read(&sources(10_001), &file)), None);
}

#[test]
fn addresses_are_permitted_by_their_networks() {
    let limits = |addresses: &str| -> Result<Limits, String> {
        let text = format!("{{\"addresses\": [{addresses}]}}");
        serde_json::from_str(&text).map_err(|error| error.to_string())
    };
    let few = limits("\"203.0.113.0/24\", \"2001:db8::7\"").expect("limits");
    let at = |address: &str| {
        let content = format!(
            "<portForward proto='tcp' address='{address}'><range start='80'/></portForward>"
        );
        refused(&few, &in_metadata(&content))
    };
    for address in ["203.0.113.9", "2001:db8::7"] {
        assert_eq!(at(address), None, "{address}");
    }
    for address in ["203.0.114.9", "2001:db8::8", "0.0.0.1"] {
        let message = at(address).expect(address);
        let expected = format!("host address {address} is not among the addresses");
        assert!(message.contains(&expected), "{message}");
    }
    assert!(limits("\"203.0.113.0/33\"").is_err());
}

#[test]
fn as_many_as_are_permitted_are_compared_in_time() {
    let mut content = String::new();
    for port in 1..=10_000 {
        write!(
            content,
            "<portForward proto='tcp'><range start='{port}'/></portForward>"
        )
        .expect("a string");
    }
    let forwards = in_metadata(&content);
    let begin = Instant::now();
    check_own(&forwards).expect("none is in the way of another");
    let held = |owner: Owner| Ruleset {
        claims: forwards
            .iter()
            .flat_map(|forward| forward.claims())
            .collect(),
        ..Ruleset::empty(owner)
    };
    check_others(&owner(1), &forwards, [&held(owner(1))]).expect("nobody else's");
    let error = check_others(&owner(1), &forwards[9_999..], [&held(owner(2))]);
    let error = error.expect_err("it is held").to_string();
    assert!(
        error.contains("tcp port 10000 is held by domain 'guest2'"),
        "{error}"
    );
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn one_port_may_be_many_forwards_as_long_as_no_packet_is_of_two() {
    let begin = Instant::now();
    let forwards = in_metadata(&sources(10_000));
    check_own(&forwards).expect("each from another source");
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
}

/// Whether some packet is of two forwards with these attributes.
fn conflict(one: &str, other: &str) -> bool {
    let element = |attributes| {
        format!("<portForward proto='tcp' {attributes}><range start='80'/></portForward>")
    };
    let forwards = in_metadata(&(element(one) + "\n" + &element(other)));
    let checked = check_own(&forwards);
    if let Err(error) = &checked {
        let expected = "line 2: <portForward>: tcp port 80";
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.to_string().ends_with("in line 1"), "{error}");
    }
    checked.is_err()
}

#[test]
fn what_is_found_is_what_has_a_packet_in_common() {
    let attributes = [
        "",
        "source='10.0.0.0/8'",
        "source='10.1.0.0/16'",
        "source='10.1.2.3'",
        "source='11.0.0.0/8'",
        "source='0.0.0.0/0'",
        "source='fd00::/8'",
        "source='fd00::1'",
        "address='192.0.2.1'",
        "address='192.0.2.2'",
        "dev='eth0'",
        "dev='eth1'",
        "dev='eth0' address='192.0.2.1'",
        "dev='eth0' address='192.0.2.1' source='10.1.0.0/16'",
        "dev='eth1' address='192.0.2.1' source='10.0.0.0/8'",
        "guest='192.168.50.10'",
        "guest='fd00:50::10'",
    ];
    let (mut conflicts, mut others) = (0, 0);
    for one in attributes {
        for other in attributes {
            let claim = |attributes: &str| {
                let content = format!(
                    "<portForward proto='tcp' {attributes}><range start='80'/></portForward>"
                );
                in_metadata(&content)[0].claims().next().expect("a claim")
            };
            let expected = claim(one).conflicts_with(&claim(other));
            assert_eq!(conflict(one, other), expected, "{one} and {other}");
            if expected {
                conflicts += 1;
            } else {
                others += 1;
            }
        }
    }
    assert!(conflicts > 50 && others > 50, "{conflicts} and {others}");
}

#[test]
fn holes_and_ranges_are_cut_in_time() {
    let mut ranges = String::new();
    for port in (1..65_000u32).step_by(4) {
        let (end, hole) = (port + 2, port + 1);
        write!(
            ranges,
            "<range start='{port}' end='{end}'/><range start='{hole}' exclude='yes'/>"
        )
        .expect("a string");
    }
    let begin = Instant::now();
    let forwards = in_metadata(&format!("<portForward proto='tcp'>{ranges}</portForward>"));
    assert_eq!(forwards[0].mappings.len(), 32_500);
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn whoever_listens_on_all_addresses_of_ipv6_has_the_ports_of_ipv4_too() {
    let taken = |forward: &str, listening: &str| {
        let content =
            format!("<portForward proto='tcp' {forward}><range start='80'/></portForward>");
        let forwards = in_metadata(&content);
        let listener = Listener {
            protocol: Protocol::Tcp,
            address: listening.parse().expect("an address"),
            port: 80,
            program: None,
        };
        let checked = check_listeners(&forwards, &HashSet::new(), &[listener], &Limits::default());
        checked.is_err()
    };
    let (v4, v6) = ("address='192.0.2.1'", "address='2001:db8::1'");
    for forward in ["", v4, v6] {
        assert!(taken(forward, "::"), "{forward}");
    }
    // What is of one family is in nobody's way of the other, nor what only the host itself reaches.
    assert!(taken(v4, "0.0.0.0") && !taken(v6, "0.0.0.0"));
    assert!(taken(v4, "192.0.2.1") && taken(v4, "::ffff:192.0.2.1"));
    assert!(taken(v6, "2001:db8::1"));
    for other in ["192.0.2.2", "2001:db8::1", "127.0.0.1", "::1"] {
        assert!(!taken(v4, other), "{other}");
    }
    assert!(taken("", "192.0.2.2") && !taken("", "127.0.0.1") && !taken("", "::1"));
}
