//! Finds the sockets on which the host's own programs wait.

use crate::interfaces::ip_of_octets;
use crate::{Result, SystemError};
use nix::sys::socket::{
    bind, setsockopt, socket, sockopt, AddressFamily, SockFlag, SockType, SockaddrIn6,
};
use portero_model::{Claim, Protocol};
use portero_port_forward::Listener;
use std::io::{BufRead, BufReader, ErrorKind};
use std::net::{IpAddr, Ipv6Addr, SocketAddrV6};
use std::os::fd::AsRawFd;

/// The tables of proc(5), and the state (`st`) of a socket that waits: `TCP_LISTEN`, or for UDP `TCP_CLOSE`,
/// which means not connected (include/net/tcp_states.h).
const TABLES: [(&str, Protocol, &str); 4] = [
    ("/proc/net/tcp", Protocol::Tcp, "0A"),
    ("/proc/net/tcp6", Protocol::Tcp, "0A"),
    ("/proc/net/udp", Protocol::Udp, "07"),
    ("/proc/net/udp6", Protocol::Udp, "07"),
];

/// SCTP's endpoints have another form: the port in the sixth column, the addresses behind.
const SCTP_TABLE: &str = "/proc/net/sctp/eps";

/// Most ports that are tried one by one.
const TRY_LIMIT: usize = 4096;

/// The waiting sockets that may be in the way of these claims.
///
/// The tables in /proc/net take the kernel some milliseconds to write out, however few sockets there
/// are; trying to bind a port takes microseconds. So the tables are read only if a port is taken.
pub(crate) fn listeners(claims: &[Claim]) -> Result<Vec<Listener>> {
    let ports = |claim: &Claim| usize::from(claim.ports.end() - claim.ports.start()) + 1;
    let few = claims.iter().map(ports).sum::<usize>() <= TRY_LIMIT;
    if few && claims.iter().all(all_free) {
        return Ok(Vec::new());
    }
    all_listeners()
}

/// Whether every port of a claim can be bound on every address.
fn all_free(claim: &Claim) -> bool {
    (claim.ports.start()..=claim.ports.end())
        .all(|port| is_free(claim.protocol, port).unwrap_or(false))
}

/// Binds a port and lets it go. `SO_REUSEADDR` lets TCP bind beside connections that are ending, but
/// never beside a socket that listens (socket(7)).
fn is_free(protocol: Protocol, port: u16) -> nix::Result<bool> {
    let kind = match protocol {
        Protocol::Tcp => SockType::Stream,
        Protocol::Udp => SockType::Datagram,
        Protocol::Sctp => return Ok(false),
    };
    let any = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0);
    let socket = socket(AddressFamily::Inet6, kind, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::Ipv6V6Only, &false)?;
    if protocol == Protocol::Tcp {
        setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    }
    Ok(bind(socket.as_raw_fd(), &SockaddrIn6::from(any)).is_ok())
}

/// All waiting sockets. Tables of protocols that the kernel does not have are passed over.
fn all_listeners() -> Result<Vec<Listener>> {
    let mut found = Vec::new();
    for (path, protocol, state) in TABLES {
        for_each_line(path, |line| {
            let mut columns = line.split_ascii_whitespace();
            let local = columns.nth(1)?;
            if columns.nth(1)? != state {
                return None;
            }
            let (address, port) = local.split_once(':')?;
            found.push(Listener {
                protocol,
                address: address_of(address)?,
                port: u16::from_str_radix(port, 16).ok()?,
            });
            Some(())
        })?;
    }
    for_each_line(SCTP_TABLE, |line| {
        let columns: Vec<&str> = line.split_ascii_whitespace().collect();
        let port = columns.get(5)?.parse().ok()?;
        for address in columns
            .get(8..)?
            .iter()
            .filter_map(|text| text.parse().ok())
        {
            found.push(Listener {
                protocol: Protocol::Sctp,
                address,
                port,
            });
        }
        Some(())
    })?;
    Ok(found)
}

fn for_each_line(path: &str, mut read: impl FnMut(&str) -> Option<()>) -> Result<()> {
    let error = |source| SystemError::file(path)(source);
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(reason) if reason.kind() == ErrorKind::NotFound => return Ok(()),
        Err(reason) => return Err(error(reason)),
    };
    for line in BufReader::new(file).lines().skip(1) {
        // A line of another form tells nothing about a listener.
        let _ = read(&line.map_err(error)?);
    }
    Ok(())
}

/// An address as /proc/net prints it: words of 32 bits in the machine's own byte order.
fn address_of(hex: &str) -> Option<IpAddr> {
    let mut octets = Vec::with_capacity(16);
    for word in hex.as_bytes().chunks(8) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        octets.extend_from_slice(&word.to_ne_bytes());
    }
    ip_of_octets(&octets)
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::*;
    use portero_model::PortRange;
    use std::net::{TcpListener, UdpSocket};

    fn found(protocol: Protocol, port: u16) -> Vec<IpAddr> {
        let claim = Claim {
            protocol,
            family: None,
            address: None,
            dev: None,
            source: None,
            ports: PortRange::new(port, port).expect("a port"),
        };
        let listeners = listeners(&[claim]).expect("listeners").into_iter();
        listeners
            .filter(|listener| (listener.protocol, listener.port) == (protocol, port))
            .map(|listener| listener.address)
            .collect()
    }

    #[test]
    fn whoever_listens_is_found_whatever_family_he_is_of() {
        for address in ["0.0.0.0", "127.0.0.1", "::", "::1"] {
            let address: IpAddr = address.parse().expect("an address");
            let tcp = TcpListener::bind((address, 0)).expect("a port");
            let port = tcp.local_addr().expect("its address").port();
            assert!(found(Protocol::Tcp, port).contains(&address), "{address}");
            let udp = UdpSocket::bind((address, 0)).expect("a port");
            let port = udp.local_addr().expect("its address").port();
            assert!(found(Protocol::Udp, port).contains(&address), "{address}");
        }
    }

    #[test]
    fn a_free_port_is_free() {
        // 0 is any that is.
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            assert_eq!(is_free(protocol, 0), Ok(true));
        }
    }
}
