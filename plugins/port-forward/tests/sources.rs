//! Who may use a forward, by several sources, groups and exceptions.
#![allow(clippy::expect_used, reason = "a test fails by a panic")]

use ipnet::IpNet;
use portero_libvirt::ObjectName;
use portero_model::{Origin, Owner, OwnerKind};
use portero_port_forward::{parse, Forward};
use portero_xml::Element;

/// The forward with these attributes and elements, resolved with a group `office`.
fn resolved(attributes: &str, sources: &str) -> Result<Vec<Forward>, String> {
    let xml = format!(
        "<domain xmlns='urn:portero:1'><portForward proto='tcp' {attributes}>{sources}<range start='80'/></portForward></domain>"
    );
    let root = Element::parse(xml.as_bytes()).expect("XML");
    let origin = Origin::File("web.xml".to_owned());
    let forwards = parse(&root, OwnerKind::Domain, &origin).map_err(|error| error.to_string())?;
    let groups = |name: &ObjectName| match name.as_str() {
        "office" => Ok(vec![net("192.0.2.0/25"), net("2001:db8::/48")]),
        _ => Err(format!("there is no group {name}")),
    };
    let [forward] = <[Forward; 1]>::try_from(forwards).expect("a forward");
    forward
        .with_sources(&groups)
        .map_err(|error| error.to_string())
}

fn net(text: &str) -> IpNet {
    text.parse().expect("a network")
}

fn nets(attributes: &str, sources: &str) -> Vec<String> {
    let forwards = resolved(attributes, sources).expect("sources");
    let source = |forward: &Forward| {
        forward
            .source
            .map_or("any".to_owned(), |net| net.to_string())
    };
    forwards.iter().map(source).collect()
}

#[test]
fn sources_are_added_and_exceptions_taken_out() {
    assert_eq!(nets("", ""), ["any"]);
    assert_eq!(nets("source='192.0.2.0/24'", ""), ["192.0.2.0/24"]);
    assert_eq!(
        nets(
            "source='192.0.2.7'",
            "<source address='198.51.100.0' prefix='24'/>"
        ),
        ["192.0.2.7/32", "198.51.100.0/24"]
    );
    assert_eq!(
        nets("", "<source group='office'/>"),
        ["192.0.2.0/25", "2001:db8::/48"]
    );
    assert_eq!(
        nets(
            "guest='10.1.1.1'",
            "<source group='office'/><source address='192.0.2.0' prefix='26' match='no'/>"
        ),
        ["192.0.2.64/26"]
    );
    let all_but = nets(
        "address='203.0.113.1'",
        "<source address='10.0.0.0' prefix='8' match='no'/>",
    );
    assert_eq!(all_but.len(), 8);
    let holds = |address: &str| all_but.iter().any(|one| net(one).contains(&net(address)));
    assert!(holds("9.255.255.255/32") && holds("11.0.0.0/32") && holds("203.0.113.9/32"));
    assert!(!holds("10.0.0.0/32") && !holds("10.255.255.255/32"));
    // Both families, of which one has no exception.
    let both = nets("", "<source address='0.0.0.0' prefix='1' match='no'/>");
    assert_eq!(both, ["128.0.0.0/1", "::/0"]);
}

#[test]
fn what_is_wrong_is_told() {
    for (sources, expected) in [
        ("<source/>", "expected one of the attributes address, group"),
        (
            "<source address='192.0.2.1' group='office'/>",
            "expected one of the attributes address, group",
        ),
        ("<source prefix='8'/>", "prefix without address"),
        (
            "<source address='192.0.2.0/24'/>",
            "expected an address, and prefix beside it",
        ),
        (
            "<source address='192.0.2.0' prefix='33'/>",
            "is not a network",
        ),
        (
            "<source address='192.0.2.1' match='maybe'/>",
            "expected yes or no",
        ),
        ("<source group='nobody'/>", "there is no group nobody"),
        ("<source address='192.0.2.1' port='1'/>", "port"),
        (
            "<source address='192.0.2.1'/><source address='192.0.2.0' prefix='24' match='no'/>",
            "its sources leave nobody",
        ),
    ] {
        let said = resolved("", sources).expect_err(sources);
        assert!(said.contains(expected), "{sources}: {said}");
    }
    let many: String = (0..200)
        .map(|number| format!("<source address='10.{number}.7.7' match='no'/>"))
        .collect();
    let said = resolved("", &many).expect_err("too many");
    assert!(said.contains("more than 1000 networks"), "{said}");
}

#[test]
fn a_set_is_a_ban_list_that_only_the_administrator_names() {
    let set = "<source set='inet f2b banned' match='no'/>";
    let banned = |forwards: &[Forward]| -> Vec<(String, String)> {
        let of = |one: &Forward| {
            let sets: Vec<String> = one.bans.iter().map(ToString::to_string).collect();
            let source = one.source.map_or("any".to_owned(), |net| net.to_string());
            (source, sets.join(","))
        };
        forwards.iter().map(of).collect()
    };
    let pair = |source: &str| (source.to_owned(), "inet f2b banned".to_owned());
    let alone = resolved("", set).expect("a set");
    assert_eq!(banned(&alone), [pair("any")]);
    let both = format!("{set}<source group='office'/>");
    let both = resolved("", &both).expect("both");
    assert_eq!(banned(&both), [pair("192.0.2.0/25"), pair("2001:db8::/48")]);
    let excepted = format!("{set}<source address='0.0.0.0' prefix='1' match='no'/>");
    let excepted = resolved("", &excepted).expect("an exception");
    assert_eq!(banned(&excepted), [pair("128.0.0.0/1"), pair("::/0")]);
    let said = resolved("", "<source set='inet f2b banned'/>").expect_err("no match");
    assert!(said.contains("expected match='no'"), "{said}");
    let xml = format!(
        "<network xmlns='urn:portero:1'><portForward proto='tcp' guest='192.0.2.9'>{set}<range start='80'/></portForward></network>"
    );
    let root = Element::parse(xml.as_bytes()).expect("XML");
    let of = |kind| {
        Origin::Metadata(Owner {
            kind,
            driver: None,
            uuid: uuid::Uuid::from_u128(7),
            name: "x".to_owned(),
        })
    };
    let read = parse(&root, OwnerKind::Network, &of(OwnerKind::Network));
    assert_eq!(read.map(|forwards| forwards.len()), Ok(1));
    let xml = xml.replace("network", "domain");
    let root = Element::parse(xml.as_bytes()).expect("XML");
    let said = parse(&root, OwnerKind::Domain, &of(OwnerKind::Domain)).expect_err("a domain's");
    let expected = "metadata of a domain cannot name a set";
    assert!(said.to_string().contains(expected), "{said}");
}
