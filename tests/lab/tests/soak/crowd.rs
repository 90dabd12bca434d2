//! Recorded guests of one large network, each with ten forwards.

use crate::forward::{Accepted, Forward, Place};
use crate::view::View;
use portero_lab::Event;
use std::fmt::Write as _;

/// How many forwards each guest has.
pub const FORWARDS: u16 = 10;

/// The protocols that they take turns with.
const PROTOCOLS: [&str; 2] = ["tcp", "udp"];

/// The first port of the host that is forwarded.
const FIRST_PORT: u16 = 10_000;

/// A guest of the crowd.
#[derive(Debug, Clone, Copy)]
pub struct Member(pub u16);

/// The bridge of the network.
pub const BRIDGE: &str = "br-crowd";

const NETWORK: &str =
    "<network><name>crowd</name><uuid>f0000000-0000-4000-8000-000000000000</uuid>\
<forward mode='nat'/><bridge name='br-crowd'/><ip address='10.81.0.1' prefix='16'/></network>";

/// An event of the network.
pub fn network_event(operation: &'static str, port: &str) -> Event {
    Event {
        hook: "network",
        name: "crowd".to_owned(),
        operation,
        stdin: format!("<hookData>{NETWORK}{port}</hookData>"),
    }
}

/// The file in which libvirt keeps the network.
pub fn network_status() -> (String, String) {
    let text = format!("<networkstatus>{NETWORK}</networkstatus>");
    ("/run/libvirt/network/crowd.xml".to_owned(), text)
}

impl Member {
    fn name(self) -> String {
        format!("crowd{}", self.0)
    }

    fn address(self) -> String {
        format!("10.81.{}.{}", self.0 / 250 + 1, self.0 % 250 + 1)
    }

    fn mac(self) -> String {
        format!("52:54:00:81:{:02x}:{:02x}", self.0 / 256, self.0 % 256)
    }

    fn ports(self) -> impl Iterator<Item = u16> {
        let first = FIRST_PORT + self.0 * FORWARDS;
        first..first + FORWARDS
    }

    /// The `<domain>`.
    pub fn xml(self) -> String {
        let mut forwards = String::new();
        for (index, protocol) in PROTOCOLS.iter().enumerate() {
            write!(
                forwards,
                "<p:portForward proto='{protocol}' guest='{}'>",
                self.address()
            )
            .expect("a string");
            for port in self.ports().skip(index).step_by(PROTOCOLS.len()) {
                write!(forwards, "<p:range start='{port}' to='80'/>").expect("a string");
            }
            forwards += "</p:portForward>";
        }
        format!(
            "<domain><name>{}</name><uuid>e0000000-0000-4000-8000-{:012x}</uuid><metadata>\
             <p:domain xmlns:p='urn:portero:1'>{forwards}</p:domain></metadata><devices><interface type='network'><mac address='{}'/>\
             <source network='crowd'/></interface></devices></domain>",
            self.name(),
            self.0,
            self.mac()
        )
    }

    /// An event.
    pub fn event(self, operation: &'static str) -> Event {
        Event {
            hook: "qemu",
            name: self.name(),
            operation,
            stdin: self.xml(),
        }
    }

    /// An event of its interface.
    pub fn port_event(self, operation: &'static str) -> Event {
        let port = format!(
            "<networkport><uuid>d0000000-0000-4000-8000-{number:012x}</uuid><owner><name>{}</name>\
             <uuid>e0000000-0000-4000-8000-{number:012x}</uuid></owner><mac address='{}'/></networkport>",
            self.name(),
            self.mac(),
            number = self.0
        );
        network_event(operation, &port)
    }

    /// The file in which libvirt keeps it while it runs as `process`.
    pub fn status(self, process: u32) -> (String, String) {
        let text = format!(
            "<domstatus state='running' pid='{process}'>{}</domstatus>",
            self.xml()
        );
        (format!("/run/libvirt/qemu/{}.xml", self.name()), text)
    }

    /// What has to be in the firewall for it.
    pub fn rows(self, view: &mut View) {
        let place = Place {
            bridge: BRIDGE.to_owned(),
            addresses: [self.address(), String::new()],
            subnets: ["10.81.0.0/16".to_owned(), String::new()],
            is_isolated: false,
        };
        for (port, protocol) in self.ports().zip(PROTOCOLS.iter().cycle()) {
            Forward::plain(protocol, port, 80).rows(&place, Accepted::ByPortero, view);
        }
    }
}
