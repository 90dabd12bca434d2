//! Forwards of recorded owners: as they are written, and which rows of the firewall they come to.

use crate::view::{Family, View};
use fastrand::Rng;
use portero_lab::{HOST_V4, HOST_V6};
use std::fmt::Write as _;

/// A guest's place: where forwards lead.
#[derive(Debug, Clone)]
pub struct Place {
    /// The bridge of its network.
    pub bridge: String,
    /// Its addresses, IPv4 and IPv6.
    pub addresses: [String; 2],
    /// The subnets of its network.
    pub subnets: [String; 2],
    /// Whether its network is an isolated one.
    pub is_isolated: bool,
}

/// How the guest's address is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guest {
    /// It is written.
    Given,
    /// The network has a reservation.
    Reserved,
}

/// Who lets a forwarded connection pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// portero, since libvirt would reject it.
    ByPortero,
    /// Everybody: libvirt has no rules.
    ByAll,
}

/// One `<portForward>` with one range.
#[derive(Debug, Clone)]
pub struct Forward {
    protocol: &'static str,
    /// Both when absent.
    family: Option<Family>,
    address: Option<&'static str>,
    dev: Option<&'static str>,
    source: Option<&'static str>,
    guest: Guest,
    start: u16,
    length: u16,
    /// The guest's first port.
    to: u16,
    /// Whether the second port is excluded.
    has_hole: bool,
}

/// How many host ports a forward may have.
pub const WIDEST: u16 = 4;

impl Forward {
    /// The plainest one: a port of every local IPv4 address.
    pub fn plain(protocol: &'static str, port: u16, to: u16) -> Self {
        Self {
            protocol,
            family: Some(Family::Ipv4),
            address: None,
            dev: None,
            source: None,
            guest: Guest::Given,
            start: port,
            length: 1,
            to,
            has_hole: false,
        }
    }

    /// Any forward of [`WIDEST`] ports or fewer, from `start` on.
    pub fn random(rng: &mut Rng, start: u16, guest: Guest) -> Self {
        let protocol = ["tcp", "udp", "sctp"][rng.usize(..3)];
        let mut forward = Self::plain(protocol, start, start);
        forward.guest = guest;
        forward.length = if rng.bool() { 1 } else { rng.u16(2..=WIDEST) };
        forward.has_hole = forward.length > 2 && rng.bool();
        if rng.bool() {
            forward.to = rng.u16(1..=60_000);
        }
        let family = [Family::Ipv4, Family::Ipv6][rng.usize(..2)];
        forward.family = Some(family);
        let of_family = |v4, v6| Some(if family == Family::Ipv4 { v4 } else { v6 });
        let host = of_family(HOST_V4, HOST_V6);
        let source = of_family("198.51.100.0/24", "2001:db8:5::/64");
        match rng.u8(..10) {
            0 => forward.source = source,
            1 => forward.dev = Some("eth0"),
            2 => forward.address = host,
            3 => {
                forward.family = Some(Family::Ipv4);
                forward.address = Some("127.0.0.1");
            }
            4 => (forward.dev, forward.source) = (Some("eth0"), source),
            5 => (forward.address, forward.source) = (host, source),
            6 => (forward.address, forward.dev) = (host, Some("eth0")),
            7 => {}
            _ => forward.guest = Guest::Given,
        }
        if forward.guest == Guest::Reserved && forward.address.or(forward.source).is_none() {
            // Nothing says which family is meant.
            forward.family = None;
        }
        forward
    }

    fn families(&self) -> impl Iterator<Item = Family> + '_ {
        let all = [Family::Ipv4, Family::Ipv6].into_iter();
        all.filter(|family| self.family.is_none_or(|one| one == *family))
    }

    /// The element.
    pub fn xml(&self, place: &Place) -> String {
        let mut text = format!("<p:portForward proto='{}'", self.protocol);
        let mut attribute = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                write!(text, " {name}='{value}'").expect("a string");
            }
        };
        attribute("address", self.address);
        attribute("dev", self.dev);
        attribute("source", self.source);
        let is_given = self.guest == Guest::Given;
        let guest = self.family.filter(|_| is_given);
        let guest = guest.map(|family| place.addresses[family as usize].as_str());
        attribute("guest", guest);
        let end = self.start + self.length - 1;
        let (start, to) = (self.start, self.to);
        write!(text, "><p:range start='{start}' end='{end}' to='{to}'/>").expect("a string");
        if self.has_hole {
            write!(text, "<p:range start='{}' exclude='yes'/>", start + 1).expect("a string");
        }
        text + "</p:portForward>"
    }

    /// What has to be in the firewall while it leads to `place`.
    pub fn rows(&self, place: &Place, accepted: Accepted, view: &mut View) {
        let protocol = self.protocol;
        let or_any = |value: Option<&'static str>| value.unwrap_or("any");
        let (address, dev, source) = (or_any(self.address), or_any(self.dev), or_any(self.source));
        let is_loopback = self.address == Some("127.0.0.1");
        for family in self.families() {
            let guest = &place.addresses[family as usize];
            for offset in (0..self.length).filter(|offset| !(self.has_hole && *offset == 1)) {
                let (port, to) = (self.start + offset, self.to + offset);
                view.add(format!(
                    "forward {family} {protocol} {port} of {address} on {dev} from {source} to {guest} {to}"
                ));
                if accepted == Accepted::ByPortero {
                    view.add(format!("accept {family} {protocol} {port} to {guest} {to}"));
                }
            }
            let subnet = place.subnets[family as usize].as_str();
            let beside = match (place.is_isolated, is_loopback) {
                (true, _) => Some("any"),
                (false, true) => Some("127.0.0.0/8"),
                (false, false) => None,
            };
            for source in [subnet].into_iter().chain(beside) {
                view.add(format!("masquerade {family} from {source} to {guest}"));
            }
            // Who pretends to be of that subnet, and what would end at the host, is dropped.
            view.add(format!("neighbours {family} {subnet} to {guest}"));
            view.add(format!("local {family} {guest}"));
            if accepted == Accepted::ByPortero {
                view.add(format!("errors {family} {guest}"));
            }
        }
        if is_loopback {
            view.add(format!("loopback {}", place.bridge));
            view.add(format!("from loopback {}", place.bridge));
        }
    }
}
