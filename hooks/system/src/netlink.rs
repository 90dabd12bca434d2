//! One request to the kernel over netlink(7), and its answers.

use crate::{Deadline, Result, SystemError};
use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable, Parseable, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR,
    NLM_F_REQUEST,
};
use netlink_packet_route::link::{LinkFlags, LinkHeader};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::libc::{IFLA_ADDRESS, IFLA_MASTER, IFLA_MTU, RTM_SETLINK};
use nix::poll::{poll, PollFd, PollFlags};
use nix::sys::socket::{setsockopt, sockopt::SndBufForce};
use std::convert::Infallible;
use std::os::fd::AsFd;

/// Room for one read of answers, in bytes; the kernel fills at most 32 KiB at a time
/// (`NLMSG_GOODSIZE` in a dump).
const BUFFER_SIZE: usize = 64 * 1024;

/// Length of netlink's own header in bytes.
const HEADER: usize = 16;

/// The most that a message is padded with, in bytes.
const PADDING: usize = 3;

/// How many requests without answers are sent at once.
const BATCH: usize = 128;

/// How often everything of a kind is asked for until nobody has changed it meanwhile.
const DUMPS: usize = 20;

/// `NFNL_MSG_BATCH_BEGIN` of linux/netfilter/nfnetlink.h.
const BATCH_BEGIN: u16 = 0x10;
/// `NFNL_MSG_BATCH_END`.
const BATCH_END: u16 = 0x11;

/// A message in the kernel's own bytes, which stay what they are when it is sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    /// Its type, `RTM_NEWADDR`.
    pub kind: u16,
    /// What stands behind netlink's header.
    pub payload: Vec<u8>,
}

impl NetlinkDeserializable for Raw {
    type Error = Infallible;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Infallible> {
        Ok(Self {
            kind: header.message_type,
            payload: payload.to_vec(),
        })
    }
}

impl NetlinkSerializable for Raw {
    fn message_type(&self) -> u16 {
        self.kind
    }

    fn buffer_len(&self) -> usize {
        self.payload.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.payload);
    }
}

impl Raw {
    /// A message of a type that the library has. The library's `RouteNetlinkMessage` is an enum of all messages of rtnetlink(7): a
    /// hook that links it has code for queueing disciplines and tunnels.
    #[must_use]
    pub fn new(kind: u16, message: &impl Emitable) -> Self {
        let payload = bytes(message);
        Self { kind, payload }
    }

    /// What it says, as a type that the library has.
    ///
    /// # Errors
    /// [`SystemError`] when it says something else.
    pub fn parse<M: Parseable<[u8]>>(&self) -> Result<M> {
        M::parse(&self.payload).map_err(not_understood)
    }
}

/// What of a link is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkChange {
    /// It is set up.
    Up,
    /// It is set down.
    Down,
    /// It enters the bridge of this index, or leaves its own for 0.
    Controller(u32),
    /// Its MTU in bytes.
    Mtu(u32),
    /// Its MAC address.
    Address([u8; 6]),
}

/// Makes these changes of a link, and no others.
///
/// # Errors
/// [`SystemError`] when the kernel refuses, or does not answer until the deadline.
pub fn set_link(index: u32, changes: &[LinkChange], deadline: Deadline) -> Result<()> {
    let flags = NLM_F_REQUEST | NLM_F_ACK;
    Netlink::open(NETLINK_ROUTE, deadline)?.request(&changed(index, changes), flags, |_: Raw| {})
}

/// The message that makes these changes.
fn changed(index: u32, changes: &[LinkChange]) -> Raw {
    let mut header = LinkHeader {
        index,
        ..LinkHeader::default()
    };
    let mut attributes = Vec::new();
    for change in changes {
        let (kind, value) = match change {
            LinkChange::Up | LinkChange::Down => {
                header.change_mask = LinkFlags::Up;
                header.flags.set(LinkFlags::Up, *change == LinkChange::Up);
                continue;
            }
            LinkChange::Controller(index) => (IFLA_MASTER, index.to_ne_bytes().to_vec()),
            LinkChange::Mtu(bytes) => (IFLA_MTU, bytes.to_ne_bytes().to_vec()),
            LinkChange::Address(octets) => (IFLA_ADDRESS, octets.to_vec()),
        };
        attributes.push(DefaultNla::new(kind, value));
    }
    Raw {
        kind: RTM_SETLINK,
        payload: [bytes(&header), bytes(&attributes.as_slice())].concat(),
    }
}

fn bytes(part: &impl Emitable) -> Vec<u8> {
    let mut bytes = vec![0; part.buffer_len()];
    part.emit(&mut bytes);
    bytes
}

/// A netlink socket of one protocol.
pub struct Netlink {
    socket: Socket,
    deadline: Deadline,
    sequence: u32,
    /// Whether an answer of the last dump said that somebody changed what was told.
    is_interrupted: bool,
}

fn error(source: std::io::Error) -> SystemError {
    SystemError::file("netlink")(source)
}

fn not_understood(reason: DecodeError) -> SystemError {
    error(std::io::Error::other(reason.to_string()))
}

