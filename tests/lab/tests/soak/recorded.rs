//! Guests and networks that libvirt knows nothing of, and what the hooks are told of them.

use crate::forward::{Accepted, Forward, Guest as Address, Place, WIDEST};
use crate::view::{Family, View};
use fastrand::Rng;
use portero_lab::{Backend, Event};
use std::fmt::Write as _;

/// libvirt's forward modes; an isolated network has none.
pub const MODES: [&str; 4] = ["nat", "route", "open", ""];

/// A network.
#[derive(Debug, Clone)]
pub struct Network {
    number: usize,
    /// How many guests can be on it.
    guests: usize,
    /// Whether it is active.
    pub is_active: bool,
    /// Which port its policy lets in, if it has one.
    pub policy: Option<u16>,
    /// What it forwards to its guests' addresses.
    pub forwards: Vec<Forward>,
}

impl Network {
    /// One that is not active and has nothing yet.
    pub fn new(number: usize, guests: usize) -> Self {
        Self {
            // No part of an address is 0, so that all are printed alike.
            number: number + 1,
            guests,
            is_active: false,
            policy: None,
            forwards: Vec::new(),
        }
    }

    /// Its name.
    pub fn name(&self) -> String {
        format!("rec{}", self.number)
    }

    /// Its bridge.
    pub fn bridge(&self) -> String {
        format!("br-rec{}", self.number)
    }

    fn mode(&self) -> &'static str {
        MODES[self.number % MODES.len()]
    }

    /// Other forwards and another policy, or none.
    pub fn change(&mut self, rng: &mut Rng) {
        self.policy = rng.bool().then(|| rng.u16(1..=9999));
        let first = 40_000 + 16 * u16::try_from(self.number).expect("few networks");
        let starts = (0..rng.u16(0..3)).map(|index| first + index * WIDEST);
        self.forwards = starts
            .map(|start| Forward::random(rng, start, Address::Given))
            .collect();
    }

    /// Where a guest of it is.
    pub fn place(&self, guest: usize) -> Place {
        let number = self.number;
        let last = guest + 10;
        Place {
            bridge: self.bridge(),
            addresses: [
                format!("10.80.{number}.{last}"),
                format!("fd00:80:{number:x}::{last:x}"),
            ],
            subnets: [
                format!("10.80.{number}.0/24"),
                format!("fd00:80:{number:x}::/64"),
            ],
            is_isolated: self.mode().is_empty(),
        }
    }

    /// The `<network>`.
    pub fn xml(&self) -> String {
        let number = self.number;
        let mut metadata = String::new();
        for forward in &self.forwards {
            metadata += &forward.xml(&self.place(0));
        }
        if let Some(port) = self.policy {
            write!(
                metadata,
                "<p:policy><p:default in='reject'/><p:rule action='accept' direction='in' family='ipv4'>\
                 <p:tcp dstportstart='{port}'/></p:rule></p:policy>"
            )
            .expect("a string");
        }
        if !metadata.is_empty() {
            metadata = format!(
                "<metadata><p:network xmlns:p='urn:portero:1'>{metadata}</p:network></metadata>"
            );
        }
        let mode = match self.mode() {
            "" => String::new(),
            mode => format!("<forward mode='{mode}'/>"),
        };
        let (mut v4, mut v6) = (String::new(), String::new());
        for guest in 0..self.guests {
            let mac = mac(number, guest);
            let [first, second] = self.place(guest).addresses;
            write!(v4, "<host mac='{mac}' ip='{first}'/>").expect("a string");
            write!(v6, "<host id='00:03:00:01:{mac}' ip='{second}'/>").expect("a string");
        }
        format!(
            "<network><name>{}</name><uuid>{}</uuid>{metadata}{mode}<bridge name='{}'/>\
             <ip address='10.80.{number}.1' prefix='24'><dhcp>{v4}</dhcp></ip>\
             <ip family='ipv6' address='fd00:80:{number:x}::1' prefix='64'><dhcp>{v6}</dhcp></ip></network>",
            self.name(),
            uuid('a', number),
            self.bridge()
        )
    }

    /// The file in which libvirt keeps it while it is active.
    pub fn status(&self) -> (String, String) {
        let text = format!("<networkstatus>{}</networkstatus>", self.xml());
        (format!("/run/libvirt/network/{}.xml", self.name()), text)
    }

    /// Where portero keeps what it was told of it.
    pub fn kept(&self) -> String {
        format!("/run/portero/networks/{}.xml", uuid('a', self.number))
    }

    /// An event.
    pub fn event(&self, operation: &'static str) -> Event {
        Event {
            hook: "network",
            name: self.name(),
            operation,
            stdin: format!("<hookData>{}</hookData>", self.xml()),
        }
    }

    /// Adds what has to be in the firewall for it.
    pub fn rows(&self, around: &Around, view: &mut View) {
        if !self.is_active {
            return;
        }
        for forward in &self.forwards {
            around.rows(forward, &self.place(0), view);
        }
        let (Some(port), bridge) = (self.policy, self.bridge()) else {
            return;
        };
        view.add(format!("policy ip {bridge} in tcp {port}"));
        if around.backend == Backend::Nftables {
            view.add(format!("same bridge {bridge} {bridge}"));
        }
        for family in Family::ALL {
            view.add(format!("policy {family} {bridge} in"));
            // What comes from an open network nobody judges who is not told to.
            if self.mode() != "open" {
                view.add(format!("policy {family} {bridge} out"));
            }
            if !around.libvirt_stands {
                continue;
            }
            let ways: Vec<String> = match around.backend {
                Backend::Iptables => ["TO", "FR", "KN"]
                    .map(|way| format!("{bridge} {way}"))
                    .into(),
                Backend::Nftables => vec![bridge.clone(), format!("same {bridge} {bridge}")],
            };
            for way in ways {
                view.add(format!("pass {family} {way}"));
            }
        }
    }

    /// Whether portero has anything of it.
    pub fn has_record(&self) -> bool {
        self.is_active && (self.policy.is_some() || !self.forwards.is_empty())
    }
}

