//! Lists the sockets on which the host's own programs wait, from /proc/net (proc(5)).

use crate::KernelError;
use portero_plan::Protocol;
use portero_port_forward::Listener;
use std::io::{BufRead, BufReader, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The files, and the state (`st`) of a socket that waits: `TCP_LISTEN`, or for UDP `TCP_CLOSE`,
/// which means not connected (include/net/tcp_states.h).
const TABLES: [(&str, Protocol, &str); 4] = [
    ("/proc/net/tcp", Protocol::Tcp, "0A"),
    ("/proc/net/tcp6", Protocol::Tcp, "0A"),
    ("/proc/net/udp", Protocol::Udp, "07"),
    ("/proc/net/udp6", Protocol::Udp, "07"),
];

/// SCTP's endpoints have another form: the port in the sixth column, the addresses behind.
const SCTP_TABLE: &str = "/proc/net/sctp/eps";

/// All waiting sockets. Tables of protocols that the kernel does not have are passed over.
pub(crate) fn listeners() -> Result<Vec<Listener>, KernelError> {
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

fn for_each_line(path: &str, mut read: impl FnMut(&str) -> Option<()>) -> Result<(), KernelError> {
    let error = |source| KernelError::Kernel {
        path: path.to_owned(),
        source,
    };
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
    if let Ok(v4) = <[u8; 4]>::try_from(octets.as_slice()) {
        return Some(IpAddr::V4(Ipv4Addr::from(v4)));
    }
    let v6 = <[u8; 16]>::try_from(octets.as_slice()).ok()?;
    Some(IpAddr::V6(Ipv6Addr::from(v6)))
}
