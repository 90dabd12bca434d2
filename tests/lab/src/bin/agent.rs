//! The lab's service and client: answers on some ports, and asks others for an answer.
//!
//! `serve NAME` answers each connection or datagram with one line. `probe PROTO ADDRESS PORT
//! MILLISECONDS [OWN-PORT]` prints the answer it got. `flood ADDRESS PORT MILLISECONDS` sends
//! datagrams as fast as it can and prints how many; `count PORT` prints how many have come to a port
//! so far. `scatter FROM COUNT ADDRESS PORT` sends one datagram from each of so many ports of an address of its own. `hold PORT MILLISECONDS` has a port of UDP for a while, as a resolver has while it asks. `talk ADDRESS FILE` keeps one connection busy and notes each answer in the file. `run WORDS`
//! runs a program. `ask GUEST WORDS` has a guest's agent do any of it.
//! `frame INTERFACE HEX` sends a frame as it is, `hear HEX MILLISECONDS` waits for one with these
//! bytes in it, `disguise MAC MILLISECONDS` takes another MAC address for a while; whoever is called
//! `rogue` sends with another's all the time.

#[path = "agent/frames.rs"]
mod frames;

use nix::sys::socket::{
    accept, bind, connect, listen, recv, send, setsockopt, socket, sockopt, AddressFamily, Backlog,
    MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6,
};
use nix::sys::time::TimeVal;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Ports that are served.
const PORTS: [u16; 8] = [80, 53, 5000, 3000, 3001, 3009, 3013, 3020];

/// How many datagrams have come to each of them.
static RECEIVED: [AtomicU64; PORTS.len()] = [const { AtomicU64::new(0) }; PORTS.len()];

/// The port that takes orders.
const CONTROL: u16 = 7000;

/// The port that answers with whatever it is told.
const ECHOED: u16 = 7007;

type Outcome = Result<String, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["serve", name] => serve(name),
        ["listen", address] => host_program(address),
        ["ask", guest, order] => ask(guest, order),
        other => obey(other),
    };
    match outcome {
        Ok(line) => {
            println!("{}", line.trim());
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(name: &str) -> Outcome {
    for (port, received) in PORTS.into_iter().zip(&RECEIVED) {
        let tcp = match TcpListener::bind(("::", port)) {
            // On the host dnsmasq has its port already.
            Err(error) if port == 53 && error.kind() == ErrorKind::AddrInUse => continue,
            other => other?,
        };
        let owner = name.to_owned();
        thread::spawn(move || {
            for mut stream in tcp.incoming().flatten() {
                if let Ok(peer) = stream.peer_addr() {
                    let line = format!("{owner} tcp {port} from {}\n", plain(peer));
                    let answer = http(&mut stream, &line);
                    let _ = stream.write_all(answer.as_bytes());
                }
            }
        });
        let udp = UdpSocket::bind(("::", port))?;
        let owner = name.to_owned();
        thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((_, peer)) = udp.recv_from(&mut buffer) {
                received.fetch_add(1, Ordering::Relaxed);
                // What comes from such a port would answer the answer, and so on for ever.
                if PORTS.contains(&peer.port()) {
                    continue;
                }
                let line = format!("{owner} udp {port} from {}\n", plain(peer));
                let _ = udp.send_to(line.as_bytes(), peer);
            }
        });
    }
    if let Ok(listener) = sctp_listener(80) {
        let owner = name.to_owned();
        thread::spawn(move || {
            while let Ok(raw) = accept(listener.as_raw_fd()) {
                let line = format!("{owner} sctp 80\n");
                let _ = send(raw, line.as_bytes(), MsgFlags::empty());
                let _ = nix::unistd::close(raw);
            }
        });
    }
    let echo = TcpListener::bind(("::", ECHOED))?;
    thread::spawn(move || {
        for stream in echo.incoming().flatten() {
            thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
        }
    });
    if name == "rogue" {
        for interface in ["eth0", "eth1"] {
            thread::spawn(|| frames::be_rogue(interface));
        }
    }
    let control = TcpListener::bind(("::", CONTROL))?;
    println!("{name} serves");
    for stream in control.incoming().flatten() {
        thread::spawn(move || answer(stream));
    }
    Ok(String::new())
}

/// A program of the host's own.
fn host_program(address: &str) -> Outcome {
    let listener = TcpListener::bind(address)?;
    let port = listener.local_addr()?.port();
    for mut stream in listener.incoming().flatten() {
        let _ = stream.write_all(format!("host tcp {port}\n").as_bytes());
    }
    Ok(String::new())
}

