//! The grammar of `<portForward>`: what is read, and the one line for what is not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by a panic"
)]

use portero_model::{Origin, Owner, OwnerKind};
use portero_port_forward::{parse, Forward};
use portero_xml::Element;
use uuid::Uuid;

fn read(content: &str) -> Result<Vec<Forward>, String> {
    let xml = format!("<p:domain xmlns:p='urn:portero:1'>\n{content}\n</p:domain>");
    let root = Element::parse(xml.as_bytes()).expect("XML");
    let owner = Owner {
        kind: OwnerKind::Domain,
        driver: None,
        uuid: Uuid::nil(),
        name: "web".to_owned(),
    };
    parse(&root, OwnerKind::Domain, &Origin::Metadata(owner)).map_err(|error| error.to_string())
}

fn mappings(content: &str) -> Vec<String> {
    let forwards = read(content).expect("a forward");
    let mappings = forwards.iter().flat_map(|forward| &forward.mappings);
    mappings
        .map(|mapping| format!("{}>{}", mapping.host, mapping.guest))
        .collect()
}

#[test]
fn ranges_are_mapped_port_by_port_and_exclusions_cut_them() {
    let content = "<p:portForward proto='tcp'><p:range start='8080' to='80'/>\
                   <p:range start='2000' end='2020' to='3000'/>\
                   <p:range start='2010' end='2012' exclude='yes'/></p:portForward>";
    assert_eq!(
        mappings(content),
        ["8080>80", "2000-2009>3000-3009", "2013-2020>3013-3020"]
    );
    let ends = "<p:portForward proto='udp'><p:range start='1' end='65535'/>\
                <p:range start='1' exclude='yes'/><p:range start='65535' exclude='yes'/></p:portForward>";
    assert_eq!(mappings(ends), ["2-65534>2-65534"]);
    // Holes in any order, one in the other, across both ends of a range.
    let holes = "<p:portForward proto='tcp'><p:range start='10' end='20' to='110'/>\
                 <p:range start='30' end='40'/>\
                 <p:range start='38' end='50' exclude='yes'/><p:range start='5' end='11' exclude='yes'/>\
                 <p:range start='13' end='16' exclude='yes'/><p:range start='14' exclude='yes'/>\
                 <p:range start='18' end='30' exclude='yes'/></p:portForward>";
    assert_eq!(mappings(holes), ["12>112", "17>117", "31-37>31-37"]);
}

#[test]
fn what_is_wrong_is_said_in_one_line_with_its_place() {
    let range = "<p:range start='1'/>";
    let cases = [
        (format!("<p:portForward>{range}</p:portForward>"), "<portForward>: proto is missing"),
        (format!("<p:portForward proto='icmp'>{range}</p:portForward>"), "protocol 'icmp' is not known"),
        (format!("<p:portForward proto='tcp' adress='1.2.3.4'>{range}</p:portForward>"), "attribute 'adress' is not known"),
        (format!("<p:portForward proto='tcp' address='::1'>{range}</p:portForward>"), "::1 cannot be forwarded"),
        (format!("<p:portForward proto='tcp' address='0.0.0.0'>{range}</p:portForward>"), "not the address of one machine"),
        (format!("<p:portForward proto='tcp' dev='-j'>{range}</p:portForward>"), "dev: '-j' is not an interface name"),
        (format!("<p:portForward proto='tcp' source='10.0.0.0/33'>{range}</p:portForward>"), "is not a network"),
        (format!("<p:portForward proto='tcp' source='10.0.0.0/+8'>{range}</p:portForward>"), "is not a network"),
        (format!("<p:portForward proto='tcp' address='10.0.0.1' guest='fd00::1'>{range}</p:portForward>"), "mix IPv4 and IPv6"),
        ("<p:portForward proto='tcp'/>".to_owned(), "all ports of the host"),
        ("<p:portForward proto='tcp'><p:range start='1' exclude='yes'/></p:portForward>".to_owned(), "not excluded"),
        ("<p:portForward proto='tcp'><p:range start='0'/></p:portForward>".to_owned(), "'0' is not a port"),
        ("<p:portForward proto='tcp'><p:range start='65536'/></p:portForward>".to_owned(), "'65536' is not a port"),
        ("<p:portForward proto='tcp'><p:range start='+1'/></p:portForward>".to_owned(), "'+1' is not a port"),
        ("<p:portForward proto='tcp'><p:range start='9' end='8'/></p:portForward>".to_owned(), "before its start"),
        ("<p:portForward proto='tcp'><p:range start='1' end='9' to='65530'/></p:portForward>".to_owned(), "pass 65535"),
        ("<p:portForward proto='tcp'><p:range start='1' end='9'/><p:range start='9'/></p:portForward>".to_owned(), "overlap"),
        ("<p:policy/>".to_owned(), "not known here"),
        ("<p:portforward/>".to_owned(), "not known here"),
    ];
    for (content, expected) in cases {
        let message = read(&content).expect_err(&content);
        assert!(
            message.contains(expected),
            "expected '{expected}' in '{message}'"
        );
        assert!(
            message.starts_with("metadata of domain 'web', line 2: <"),
            "{message}"
        );
        assert!(!message.contains('\n'), "{message}");
    }
}
