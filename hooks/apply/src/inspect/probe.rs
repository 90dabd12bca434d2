//! Asks a guest's port from the host itself, and says how it answered.

use nix::errno::Errno;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::socket::{
    bind, connect, getsockopt, socket, sockopt, AddressFamily, SockFlag, SockType, SockaddrStorage,
};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

/// How a port answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It took the connection, or sent something back.
    Answered,
    /// The guest said that nobody listens there (a reset, or ICMP port unreachable).
    Refused,
    /// Somebody said that it must not be reached, or cannot be (other ICMP errors).
    Unreachable,
    /// Nothing came back in time.
    Silent,
    /// It could not be asked.
    NotAsked,
}

/// Opens a TCP connection and closes it; `source` is the host's address that it comes from.
#[must_use]
pub fn ask_tcp(source: Option<IpAddr>, to: SocketAddr, limit: Duration) -> Answer {
    connected(source, to, limit).unwrap_or(Answer::NotAsked)
}

fn connected(source: Option<IpAddr>, to: SocketAddr, limit: Duration) -> nix::Result<Answer> {
    let family = if to.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(family, SockType::Stream, flags, None)?;
    if let Some(source) = source {
        let from = SockaddrStorage::from(SocketAddr::new(source, 0));
        bind(socket.as_raw_fd(), &from)?;
    }
    match connect(socket.as_raw_fd(), &SockaddrStorage::from(to)) {
        Ok(()) => return Ok(Answer::Answered),
        Err(Errno::EINPROGRESS) => {}
        Err(errno) => return Ok(of_errno(errno)),
    }
    let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
    let mut descriptors = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
    if poll(&mut descriptors, timeout)? == 0 {
        return Ok(Answer::Silent);
    }
    Ok(match getsockopt(&socket, sockopt::SocketError)? {
        0 => Answer::Answered,
        number => of_errno(Errno::from_raw(number)),
    })
}

/// Sends an empty datagram and listens for what comes back: that nobody listens is said by ICMP, that
/// somebody does is said by nothing.
#[must_use]
pub fn ask_udp(to: SocketAddr, limit: Duration) -> Answer {
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let asked = UdpSocket::bind(any).and_then(|socket| {
        socket.connect(to)?;
        socket.set_read_timeout(Some(limit))?;
        socket.send(b"")?;
        socket.recv(&mut [0; 64])
    });
    match asked {
        Ok(_) => Answer::Answered,
        Err(error) => match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EAGAIN) => Answer::Silent,
            Some(errno) => of_errno(errno),
            None => Answer::NotAsked,
        },
    }
}

fn of_errno(errno: Errno) -> Answer {
    match errno {
        Errno::ECONNREFUSED => Answer::Refused,
        Errno::EHOSTUNREACH | Errno::ENETUNREACH | Errno::EACCES | Errno::EPERM => {
            Answer::Unreachable
        }
        Errno::ETIMEDOUT => Answer::Silent,
        _ => Answer::NotAsked,
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::*;
    use nix::sys::socket::{getsockname, SockaddrIn};
    use std::net::{SocketAddrV4, TcpListener};

    const LIMIT: Duration = Duration::from_secs(10);

    #[test]
    fn listening_and_not_listening_are_told_apart() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let to = listener.local_addr().expect("its address");
        assert_eq!(ask_tcp(None, to, LIMIT), Answer::Answered);
        assert_eq!(ask_tcp(Some(to.ip()), to, LIMIT), Answer::Answered);

        // A port that nobody else gets, on which nobody listens.
        let flags = SockFlag::SOCK_CLOEXEC;
        let bound = socket(AddressFamily::Inet, SockType::Stream, flags, None).expect("a socket");
        let any = SockaddrIn::new(127, 0, 0, 1, 0);
        bind(bound.as_raw_fd(), &any).expect("a port");
        let to: SockaddrIn = getsockname(bound.as_raw_fd()).expect("its address");
        let to = SocketAddr::V4(SocketAddrV4::from(to));
        assert_eq!(ask_tcp(None, to, LIMIT), Answer::Refused);

        // One that hears only itself.
        let deaf = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let to = deaf.local_addr().expect("its address");
        deaf.connect(to).expect("a peer");
        assert_eq!(ask_udp(to, LIMIT), Answer::Refused);
        let silent = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let to = silent.local_addr().expect("its address");
        assert_eq!(ask_udp(to, Duration::from_millis(20)), Answer::Silent);
    }
}
