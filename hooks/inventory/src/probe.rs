//! Asks a guest's port from the host itself, and says how it answered.

use nix::errno::Errno;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::socket::{
    bind, connect, getsockopt, socket, sockopt, AddressFamily, SockFlag, SockType, SockaddrStorage,
};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

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
        Err(errno) => return Ok(interpret(errno)),
    }
    let end = Instant::now() + limit;
    let mut descriptors = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut descriptors, timeout) {
            Err(Errno::EINTR) => {}
            Ok(0) => return Ok(Answer::Silent),
            ready => {
                ready?;
                break;
            }
        }
    }
    Ok(match getsockopt(&socket, sockopt::SocketError)? {
        0 => Answer::Answered,
        number => interpret(Errno::from_raw(number)),
    })
}

/// Sends an empty datagram and listens for what comes back: that nobody listens is said by ICMP, that
/// somebody does is said by nothing.
#[must_use]
pub fn ask_udp(to: SocketAddr, limit: Duration) -> Answer {
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let asked = UdpSocket::bind(any).and_then(|socket| {
        socket.connect(to)?;
        socket.send(b"")?;
        let end = Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            socket.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
            match socket.recv(&mut [0; 64]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                heard => break heard,
            }
        }
    });
    match asked {
        Ok(_) => Answer::Answered,
        Err(error) => match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EAGAIN) => Answer::Silent,
            Some(errno) => interpret(errno),
            None => Answer::NotAsked,
        },
    }
}

fn interpret(errno: Errno) -> Answer {
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
    use nix::sys::socket::{getsockname, listen, Backlog, SockaddrIn};
    use std::os::fd::OwnedFd;

    /// How long an answer that is sure to come may take on a machine with much to do.
    const LIMIT: Duration = Duration::from_secs(20);

    /// A TCP port that is ours, so that nobody else can listen there, and does not listen yet.
    fn held() -> (OwnedFd, SocketAddr) {
        let socket = socket(
            AddressFamily::Inet,
            SockType::Stream,
            SockFlag::SOCK_CLOEXEC,
            None,
        );
        let socket = socket.expect("a socket");
        bind(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).expect("a port");
        let to: SockaddrIn = getsockname(socket.as_raw_fd()).expect("its address");
        (socket, SocketAddr::from((to.ip(), to.port())))
    }

    #[test]
    fn listening_and_not_listening_are_told_apart() {
        let (socket, to) = held();
        assert_eq!(ask_tcp(None, to, LIMIT), Answer::Refused);
        assert_eq!(ask_tcp(Some(to.ip()), to, LIMIT), Answer::Refused);
        listen(&socket, Backlog::MAXCONN).expect("listening");
        assert_eq!(ask_tcp(None, to, LIMIT), Answer::Answered);
        assert_eq!(ask_tcp(Some(to.ip()), to, LIMIT), Answer::Answered);
    }

    #[test]
    fn who_says_nothing_and_nobody_are_told_apart() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let to = socket.local_addr().expect("its address");
        assert_eq!(ask_udp(to, Duration::from_millis(20)), Answer::Silent);
        // It now hears one peer alone: for all others nobody is there, and nobody else can be.
        socket.connect("127.0.0.2:9").expect("a peer");
        assert_eq!(ask_udp(to, LIMIT), Answer::Refused);
    }
}