/// A client that speaks HTTP gets HTTP; one that says nothing for a moment gets the bare line.
fn http(stream: &mut TcpStream, line: &str) -> String {
    let mut request = [0; 3];
    let _ = stream.set_read_timeout(Some(Duration::from_millis(30)));
    match stream.read(&mut request) {
        Ok(3) if &request == b"GET" => format!(
            "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{line}",
            line.len()
        ),
        _ => line.to_owned(),
    }
}

/// An address without its IPv6 wrapping, and its port.
fn plain(peer: SocketAddr) -> String {
    format!("{} port {}", peer.ip().to_canonical(), peer.port())
}

fn answer(mut stream: TcpStream) {
    let mut order = String::new();
    if BufReader::new(&stream).read_line(&mut order).is_err() {
        return;
    }
    let words: Vec<&str> = order.split_ascii_whitespace().collect();
    let line = match obey(&words) {
        Ok(line) => format!("ok {}\n", line.trim()),
        Err(error) => format!("failed: {error}\n"),
    };
    let _ = stream.write_all(line.as_bytes());
}

fn obey(words: &[&str]) -> Outcome {
    match words {
        ["ping"] => Ok("pong".to_owned()),
        ["frame", interface, frame] => frames::send(interface, frame),
        ["hear", mark, wait] => frames::hear(mark, Duration::from_millis(wait.parse()?)),
        ["disguise", mac, time] => frames::disguise(mac, Duration::from_millis(time.parse()?)),
        ["probe", "udp", address, port, wait, from] => {
            let address = SocketAddr::new(address.parse()?, port.parse()?);
            udp(address, Duration::from_millis(wait.parse()?), from.parse()?)
        }
        ["flood", address, port, time] => {
            let address = SocketAddr::new(address.parse()?, port.parse()?);
            flood(address, Duration::from_millis(time.parse()?))
        }
        ["scatter", from, count, address, port] => {
            let address = SocketAddr::new(address.parse()?, port.parse()?);
            scatter(from.parse()?, count.parse()?, address)
        }
        ["hold", port, time] => {
            let _socket = UdpSocket::bind(("0.0.0.0", port.parse()?))?;
            thread::sleep(Duration::from_millis(time.parse()?));
            Ok(String::new())
        }
        ["talk", address, file] => talk(address.parse()?, file),
        ["run", program, arguments @ ..] => {
            let output = std::process::Command::new(program)
                .args(arguments)
                .output()?;
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said).replace('\n', "; ");
            if output.status.success() {
                Ok(said)
            } else {
                Err(said.into())
            }
        }
        ["count", port] => {
            let port: u16 = port.parse()?;
            let index = PORTS.iter().position(|served| *served == port);
            let index = index.ok_or("a port that is not served")?;
            Ok(RECEIVED[index].load(Ordering::Relaxed).to_string())
        }
        ["probe", "icmp", address, _, wait] => {
            icmp(address.parse()?, Duration::from_millis(wait.parse()?))
        }
        ["probe", proto, address, port, wait] => {
            let address = SocketAddr::new(address.parse()?, port.parse()?);
            let wait = Duration::from_millis(wait.parse()?);
            match *proto {
                "tcp" => tcp(address, wait),
                "udp" => udp(address, wait, 0),
                "sctp" => sctp(address, wait),
                other => Err(format!("protocol {other}").into()),
            }
        }
        other => Err(format!("not understood: {other:?}").into()),
    }
}

