//! Readers of network files as a model: what each program makes of the files for one interface, written from
//! its manual and source, and not from the planner. A reading is a set of facts in which the interface's own
//! name is `*`, so that a NIC's before is that of its bridge after.

mod ifupdown;
mod keyfile;
mod netplan;
mod networkd;
mod networkmanager;
mod scripts;
mod sections;
mod shell;

use portero_host_bridge::{HostFiles, HostNic, Renderer};
use std::collections::BTreeSet;
use std::hash::Hasher;

/// What a reader makes of an interface's files.
pub(crate) type Facts = BTreeSet<String>;

/// What is asked of a reader.
pub(crate) struct Question<'a> {
    pub(crate) files: &'a HostFiles,
    /// The interface's name.
    pub(crate) name: &'a str,
    /// The NIC that is meant, or the first one of the bridge that is.
    pub(crate) nic: &'a HostNic,
}

/// What is known of one interface.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// What concerns IP, the MAC address, the MTU and the start at boot.
    pub(crate) facts: Facts,
    /// The bridge it is in.
    pub(crate) master: Option<String>,
    /// What the interface is told as a link.
    pub(crate) link: Facts,
}

impl Reading {
    pub(crate) fn add(&mut self, name: &str, fact: impl AsRef<str>) {
        self.facts.insert(masked(fact.as_ref(), name));
    }
}

/// A reader by its name.
pub(crate) struct Reader {
    pub(crate) name: &'static str,
    pub(crate) read: fn(&Question<'_>) -> Reading,
}

/// The readers of a format.
pub(crate) fn readers(renderer: Renderer) -> Vec<Reader> {
    let reader = |name, read| Reader { name, read };
    match renderer {
        Renderer::Ifcfg => vec![
            reader("initscripts", scripts::read),
            reader("NetworkManager", networkmanager::read),
        ],
        Renderer::Keyfile => vec![reader("NetworkManager", keyfile::read)],
        Renderer::Networkd => vec![reader("networkd", networkd::read)],
        Renderer::Netplan => vec![reader("netplan", netplan::read)],
        Renderer::Ifupdown => vec![reader("ifupdown", ifupdown::read)],
    }
}

/// The text with a name as `*` wherever it is a word of its own.
fn masked(text: &str, name: &str) -> String {
    let is_inner = |letter: char| letter.is_alphanumeric() || "_-.".contains(letter);
    let mut masked = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(name) {
        let (before, after) = (&rest[..at], &rest[at + name.len()..]);
        let is_word = !before.ends_with(is_inner) && !after.starts_with(is_inner);
        // A name between dots or slashes is that of a setting of the kernel's.
        let is_key = before.ends_with(['.', '/']) && after.starts_with(['.', '/']);
        masked += before;
        masked += if is_word || is_key { "*" } else { name };
        rest = after;
    }
    masked + rest
}

/// The number in a DHCP identity of NetworkManager and networkd for a name: SipHash 2-4, folded.
fn iaid(name: &str) -> u32 {
    #[allow(deprecated, reason = "the only SipHash 2-4 of std")]
    let mut hasher =
        std::hash::SipHasher::new_with_keys(0xee03_4afe_c28c_1180, 0x0914_3936_6f0c_d63e);
    hasher.write(name.as_bytes());
    let hash = hasher.finish();
    u32::try_from(hash & 0xffff_ffff).expect("32 bits")
        ^ u32::try_from(hash >> 32).expect("32 bits")
}

/// The address that an interface makes of its name: its half of it, if the host says which that is.
fn stable(question: &Question<'_>) -> String {
    let mut halves = question
        .nic
        .state
        .slaac
        .iter()
        .map(|address| address.segments()[4..].to_vec());
    match halves.next() {
        Some(first)
            if question.name == question.nic.name.as_str() && halves.all(|half| half == first) =>
        {
            token(&first)
        }
        _ => format!("identity: address of {}", question.name),
    }
}

fn token(half: &[u16]) -> String {
    format!("slaac {half:x?}")
}

/// The same of a token that is given.
fn given_token(text: &str) -> String {
    let address: std::net::Ipv6Addr = text.parse().expect("a token");
    token(&address.segments()[4..])
}

/// The address that NetworkManager gives an interface by a token, or by a mode of its addr-gen-mode.
fn slaac(question: &Question<'_>, given: Option<&str>, mode: &str) -> String {
    match (given, mode) {
        (Some(text), _) => given_token(text),
        (None, "eui64" | "default-or-eui64" | "0" | "2") => "slaac by the MAC address".to_owned(),
        (None, _) => stable(question),
    }
}

/// NetworkManager's metric that is given, or the one for a type of interface.
fn given_metric(question: &Question<'_>, given: Option<&str>, kind: &str) -> String {
    given.map_or_else(|| metric(question, kind).to_string(), str::to_owned)
}

/// The number in a DHCP identity that is given, or that of the name.
fn given_iaid(given: Option<&str>, name: &str) -> String {
    given.map_or_else(|| iaid(name).to_string(), str::to_owned)
}

/// NetworkManager's metric for a type of interface, unless the host says which the NIC has.
fn metric(question: &Question<'_>, kind: &str) -> u32 {
    let default = match kind {
        "bridge" => 425,
        "bond" => 300,
        "team" => 350,
        "vlan" => 400,
        _ => 100,
    };
    let is_nic = question.name == question.nic.name.as_str();
    question
        .nic
        .state
        .metric
        .filter(|_| is_nic)
        .unwrap_or(default)
}

/// The MAC address that is set, or that the NIC has.
fn mac(question: &Question<'_>, given: Option<&str>) -> String {
    let own = question.nic.mac.map(|mac| mac.to_string());
    let is_nic = question.name == question.nic.name.as_str();
    let mac = given.map(str::to_owned).or(own.filter(|_| is_nic));
    format!("mac {}", mac.unwrap_or_default().to_lowercase())
}
