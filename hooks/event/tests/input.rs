//! Hostile and broken input on a hook's stdin.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by a panic"
)]

use portero_event::{Element, Event, MacAddress, NetworkOperation, QemuOperation, INPUT_LIMIT};

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
    let event = Event::domain(QemuOperation::Prepare, xml).expect("a domain");
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
            wrong.parse::<portero_event::InterfaceName>().is_err(),
            "{wrong}"
        );
    }
}

#[test]
fn operations_of_other_libvirts_are_kept() {
    assert_eq!(
        QemuOperation::from("resize"),
        QemuOperation::Unknown("resize".to_owned())
    );
    assert!(!QemuOperation::from("reconnect").may_refuse());
    assert!(QemuOperation::from("start").may_refuse());
}