fn ask(guest: &str, order: &str) -> Outcome {
    let address = SocketAddr::new(guest.parse()?, CONTROL);
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(format!("{order}\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    match line.strip_prefix("ok ") {
        Some(answer) => Ok(answer.to_owned()),
        None => Err(line.trim().to_owned().into()),
    }
}

fn tcp(address: SocketAddr, wait: Duration) -> Outcome {
    let stream = TcpStream::connect_timeout(&address, wait)?;
    stream.set_read_timeout(Some(wait))?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    if line.is_empty() {
        return Err("closed without an answer".into());
    }
    Ok(line)
}

fn udp(address: SocketAddr, wait: Duration, from: u16) -> Outcome {
    let any = if address.is_ipv4() { "0.0.0.0" } else { "::" };
    let socket = UdpSocket::bind((any, from))?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(wait))?;
    socket.send(b"?\n")?;
    let mut buffer = [0; 512];
    let length = socket.recv(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// Makes many connections of UDP.
fn scatter(from: IpAddr, count: u16, address: SocketAddr) -> Outcome {
    let mut sent = 0_u32;
    for port in (1024..=u16::MAX).take(count.into()) {
        // What somebody else has is passed over.
        if let Ok(socket) = UdpSocket::bind((from, port)) {
            sent += u32::from(socket.send_to(b"?", address).is_ok());
        }
    }
    Ok(sent.to_string())
}

/// Sends datagrams to an address without waiting for anything; refusals that come back are read away.
fn flood(address: SocketAddr, time: Duration) -> Outcome {
    let any = if address.is_ipv4() { "0.0.0.0" } else { "::" };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(address)?;
    let (end, mut sent) = (Instant::now() + time, 0_u64);
    while Instant::now() < end {
        for _ in 0..8 {
            sent += u64::from(socket.send(b"?").is_ok());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(sent.to_string())
}

/// Has something echoed ten times a second over one connection; writes how often that has happened.
fn talk(address: IpAddr, file: &str) -> Outcome {
    let address = SocketAddr::new(address, ECHOED);
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    for count in 1_u64.. {
        let mut letter = [0];
        stream.write_all(b"?")?;
        stream.read_exact(&mut letter)?;
        std::fs::write(file, count.to_string())?;
        thread::sleep(Duration::from_millis(100));
    }
    Ok(String::new())
}

/// Echo request and reply types: RFC 792, RFC 4443.
const ECHO: [(u8, u8); 2] = [(8, 0), (128, 129)];

/// Asks for an echo.
fn icmp(address: IpAddr, wait: Duration) -> Outcome {
    let (family, protocol, (request, reply)) = match address {
        IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp, ECHO[0]),
        IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6, ECHO[1]),
    };
    let raw = socket(family, SockType::Raw, SockFlag::empty(), protocol)?;
    // Connected, so that whoever refuses is heard of.
    match SocketAddr::new(address, 0) {
        SocketAddr::V4(v4) => connect(raw.as_raw_fd(), &SockaddrIn::from(v4))?,
        SocketAddr::V6(v6) => connect(raw.as_raw_fd(), &SockaddrIn6::from(v6))?,
    }
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let id = std::process::id() as u64 * 31 + NEXT.fetch_add(1, Ordering::Relaxed);
    let [high, low] = (id as u16).to_be_bytes();
    let mut packet = [request, 0, 0, 0, high, low, 0, 1];
    if address.is_ipv4() {
        // RFC 1071; the kernel does it for ICMPv6.
        let words = packet
            .chunks(2)
            .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
        let sum: u32 = words.sum();
        let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    send(raw.as_raw_fd(), &packet, MsgFlags::empty())?;
    let end = Instant::now() + wait;
    let mut buffer = [0; 512];
    loop {
        let left = end
            .checked_duration_since(Instant::now())
            .ok_or("no echo")?;
        let left = left.max(Duration::from_millis(1));
        let limit = TimeVal::new(left.as_secs() as i64, i64::from(left.subsec_micros()));
        setsockopt(&raw, sockopt::ReceiveTimeout, &limit)?;
        let length = recv(raw.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        // IPv4 comes with its header.
        let begin = if address.is_ipv4() {
            usize::from(buffer[0] & 15) * 4
        } else {
            0
        };
        let Some([kind, _, _, _, id @ ..]) = buffer[..length].get(begin..begin + 6) else {
            continue;
        };
        if (*kind, id) == (reply, &[high, low][..]) {
            return Ok(format!("echo from {address}"));
        }
    }
}

fn sctp_socket(family: AddressFamily) -> nix::Result<OwnedFd> {
    socket(
        family,
        SockType::Stream,
        SockFlag::empty(),
        SockProtocol::Sctp,
    )
}

fn sctp_listener(port: u16) -> nix::Result<OwnedFd> {
    let listener = sctp_socket(AddressFamily::Inet)?;
    bind(listener.as_raw_fd(), &SockaddrIn::new(0, 0, 0, 0, port))?;
    listen(&listener, Backlog::new(8)?)?;
    Ok(listener)
}

fn sctp(address: SocketAddr, wait: Duration) -> Outcome {
    let limit = TimeVal::new(
        i64::try_from(wait.as_secs())?,
        i64::from(wait.subsec_micros()),
    );
    let family = if address.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    let stream = sctp_socket(family)?;
    setsockopt(&stream, sockopt::SendTimeout, &limit)?;
    setsockopt(&stream, sockopt::ReceiveTimeout, &limit)?;
    match address {
        SocketAddr::V4(v4) => connect(stream.as_raw_fd(), &SockaddrIn::from(v4))?,
        SocketAddr::V6(v6) => connect(stream.as_raw_fd(), &SockaddrIn6::from(v6))?,
    }
    let mut buffer = [0; 512];
    let length = recv(stream.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}
