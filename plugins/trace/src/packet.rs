//! A packet, as far as it is known before it is sent.

use portero_model::{Family, Protocol};
use std::net::IpAddr;

/// A packet of a forwarded connection, as it is when the host passes it on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardedPacket {
    /// Its protocol.
    pub protocol: Protocol,
    /// Which way it goes.
    pub leg: Leg,
    /// The interface towards the client; any when absent.
    pub outside: Option<String>,
    /// The interface towards the guest.
    pub inside: String,
    /// The client; anybody when absent.
    pub client: Option<IpAddr>,
    /// The host's address that the client named, if that is known.
    pub host: Option<IpAddr>,
    /// The host's port.
    pub host_port: u16,
    /// The guest.
    pub guest: IpAddr,
    /// The guest's port.
    pub guest_port: u16,
}

/// Which way a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leg {
    /// To the guest; it opens the connection.
    There,
    /// Back to the client; the first answer.
    Back,
}

impl ForwardedPacket {
    fn by_leg<T>(&self, there: T, back: T) -> T {
        match self.leg {
            Leg::There => there,
            Leg::Back => back,
        }
    }

    pub(crate) fn family(&self) -> Family {
        Family::from(self.guest)
    }

    pub(crate) fn in_dev(&self) -> Option<&str> {
        self.by_leg(self.outside.as_deref(), Some(&self.inside))
    }

    pub(crate) fn out_dev(&self) -> Option<&str> {
        self.by_leg(Some(&self.inside), self.outside.as_deref())
    }

    pub(crate) fn source(&self) -> Option<IpAddr> {
        self.by_leg(self.client, Some(self.guest))
    }

    pub(crate) fn destination(&self) -> Option<IpAddr> {
        self.by_leg(Some(self.guest), self.client)
    }

    /// Ports of source and destination, as far as they are known.
    pub(crate) fn ports(&self) -> (Option<u16>, Option<u16>) {
        let port = Some(self.guest_port);
        self.by_leg((None, port), (port, None))
    }

    /// Its state for connection tracking.
    pub(crate) fn state(&self) -> &'static str {
        self.by_leg("new", "established")
    }
}