impl Netlink {
    /// Opens a socket.
    pub fn open(protocol: isize, deadline: Deadline) -> Result<Self> {
        let mut socket = Socket::new(protocol).map_err(error)?;
        socket.bind_auto().map_err(error)?;
        socket.connect(&SocketAddr::new(0, 0)).map_err(error)?;
        Ok(Self {
            socket,
            deadline,
            sequence: 0,
            is_interrupted: false,
        })
    }

    /// Sends a request and gives every answer to `each`, until the kernel says that it is done or
    /// acknowledges. A request without answers needs `NLM_F_ACK`.
    pub fn request<M>(&mut self, message: &M, flags: u16, mut each: impl FnMut(M)) -> Result<()>
    where
        M: NetlinkSerializable + NetlinkDeserializable,
    {
        let mut bytes = Vec::new();
        self.put(message, flags, &mut bytes);
        self.socket.send(&bytes, 0).map_err(error)?;
        let mut is_done = false;
        while !is_done {
            self.receive::<M>(|answer| {
                match answer.payload {
                    NetlinkPayload::Done(_) => is_done = true,
                    NetlinkPayload::Error(answer) => match answer.code {
                        None => is_done = true,
                        Some(_) => return Err(answer.to_io()),
                    },
                    NetlinkPayload::InnerMessage(inner) => each(inner),
                    _ => {}
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Puts the next message behind others that are sent with it.
    fn put<M: NetlinkSerializable>(&mut self, message: &M, flags: u16, bytes: &mut Vec<u8>) {
        let mut payload = vec![0; message.buffer_len()];
        message.serialize(&mut payload);
        let kind = message.message_type();
        self.put_raw(&Raw { kind, payload }, flags, bytes);
    }

    /// The same for one that is in the kernel's bytes already, of which a batch may have thousands.
    fn put_raw(&mut self, message: &Raw, flags: u16, bytes: &mut Vec<u8>) {
        self.sequence += 1;
        let mut header = NetlinkHeader::default();
        let length = HEADER + message.payload.len();
        header.length = u32::try_from(length).unwrap_or(u32::MAX);
        header.message_type = message.kind;
        header.flags = flags;
        header.sequence_number = self.sequence;
        let mut head = [0; HEADER];
        header.emit(&mut head);
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(&message.payload);
        let missing = length.next_multiple_of(4) - length;
        bytes.extend_from_slice(&[0; PADDING][..missing]);
    }

    /// Asks for everything there is of a kind. What somebody changes meanwhile may be told twice or not at all, which the kernel
    /// says; then it is asked again.
    ///
    /// # Errors
    /// [`SystemError`] when the kernel refuses, when it does not answer until the deadline, or no answer was whole.
    pub fn dump(&mut self, message: &Raw) -> Result<Vec<Raw>> {
        for _ in 0..DUMPS {
            let mut found = Vec::new();
            self.is_interrupted = false;
            let flags = NLM_F_REQUEST | NLM_F_DUMP;
            self.request(message, flags, |answer| found.push(answer))?;
            if !self.is_interrupted {
                return Ok(found);
            }
        }
        Err(error(std::io::ErrorKind::Interrupted.into()))
    }

    /// Sends messages of one of netfilter's subsystems, each with its flags, that the kernel does all of or none of. The index
    /// and the reason of one that it refuses are returned.
    ///
    /// # Errors
    /// [`SystemError`] when the kernel cannot be asked, or does not answer until the deadline.
    pub fn transact(
        &mut self,
        subsystem: u8,
        messages: &[(Raw, u16)],
    ) -> Result<Option<(usize, std::io::Error)>> {
        if messages.is_empty() {
            return Ok(None);
        }
        let limit = |kind| Raw {
            kind,
            payload: vec![0, 0, 0, subsystem],
        };
        let lengths = messages.iter().map(|(message, _)| message.payload.len());
        let headers = (messages.len() + 2) * (HEADER + PADDING);
        let mut bytes = Vec::with_capacity(lengths.sum::<usize>() + headers);
        self.put_raw(&limit(BATCH_BEGIN), NLM_F_REQUEST, &mut bytes);
        let first = self.sequence + 1;
        let mut messages = messages.iter().peekable();
        while let Some((message, flags)) = messages.next() {
            // The last is answered when all are done.
            let acknowledged = match messages.peek() {
                Some(_) => 0,
                None => NLM_F_ACK,
            };
            self.put_raw(message, NLM_F_REQUEST | flags | acknowledged, &mut bytes);
        }
        let last = self.sequence;
        self.put_raw(&limit(BATCH_END), NLM_F_REQUEST, &mut bytes);
        // All that is refused is answered, the first of it first: there need be no room for the rest, nor for the requests in
        // the answers. Older kernels know neither.
        let _ = self.socket.set_no_enobufs(true);
        let _ = self.socket.set_cap_ack(true);
        // The kernel takes no more at once than there is room for. Where it does not let us have more, as in some containers,
        // what is too long for it is refused.
        let _ = setsockopt(&self.socket, SndBufForce, &bytes.len());
        self.socket.send(&bytes, 0).map_err(error)?;
        let (mut is_done, mut refused) = (false, None);
        while !is_done {
            self.receive::<Raw>(|answer| {
                if let NetlinkPayload::Error(said) = answer.payload {
                    let sequence = answer.header.sequence_number;
                    is_done |= sequence == last;
                    if said.code.is_some() {
                        // The rest of the answers is of no use.
                        is_done = true;
                        let index = sequence.saturating_sub(first) as usize;
                        refused.get_or_insert((index, said.to_io()));
                    }
                }
                Ok(())
            })?;
        }
        Ok(refused)
    }

    /// Sends requests that have no answers, many at a time. What the kernel says of one that it refuses is given to `refused`,
    /// whose error ends it.
    pub fn send_all<M>(
        &mut self,
        messages: Vec<M>,
        mut refused: impl FnMut(std::io::Error) -> std::io::Result<()>,
    ) -> Result<()>
    where
        M: NetlinkSerializable + NetlinkDeserializable,
    {
        let mut messages = messages.into_iter().peekable();
        while messages.peek().is_some() {
            let mut bytes = Vec::new();
            let mut batch = messages.by_ref().take(BATCH).peekable();
            while let Some(message) = batch.next() {
                // The kernel works on them in their order, so that the last is answered when all are done.
                let flags = match batch.peek() {
                    Some(_) => NLM_F_REQUEST,
                    None => NLM_F_REQUEST | NLM_F_ACK,
                };
                self.put(&message, flags, &mut bytes);
            }
            self.socket.send(&bytes, 0).map_err(error)?;
            let mut is_done = false;
            while !is_done {
                let sequence = self.sequence;
                self.receive::<M>(|answer| {
                    let NetlinkPayload::Error(said) = answer.payload else {
                        return Ok(());
                    };
                    is_done |= answer.header.sequence_number == sequence;
                    match said.code {
                        None => Ok(()),
                        Some(_) => refused(said.to_io()),
                    }
                })?;
            }
        }
        Ok(())
    }

    /// Waits for messages and gives each to `each`.
    fn receive<M: NetlinkDeserializable>(
        &mut self,
        mut each: impl FnMut(NetlinkMessage<M>) -> std::io::Result<()>,
    ) -> Result<()> {
        self.wait()?;
        let mut buffer = Vec::with_capacity(BUFFER_SIZE);
        self.socket.recv(&mut buffer, 0).map_err(error)?;
        for answer in messages::<M>(&buffer) {
            let answer = answer.map_err(not_understood)?;
            self.is_interrupted |= answer.header.flags & NLM_F_DUMP_INTR != 0;
            each(answer).map_err(error)?;
        }
        Ok(())
    }

    fn wait(&self) -> Result<()> {
        loop {
            let mut descriptors = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            match poll(&mut descriptors, self.deadline.poll_timeout()) {
                Ok(0) => return Err(error(std::io::ErrorKind::TimedOut.into())),
                Ok(_) => return Ok(()),
                Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(error(errno.into())),
            }
        }
    }
}

/// The messages of a datagram, up to the first that is not whole.
pub(crate) fn messages<M: NetlinkDeserializable>(
    datagram: &[u8],
) -> impl Iterator<Item = Result<NetlinkMessage<M>, DecodeError>> + '_ {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let message = NetlinkMessage::<M>::deserialize(rest);
        rest = match &message {
            // They are padded to four bytes, netlink(7).
            Ok(message) => {
                let length = (message.header.length as usize).next_multiple_of(4);
                rest.get(length.max(4)..).unwrap_or(&[])
            }
            Err(_) => &[],
        };
        Some(message)
    })
}

#[cfg(test)]
mod tests {
    use super::{bytes, changed, LinkChange};
    use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};

    #[test]
    fn a_link_is_changed_by_the_message_that_the_library_makes_of_it() {
        let is = |changes: &[LinkChange], flags: [LinkFlags; 2], attributes| {
            let mut link = LinkMessage::default();
            link.header.index = 7;
            [link.header.flags, link.header.change_mask] = flags;
            link.attributes = attributes;
            assert_eq!(changed(7, changes).payload, bytes(&link), "{changes:?}");
        };
        let none = LinkFlags::empty();
        let controller = LinkAttribute::Controller(9);
        let to_nine = LinkChange::Controller(9);
        is(&[to_nine], [none; 2], vec![controller.clone()]);
        let down = [LinkChange::Down, to_nine];
        is(&down, [none, LinkFlags::Up], vec![controller.clone()]);
        let up = [LinkChange::Up, to_nine];
        is(&up, [LinkFlags::Up; 2], vec![controller]);
        let mac = [0x52, 0x54, 0, 0, 0x50, 0x12];
        let both = [LinkChange::Address(mac), LinkChange::Mtu(1400)];
        let address = LinkAttribute::Address(mac.to_vec());
        is(&both, [none; 2], vec![address, LinkAttribute::Mtu(1400)]);
    }
}
