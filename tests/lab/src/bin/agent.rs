//! The lab's service and client: answers on some ports, and asks others for an answer.
//!
//! `serve NAME` answers each connection or datagram with one line. `probe PROTO ADDRESS PORT
//! MILLISECONDS [OWN-PORT]` prints the answer it got. `ask GUEST WORDS` has a guest's agent do it.
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
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

/// Ports that are served.
const PORTS: [u16; 8] = [80, 53, 5000, 3000, 3001, 3009, 3013, 3020];

/// The port that takes orders.
const CONTROL: u16 = 7000;

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
    for port in PORTS {
        let tcp = TcpListener::bind(("::", port))?;
        let owner = name.to_owned();
        thread::spawn(move || {
            for mut stream in tcp.incoming().flatten() {
                if let Ok(peer) = stream.peer_addr() {
                    let line = format!("{owner} tcp {port} from {}\n", plain(peer.ip()));
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
                let line = format!("{owner} udp {port} from {}\n", plain(peer.ip()));
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

fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
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
