//! Hostile and broken input on a hook's stdin.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by a panic"
)]

use portero_libvirt::{DomainOperation, Event, MacAddress, NetworkOperation};
use portero_xml::{Element, INPUT_LIMIT};

fn refused(input: &[u8]) -> String {
    let message = Element::parse(input)
        .expect_err("it is refused")
        .to_string();
    assert!(!message.contains(char::is_control), "{message}");
    message
}

#[test]
fn broken_xml_is_refused_with_its_line() {
    assert!(refused(b"").contains("empty"));
    assert!(refused(b"<a>\n<b>\n</a>").starts_with("line 3"));
    assert!(refused(b"<a>").contains("never closed"));
    assert!(refused(b"<a/><b/>").contains("second root"));
    assert!(refused(b"<a>\n\n\xff</a>").starts_with("line 3: the XML is not valid UTF-8"));
    assert!(refused(b"<!DOCTYPE a [<!ENTITY x 'y'>]><a/>").contains("document type"));
    assert!(refused(b"<a>&x;</a>").contains("entity '&x;'"));
    assert!(refused(b"<p:a/>").contains("prefix 'p'"));
    assert!(refused("<a>".repeat(1000).as_bytes()).contains("levels"));
    assert!(refused(&vec![b' '; INPUT_LIMIT + 1]).contains("longer than"));
}

#[test]
fn what_a_message_quotes_stays_on_its_line() {
    let parsed = refused(b"<a><b>\n</b\x1b[2J\n></a>");
    assert!(parsed.contains("</b\\u{1b}[2J"), "{parsed}");
    let element = Element::parse(b"<a b='urn:portero:&#10;1'/>").expect("XML");
    let problem = element.problem(element.attribute("b").expect("a value"));
    assert_eq!(problem.to_string(), "line 1: <a>: urn:portero:\\n1");
}

#[test]
fn references_and_sections_are_text() {
    let element = Element::parse(b"<a>&lt;&#65;&#x42;<![CDATA[&x;]]></a>").expect("XML");
    assert_eq!(element.text(), "<AB&x;");
}

#[test]
fn a_domain_of_another_namespace_version_is_named() {
    let xml = b"<domain><name>w</name><uuid>11111111-1111-4111-8111-111111111111</uuid>\
        <metadata><x:domain xmlns:x='urn:portero:2'/></metadata></domain>";
    let event = Event::domain(DomainOperation::Prepare, xml).expect("a domain");
    let Event::Domain { domain, .. } = event else {
        unreachable!("a domain's event")
    };
    let message = domain.metadata().expect_err("it is refused").to_string();
    assert!(message.contains("expected 'urn:portero:1'"), "{message}");
}

#[test]
fn other_peoples_metadata_is_left_alone() {
    let xml = b"<hookData><network><name>n</name><uuid>11111111-1111-4111-8111-111111111111</uuid>\
        <metadata><x:network xmlns:x='http://example.com'/></metadata></network></hookData>";
    let event = Event::network(NetworkOperation::Start, xml).expect("a network");
    let Event::Network { network, .. } = event else {
        unreachable!("a network's event")
    };
    assert_eq!(network.metadata(), Ok(None));
}

#[test]
fn names_and_addresses_are_valid_or_refused() {
    for wrong in [
        "52:54:00:00:00",
        "52:54:00:00:00:00:00",
        "52:54:00:00:00:g0",
        "+1:54:00:00:00:00",
    ] {
        assert!(wrong.parse::<MacAddress>().is_err(), "{wrong}");
    }
    assert_eq!(
        "52:54:0:a:B:ff"
            .parse::<MacAddress>()
            .expect("a MAC")
            .to_string(),
        "52:54:00:0a:0b:ff"
    );
    for wrong in [
        "",
        "a b",
        "-i",
        "eth+",
        "..",
        "sixteencharacter",
        "a/b",
        "a\nb",
    ] {
        assert!(
            wrong.parse::<portero_libvirt::InterfaceName>().is_err(),
            "{wrong}"
        );
    }
}

#[test]
fn operations_of_other_libvirts_are_kept() {
    assert_eq!(
        DomainOperation::from("resize"),
        DomainOperation::Unknown("resize".to_owned())
    );
    assert!(!DomainOperation::from("reconnect").may_refuse());
    assert!(DomainOperation::from("start").may_refuse());
}

#[test]
fn what_is_at_a_limit_is_read_and_what_is_beyond_is_not() {
    let nested = |levels: usize| "<a>".repeat(levels) + &"</a>".repeat(levels);
    let deepest = (1..).find(|levels| Element::parse(nested(levels + 1).as_bytes()).is_err());
    let deepest = deepest.expect("a limit");
    let message = refused(nested(deepest + 1).as_bytes());
    assert!(message.contains(&format!("{deepest} levels")), "{message}");
    let many = |elements: usize| format!("<a>{}</a>", "<b/>".repeat(elements - 1));
    assert!(Element::parse(many(400_000).as_bytes()).is_ok());
    let error = Element::parse(many(400_001).as_bytes()).err();
    let message = error.map(|error| error.to_string()).unwrap_or_default();
    assert!(message.contains("400000 elements"), "{message}");
    let mut longest = b"<a/>".to_vec();
    longest.resize(INPUT_LIMIT, b' ');
    assert!(Element::parse(&longest).is_ok());
}

#[test]
fn each_element_knows_its_line_its_text_and_its_children() {
    let xml = b"<?xml version='1.0'?>\n<!-- \n -->\n<a one='1' xmlns:x='urn:x' two='2'> t \n<b/>\n<x:b/><b\n/> u\n</a>\n";
    let root = Element::parse(xml).expect("XML");
    assert_eq!((root.name(), root.line()), ("a", 4));
    assert_eq!(root.attribute_names().collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(
        (root.attribute("two"), root.attribute("x")),
        (Some("2"), None)
    );
    let lines: Vec<usize> = root.children().iter().map(Element::line).collect();
    assert_eq!(lines, [5, 6, 6]);
    let own: Vec<usize> = root.all("b").map(Element::line).collect();
    assert_eq!(own, [5, 6]);
    assert_eq!(root.child("b").map(Element::line), Some(5));
    assert_eq!(root.children()[1].namespace(), Some("urn:x"));
    assert!(root.text().starts_with('t') && root.text().ends_with('u'));
}

#[test]
fn what_nobody_would_read_is_refused_by_name() {
    let root = Element::parse(b"<a x='1'><b/>text</a>").expect("XML");
    let said =
        |checked: Result<(), portero_xml::Problem>| checked.map_err(|problem| problem.to_string());
    assert_eq!(said(root.only_attributes(&["w", "x"])), Ok(()));
    let one_of = said(root.only_attributes(&["v", "w"])).expect_err("x");
    assert!(
        one_of.ends_with("attribute 'x' is not known, expected one of v, w"),
        "{one_of}"
    );
    let none = said(root.only_attributes(&[])).expect_err("x");
    assert!(
        none.ends_with("attribute 'x' is not known, expected none"),
        "{none}"
    );
    let child = said(root.expect_text()).expect_err("b");
    assert!(
        child.ends_with("<b>: not known in <a>, expected nothing"),
        "{child}"
    );
    let text = said(root.expect_elements()).expect_err("text");
    assert!(
        text.ends_with("text 'text' is not known here, expected none"),
        "{text}"
    );
    assert!(root.expect_nothing().is_err());
    let empty = Element::parse(b"<a> \n </a>").expect("XML");
    assert_eq!(said(empty.expect_nothing()), Ok(()));
    assert!(refused(b"<a/>text").contains("text outside of any element"));
}
