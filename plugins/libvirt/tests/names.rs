//! Names, addresses, operations and arguments, as libvirt gives them.
#![allow(clippy::expect_used, reason = "a test fails by a panic")]

use portero_libvirt::{
    DaemonOperation, DomainOperation, Duid, EventError, HookArguments, InterfaceName, MacAddress,
    NetworkOperation, ObjectName,
};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

#[test]
fn objects_have_any_name_that_is_one_and_stays_in_its_folder() {
    for name in ["web", "a b", "größer", "..", "-x"] {
        let parsed: ObjectName = name.parse().expect("a name");
        assert_eq!((parsed.as_str(), parsed.to_string().as_str()), (name, name));
    }
    for wrong in ["", "a/b", "a\nb", "\u{7f}"] {
        assert!(wrong.parse::<ObjectName>().is_err(), "{wrong:?}");
    }
}

#[test]
fn interfaces_have_names_that_nobody_takes_for_something_else() {
    for name in [
        "e",
        "eth0.1",
        "br-lan",
        "a_b:c@d",
        "fifteencharacte",
        "a+b",
        "...",
    ] {
        let parsed: InterfaceName = name.parse().expect("a name");
        assert_eq!((parsed.as_str(), parsed.to_string().as_str()), (name, name));
    }
    for wrong in ["", ".", "..", "-e", "e+", "sixteencharacter", "e 0", "é"] {
        assert!(wrong.parse::<InterfaceName>().is_err(), "{wrong:?}");
    }
    let message = "e\n0".parse::<InterfaceName>().expect_err("not a name");
    assert!(message
        .to_string()
        .starts_with("'e\\n0' is not an interface name"));
}

#[test]
fn addresses_are_their_octets() {
    let mac: MacAddress = "52:54:00:0a:B:1".parse().expect("an address");
    assert_eq!(mac.octets(), [0x52, 0x54, 0, 0x0a, 0x0b, 1]);
    for wrong in ["52:54:00:0a:0b:", "52:54:00:0a:0b:001", "52:54:00:0a:0b:0x"] {
        assert!(wrong.parse::<MacAddress>().is_err(), "{wrong}");
    }
}

#[test]
fn a_duid_tells_the_mac_address_that_it_was_made_from() {
    let mac: MacAddress = "52:54:00:0a:0b:01".parse().expect("an address");
    let is_of = |text: &str| Duid::parse(text).expect("a DUID").is_of(mac);
    assert!(is_of("0:1:0:1:2a:2a:2a:2a:52:54:00:0a:0b:01"));
    assert!(is_of("00:03:00:01:52:54:00:0a:0b:01"));
    // Of another type, over other hardware, of another length, of somebody else.
    assert!(!is_of("00:02:00:01:52:54:00:0a:0b:01"));
    assert!(!is_of("00:03:00:06:52:54:00:0a:0b:01"));
    assert!(!is_of("00:03:00:01:00:52:54:00:0a:0b:01"));
    assert!(!is_of("00:03:00:01:52:54:00:0a:0b:02"));
    assert!(Duid::parse("0:1:2").is_some());
    for wrong in ["", "0:1", "0:1:g", "0:1:100"] {
        assert_eq!(Duid::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn operations_are_the_words_of_libvirts_page_and_few_may_refuse() {
    let qemu = [
        ("prepare", true),
        ("start", true),
        ("started", false),
        ("stopped", false),
        ("release", false),
        ("migrate", false),
        ("restore", false),
        ("reconnect", false),
        ("attach", false),
        ("resize", false),
    ];
    for (word, may_refuse) in qemu {
        let operation = DomainOperation::from(word);
        assert_eq!(operation.to_string(), word);
        assert_eq!(operation.may_refuse(), may_refuse, "{word}");
        let is_unknown = matches!(operation, DomainOperation::Unknown(_));
        assert_eq!(is_unknown, word == "resize");
    }
    for word in [
        "start",
        "started",
        "stopped",
        "updated",
        "port-created",
        "port-deleted",
    ] {
        let operation = NetworkOperation::from(word);
        assert_eq!(operation.to_string(), word);
        assert_eq!(operation.may_refuse(), word == "start", "{word}");
        assert!(!matches!(operation, NetworkOperation::Unknown(_)), "{word}");
    }
    for word in ["start", "shutdown", "reload"] {
        let operation = DaemonOperation::from(word);
        assert_eq!(operation.to_string(), word);
        assert!(!matches!(operation, DaemonOperation::Unknown(_)), "{word}");
    }
    let strange = DaemonOperation::from("a\nb").to_string();
    assert_eq!(strange, "a\\nb");
}

#[test]
fn a_hook_is_given_an_object_and_an_operation() {
    let parse = |words: &[&str]| HookArguments::parse(words.iter().map(OsString::from));
    // libvirt gives four; what the others say is nothing that it would not say elsewhere.
    let all = parse(&["web", "prepare", "begin", "-"]).expect("arguments");
    assert_eq!(
        (all.object.as_str(), all.operation.as_str()),
        ("web", "prepare")
    );
    for few in [&[][..], &["web"]] {
        let error = parse(few).expect_err("too few");
        let count = few.len();
        assert!(
            matches!(error, EventError::Arguments { found } if found == count),
            "{error}"
        );
    }
    let strange = [OsString::from("web"), OsString::from_vec(vec![0xff])];
    let error = HookArguments::parse(strange).expect_err("no text");
    assert!(
        matches!(error, EventError::ArgumentNotUtf8 { position: 2 }),
        "{error}"
    );
}
