//! The gateways that the host is reached by, before and after, and whether they answer. Read with ip(8), whose JSON is the
//! same on every host.

use nix::net::if_::if_nametoindex;
use portero_system::{programs, Deadline, SystemError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr, SocketAddrV6, UdpSocket};
use std::time::{Duration, Instant};

/// How long a gateway may take to answer.
const ANSWER: Duration = Duration::from_millis(1500);

/// Longest time for ip(8).
const PROGRAM: Duration = Duration::from_secs(5);

/// The discard protocol, RFC 863: nobody listens, and asking for the way there is enough.
const DISCARD: u16 = 9;

/// The gateways that an interface's default routes lead to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reach {
    pub(crate) gateways: Vec<Gateway>,
}

/// A gateway of a default route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Gateway {
    pub(crate) address: IpAddr,
    /// Whether it answered.
    pub(crate) answered: bool,
}

#[derive(Deserialize)]
struct Route {
    gateway: Option<IpAddr>,
    dev: Option<String>,
}

#[derive(Deserialize)]
struct Neighbour {
    #[serde(default)]
    state: Vec<String>,
}

/// Asks ip(8); what it cannot say is nothing, since an interface may not be there.
fn ask<T: DeserializeOwned>(arguments: &[&str]) -> Vec<T> {
    let output = programs::read("ip", arguments, Deadline::after(PROGRAM)).unwrap_or_default();
    serde_json::from_slice(&output).unwrap_or_default()
}

impl Reach {
    /// An interface's gateways now, which are asked.
    pub(crate) fn read(interface: &str) -> Self {
        let mut reach = Self::default();
        for family in ["-4", "-6"] {
            let routes: Vec<Route> = ask(&["-j", family, "route", "show", "default"]);
            for route in routes {
                if let (Some(address), Some(dev)) = (route.gateway, route.dev) {
                    if dev == interface {
                        let answered = answers(interface, address);
                        reach.gateways.push(Gateway { address, answered });
                    }
                }
            }
        }
        reach
    }

    /// A gateway that answered, and does not by this interface now.
    pub(crate) fn silent(&self, interface: &str) -> Option<IpAddr> {
        let answered = self.gateways.iter().filter(|gateway| gateway.answered);
        let mut addresses = answered.map(|gateway| gateway.address);
        addresses.find(|address| !answers(interface, *address))
    }
}

/// Whether a neighbour answers ARP or neighbour discovery now.
fn answers(interface: &str, address: IpAddr) -> bool {
    let text = address.to_string();
    let state = || -> Vec<String> {
        let found: Vec<Neighbour> = ask(&["-j", "neigh", "show", &text, "dev", interface]);
        found.into_iter().flat_map(|known| known.state).collect()
    };
    // What somebody wrote there by hand is not asked for.
    let mut now = state().into_iter();
    if now.any(|word| word == "PERMANENT" || word == "NOARP") {
        return true;
    }
    let forget = ["neigh", "delete", &text, "dev", interface];
    let _: Result<Vec<u8>, SystemError> = programs::read("ip", &forget, Deadline::after(PROGRAM));
    let end = Instant::now() + ANSWER;
    loop {
        send(interface, address);
        std::thread::sleep(Duration::from_millis(100));
        let known = ["REACHABLE", "STALE", "DELAY", "PROBE"];
        if state().iter().any(|word| known.contains(&word.as_str())) {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
    }
}

/// Sends one packet that makes the kernel ask for the neighbour's MAC address.
fn send(interface: &str, address: IpAddr) {
    let (from, to) = match address {
        IpAddr::V4(_) => (SocketAddr::from(([0; 4], 0)), (address, DISCARD).into()),
        IpAddr::V6(address) => {
            let scope = if_nametoindex(interface).unwrap_or(0);
            let to = SocketAddrV6::new(address, DISCARD, 0, scope);
            (SocketAddr::from(([0u16; 8], 0)), SocketAddr::V6(to))
        }
    };
    // No way there is no answer either.
    if let Ok(socket) = UdpSocket::bind(from) {
        let _ = socket.send_to(&[0], to);
    }
}