/// What the rows depend on besides owners.
#[derive(Debug, Clone, Copy)]
pub struct Around {
    /// The firewall.
    pub backend: Backend,
    /// Whether libvirt's chains or tables are there.
    pub libvirt_stands: bool,
}

impl Around {
    /// The rows of one forward: in nftables it is libvirt's own table that has to accept it.
    pub fn rows(&self, forward: &Forward, place: &Place, view: &mut View) {
        let accepted = match self.backend == Backend::Iptables || self.libvirt_stands {
            true => Accepted::ByPortero,
            false => Accepted::ByAll,
        };
        forward.rows(place, accepted, view);
    }
}

/// A guest.
#[derive(Debug, Clone)]
pub struct Guest {
    number: usize,
    /// Its network's number.
    pub network: usize,
    /// Which of its network's guests it is.
    pub seat: usize,
    /// Whether it runs.
    pub is_running: bool,
    /// Whether its interface is plugged in.
    pub is_plugged: bool,
    /// What it asks for.
    pub forwards: Vec<Forward>,
}

impl Guest {
    /// One that does not run and asks for nothing yet.
    pub fn new(number: usize, networks: usize) -> Self {
        Self {
            number,
            network: number % networks,
            seat: number / networks,
            is_running: false,
            is_plugged: true,
            forwards: Vec::new(),
        }
    }

    /// Its name.
    pub fn name(&self) -> String {
        format!("rec{}", self.number)
    }

    /// Where portero keeps what it was told of it.
    pub fn kept(&self) -> String {
        format!("/run/portero/domains/{}.xml", uuid('b', self.number))
    }

    /// Other forwards: 0 to 4 of any kind.
    pub fn change(&mut self, rng: &mut Rng) {
        let first = 20_000 + 16 * u16::try_from(self.number).expect("few guests");
        let starts = (0..rng.u16(0..=4)).map(|index| first + index * WIDEST);
        self.forwards = starts
            .map(|start| Forward::random(rng, start, Address::Reserved))
            .collect();
    }

    /// The `<domain>`, as it is on its network.
    pub fn xml(&self, network: &Network) -> String {
        let place = network.place(self.seat);
        let mut metadata = String::new();
        for forward in &self.forwards {
            metadata += &forward.xml(&place);
        }
        if !metadata.is_empty() {
            metadata = format!(
                "<metadata><p:domain xmlns:p='urn:portero:1'>{metadata}</p:domain></metadata>"
            );
        }
        let nic = format!(
            "<interface type='network'><mac address='{}'/><source network='{}'/></interface>",
            mac(self.network + 1, self.seat),
            network.name()
        );
        format!(
            "<domain><name>{}</name><uuid>{}</uuid>{metadata}<devices>{}</devices></domain>",
            self.name(),
            uuid('b', self.number),
            if self.is_plugged { nic } else { String::new() }
        )
    }

    /// The file in which libvirt keeps it while it runs as `process`.
    pub fn status(&self, network: &Network, process: u32) -> (String, String) {
        let text = format!(
            "<domstatus state='running' pid='{process}'>{}</domstatus>",
            self.xml(network)
        );
        (format!("/run/libvirt/qemu/{}.xml", self.name()), text)
    }

    /// An event.
    pub fn event(&self, network: &Network, operation: &'static str) -> Event {
        Event {
            hook: "qemu",
            name: self.name(),
            operation,
            stdin: self.xml(network),
        }
    }

    /// An event of its interface.
    pub fn port_event(&self, network: &Network, operation: &'static str) -> Event {
        let port = format!(
            "<networkport><uuid>{}</uuid><owner><name>{}</name><uuid>{}</uuid></owner>\
             <mac address='{}'/></networkport>",
            uuid('c', self.number),
            self.name(),
            uuid('b', self.number),
            mac(self.network + 1, self.seat)
        );
        Event {
            stdin: format!("<hookData>{}{port}</hookData>", network.xml()),
            ..network.event(operation)
        }
    }

    /// Adds what has to be in the firewall for it.
    pub fn rows(&self, network: &Network, around: &Around, view: &mut View) {
        if !self.is_running || !self.is_plugged || !network.is_active {
            return;
        }
        for forward in &self.forwards {
            around.rows(forward, &network.place(self.seat), view);
        }
    }

    /// Whether portero has anything of it.
    pub fn has_record(&self) -> bool {
        self.is_running && !self.forwards.is_empty()
    }
}

fn mac(network: usize, seat: usize) -> String {
    format!("52:54:00:80:{network:02x}:{seat:02x}")
}

/// The same number of the same kind is the same object.
fn uuid(kind: char, number: usize) -> String {
    format!("{kind}0000000-0000-4000-8000-{number:012x}")
}
