//! Asks a guest for its address and for a port.

use super::value::{Asked, GuestNetwork};
use super::view::HostView;
use portero_inventory::{ask_tcp, ask_udp, passage_of, who_has, Answer, Journey, Passage};
use portero_model::{Family, Protocol};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Longest wait for the guest's port; the kernel asks again after one second, and after three.
const ANSWER: Duration = Duration::from_millis(3500);

/// Longest wait for ICMP after a datagram.
const REFUSAL: Duration = Duration::from_millis(800);

/// Whom to ask, and what is known before.
pub(super) struct Asking<'a> {
    pub(super) asked: &'a Asked,
    /// The guest's port.
    pub(super) to: SocketAddr,
    pub(super) known: &'a HostView,
    pub(super) network: Option<&'a GuestNetwork>,
    /// The interface towards the guest.
    pub(super) inside: &'a str,
}

/// What it has said.
pub(super) struct Said {
    /// MAC addresses that have answered for its address; nothing when nobody could be asked.
    pub(super) heard: Option<Vec<String>>,
    /// What came of a connection from the host's own address there.
    pub(super) answer: Answer,
    /// The same of one from an address beyond, and which.
    pub(super) answer_beyond: Option<(IpAddr, Answer)>,
}

impl Asking<'_> {
    pub(super) fn ask(&self) -> Said {
        let guest = self.to.ip();
        let who = || {
            let network = self.network?;
            who_has(guest, network.gateway, &network.bridge)
        };
        // The kernel's own neighbour discovery, which IPv6 is left to, comes with the connection.
        let early = guest.is_ipv4().then(who);
        let is_gone = early == Some(Some(Vec::new()));
        let gateway = self.network.map(|network| network.gateway);
        let is_asked = gateway.is_none_or(|gateway| self.is_asked_by(gateway));
        let protocol = self.asked.protocol;
        let answer = match protocol {
            _ if is_gone || !is_asked => Answer::NotAsked,
            Protocol::Tcp => ask_tcp(None, self.to, ANSWER),
            Protocol::Udp => ask_udp(self.to, REFUSAL),
            Protocol::Sctp => Answer::NotAsked,
        };
        let is_there =
            protocol == Protocol::Tcp && [Answer::Answered, Answer::Refused].contains(&answer);
        let beyond = is_there.then(|| self.source_beyond()).flatten();
        Said {
            answer,
            answer_beyond: beyond.map(|beyond| (beyond, ask_tcp(Some(beyond), self.to, ANSWER))),
            heard: early.unwrap_or_else(who),
        }
    }

    /// Whether the host asks the guest with this address: what it sends elsewhere is no question to the guest, and its silence
    /// no answer.
    fn is_asked_by(&self, source: IpAddr) -> bool {
        let journey = Journey {
            to: self.to.ip(),
            from: source,
            arrives: None,
            mark: None,
        };
        match passage_of(journey) {
            Passage::By(exit) => exit.interface == self.inside,
            Passage::Refused => false,
            Passage::Unclear => true,
        }
    }

    /// An address of the host that the guest answers by its router alone, and that the host asks the guest with.
    fn source_beyond(&self) -> Option<IpAddr> {
        let outer = self.known.outer(Family::from(self.to.ip()));
        let all = outer.map(|(_, address)| *address);
        let all: Vec<IpAddr> = all.filter(|address| self.is_asked_by(*address)).collect();
        let named = self.asked.address.filter(|address| all.contains(address));
        named.or(all.first().copied())
    }
}
