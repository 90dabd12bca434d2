//! Frames as they are on the wire: sent as they are told, and listened to.

use crate::Outcome;
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    recv, sendto, setsockopt, socket, sockopt, AddressFamily, LinkAddr, MsgFlags, SockFlag,
    SockProtocol, SockType,
};
use nix::sys::time::TimeVal;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// How often a frame is sent, and the pause in between.
const TIMES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(150);

/// What a rogue sends from, and how often.
const ROGUE: [u8; 6] = [0x02, 0, 0, 0xde, 0xad, 0x01];
const ROGUE_PAUSE: Duration = Duration::from_millis(3);

/// Longest wait for a frame before it is looked at the clock again.
const GLANCE: Duration = Duration::from_millis(100);

fn packet_socket() -> nix::Result<OwnedFd> {
    socket(
        AddressFamily::Packet,
        SockType::Raw,
        SockFlag::empty(),
        SockProtocol::EthAll,
    )
}

fn link(interface: &str) -> Result<LinkAddr, Box<dyn std::error::Error>> {
    let mut of_interface = getifaddrs()?.filter(|address| address.interface_name == interface);
    let link = of_interface.find_map(|address| address.address?.as_link_addr().copied());
    Ok(link.ok_or_else(|| format!("no interface {interface}"))?)
}

/// Sends a frame a few times.
pub(crate) fn send(interface: &str, hexadecimal: &str) -> Outcome {
    let (socket, link, frame) = (packet_socket()?, link(interface)?, bytes(hexadecimal)?);
    for _ in 0..TIMES {
        sendto(socket.as_raw_fd(), &frame, &link, MsgFlags::empty())?;
        thread::sleep(PAUSE);
    }
    Ok(format!("sent {} bytes", frame.len()))
}

/// Waits for a frame with these bytes in it.
pub(crate) fn hear(hexadecimal: &str, limit: Duration) -> Outcome {
    let (socket, mark) = (packet_socket()?, bytes(hexadecimal)?);
    // Else QEMU keeps tagged frames away from a guest that has not asked for them.
    set_link("eth0", &["promisc", "on"]);
    let glance = TimeVal::new(0, i64::from(GLANCE.subsec_micros()));
    setsockopt(&socket, sockopt::ReceiveTimeout, &glance)?;
    let end = Instant::now() + limit;
    let mut buffer = [0; 2048];
    while Instant::now() < end {
        match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(length)
                if buffer[..length]
                    .windows(mark.len())
                    .any(|part| part == mark) =>
            {
                return Ok("heard".to_owned());
            }
            Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Err("not heard".into())
}

/// Gives eth0 another MAC address for a while, when this order has been answered.
pub(crate) fn disguise(mac: &str, time: Duration) -> Outcome {
    let own = std::fs::read_to_string("/sys/class/net/eth0/address")?;
    let mac = mac.to_owned();
    thread::spawn(move || {
        thread::sleep(PAUSE);
        set_link("eth0", &["address", &mac]);
        thread::sleep(time);
        set_link("eth0", &["address", own.trim()]);
    });
    Ok("soon".to_owned())
}

fn set_link(interface: &str, words: &[&str]) {
    let mut command = Command::new("/bin/busybox");
    command.args(["ip", "link", "set", interface]);
    let _ = command.args(words).status();
}

/// Sends frames to everybody with another MAC address than its own, by an interface that may come
/// later, and as soon as it does; never ends.
pub(crate) fn be_rogue(interface: &str) {
    let everybody = [0xff; 6];
    let local_experiment = [0x88, 0xb5];
    let frame = [&everybody[..], &ROGUE, &local_experiment, &[0; 46]].concat();
    let Ok(socket) = packet_socket() else {
        return println!("cannot be rogue");
    };
    let mut known = None;
    loop {
        thread::sleep(ROGUE_PAUSE);
        known = known.or_else(|| link(interface).ok());
        let Some(link) = &known else { continue };
        if sendto(socket.as_raw_fd(), &frame, link, MsgFlags::empty()).is_err() {
            set_link(interface, &["up"]);
            known = None;
        }
    }
}

fn bytes(hexadecimal: &str) -> Result<Vec<u8>, std::num::ParseIntError> {
    let octets = (0..hexadecimal.len() / 2).map(|index| &hexadecimal[2 * index..2 * index + 2]);
    octets.map(|octet| u8::from_str_radix(octet, 16)).collect()
}
