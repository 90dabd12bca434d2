//! Finds the sockets on which the host's own programs wait.

use crate::interfaces::ip_of_octets;
use crate::{Result, SystemError};
use nix::sys::socket::{
    bind, setsockopt, socket, sockopt, AddressFamily, SockFlag, SockType, SockaddrIn6,
};
use portero_model::{Claim, Protocol};
use portero_port_forward::{Listener, ListeningProgram};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, ErrorKind};
use std::net::{IpAddr, Ipv6Addr, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

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

/// How often sockets of UDP that are in the way are looked at once more, and after which time: whoever asks a question over
/// UDP (a resolver, any program's DNS lookup) has one for a moment that looks like a server's.
const LOOKS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(100);

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
    let is_wanted = |socket: &Socket| {
        let listener = &socket.listener;
        claims
            .iter()
            .any(|claim| claim.protocol == listener.protocol && claim.ports.contains(listener.port))
    };
    let mut sockets = all_listeners()?;
    sockets.retain(is_wanted);
    for _ in 0..LOOKS {
        if !sockets.iter().any(Socket::may_be_gone_soon) {
            break;
        }
        std::thread::sleep(PAUSE);
        let now = all_listeners()?;
        sockets.retain(|socket| !socket.may_be_gone_soon() || now.contains(socket));
    }
    if sockets.is_empty() {
        return Ok(Vec::new());
    }
    let mut programs = programs(&sockets);
    let listeners = sockets.into_iter().map(|socket| Listener {
        program: programs.remove(&socket.inode),
        ..socket.listener
    });
    Ok(listeners.collect())
}

/// A waiting socket.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Socket {
    listener: Listener,
    /// Its number, by which its process has it; 0 of the kernel's own.
    inode: u64,
}

impl Socket {
    fn may_be_gone_soon(&self) -> bool {
        self.listener.protocol == Protocol::Udp
    }
}

/// Who has these sockets, as far as that can be seen: by number.
fn programs(sockets: &[Socket]) -> HashMap<u64, ListeningProgram> {
    let wanted = |link: &Path| {
        let number = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
        let number: u64 = number.parse().ok()?;
        sockets
            .iter()
            .any(|one| one.inode == number)
            .then_some(number)
    };
    let mut programs = HashMap::new();
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let number = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let Some(number) = number else { continue };
        let files = std::fs::read_dir(process.path().join("fd"));
        let links = files.into_iter().flatten().flatten();
        let links = links.filter_map(|file| std::fs::read_link(file.path()).ok());
        for inode in links.filter_map(|link| wanted(&link)) {
            let name = std::fs::read_to_string(process.path().join("comm"));
            programs.entry(inode).or_insert_with(|| ListeningProgram {
                name: name.unwrap_or_default().trim_end().to_owned(),
                process: number,
                unit: unit_of(&process.path()),
            });
        }
    }
    programs
}

/// The unit of systemd's that a process is in, by its folder in /proc.
fn unit_of(process: &Path) -> Option<String> {
    let groups = std::fs::read_to_string(process.join("cgroup")).ok()?;
    groups.lines().find_map(unit_in)
}

/// The innermost service or container's scope of a line of cgroup(7), `0::/system.slice/nginx.service`.
fn unit_in(line: &str) -> Option<String> {
    let mut parts = line.rsplit('/');
    let unit = parts.find(|part| part.ends_with(".service") || part.ends_with(".scope"))?;
    // systemd itself, which listens for units that it starts on demand, and a shell's session tell nothing.
    let tells = unit != "init.scope" && !unit.starts_with("session-");
    tells.then(|| unit.to_owned())
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
fn all_listeners() -> Result<Vec<Socket>> {
    let mut found = Vec::new();
    for (path, protocol, state) in TABLES {
        for_each_line(path, |line| {
            let mut columns = line.split_ascii_whitespace();
            let local = columns.nth(1)?;
            if columns.nth(1)? != state {
                return None;
            }
            let (address, port) = local.split_once(':')?;
            found.push(Socket {
                listener: Listener {
                    protocol,
                    address: address_of(address)?,
                    port: u16::from_str_radix(port, 16).ok()?,
                    program: None,
                },
                inode: columns.nth(5)?.parse().ok()?,
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
            found.push(Socket {
                listener: Listener {
                    protocol: Protocol::Sctp,
                    address,
                    port,
                    program: None,
                },
                inode: columns.get(7)?.parse().ok()?,
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
            is_whole_address: false,
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
    fn a_unit_is_the_innermost_that_tells_something() {
        let of = |line: &str| unit_in(line);
        let nginx = Some("nginx.service".to_owned());
        assert_eq!(of("0::/system.slice/nginx.service"), nginx);
        assert_eq!(
            of("1:name=systemd:/system.slice/nginx.service/worker"),
            nginx
        );
        let docker = "0::/system.slice/docker-1f.scope";
        assert_eq!(of(docker), Some("docker-1f.scope".to_owned()));
        for line in [
            "0::/init.scope",
            "0::/",
            "0::/user.slice/user-0.slice/session-3.scope",
        ] {
            assert_eq!(of(line), None, "{line}");
        }
    }

    #[test]
    fn a_listener_is_named_and_a_question_is_none() {
        let claim = |port| Claim {
            protocol: Protocol::Udp,
            family: None,
            address: None,
            dev: None,
            source: None,
            ports: PortRange::new(port, port).expect("a port"),
            is_whole_address: false,
        };
        let server = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let port = server.local_addr().expect("its address").port();
        let found = listeners(&[claim(port)]).expect("listeners");
        let program = found[0].program.as_ref().expect("this process");
        assert_eq!(program.process, std::process::id());
        let question = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let port = question.local_addr().expect("its address").port();
        let answered = std::thread::spawn(move || {
            std::thread::sleep(PAUSE / 2);
            drop(question);
        });
        assert_eq!(listeners(&[claim(port)]).expect("listeners"), []);
        answered.join().expect("a thread");
    }

    #[test]
    fn a_free_port_is_free() {
        // 0 is any that is.
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            assert_eq!(is_free(protocol, 0), Ok(true));
        }
    }
}
