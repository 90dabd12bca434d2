//! What an interface has: its addresses and routes as the kernel tells them over rtnetlink(7), so that
//! they can be compared and put back without a loss, as `ip route save` and `restore` do.

use crate::message::{attributes, number, put, Hex, Parts};
use crate::outcome::Kind;
use ipnet::IpNet;
use nix::libc::{
    IFA_ADDRESS, IFA_CACHEINFO, IFA_F_DADFAILED, IFA_F_DEPRECATED, IFA_F_NODAD, IFA_F_PERMANENT,
    IFA_F_TEMPORARY, IFA_F_TENTATIVE, IFA_LABEL, IFA_LOCAL, RTA_CACHEINFO, RTA_DST, RTA_GATEWAY,
    RTA_MULTIPATH, RTA_OIF, RTA_PREFSRC, RTA_PRIORITY, RTA_SRC, RTA_TABLE, RTM_F_CLONED,
    RTN_UNICAST, RT_SCOPE_LINK, RT_TABLE_LOCAL, RT_TABLE_MAIN,
};
use portero_system::interfaces::ip_of_octets as ip;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Lengths of `struct ifaddrmsg`, `struct rtmsg`, `struct ndmsg` and `struct rtnexthop`, in bytes.
pub(super) const ADDRESS_HEAD: usize = 8;
pub(super) const ROUTE_HEAD: usize = 12;
pub(super) const NEIGHBOR_HEAD: usize = 12;
const HOP_HEAD: usize = 8;

/// linux/if_addr.h: an attribute and flags of addresses that libc has not had for long.
const IFA_FLAGS: u16 = 8;
const IFA_F_MANAGETEMPADDR: u32 = 0x100;
const IFA_F_NOPREFIXROUTE: u32 = 0x200;
const IFA_F_MCAUTOJOIN: u32 = 0x400;

/// linux/rtnetlink.h: the same of routes, and what libc has for glibc only.
const RTA_VIA: u16 = 18;
const RTA_EXPIRES: u16 = 23;
const RTA_NH_ID: u16 = 30;
const RTNH_F_ONLINK: u32 = 4;

/// linux/neighbour.h: a neighbor that somebody has written down.
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const NUD_PERMANENT: u16 = 0x80;

/// Whose a route is (linux/rtnetlink.h): an ICMP redirect's, or somebody's who wrote it by hand or in a file.
const RTPROT_REDIRECT: u8 = 1;
const RTPROT_BOOT: u8 = 3;
const RTPROT_STATIC: u8 = 4;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// Length of the prefix of a subnet whose hosts choose the rest (RFC 4291), in bits.
const SUBNET: u8 = 64;

/// A time without end, in seconds.
const FOREVER: u32 = u32::MAX;

/// Ticks of the kernel's clock in a second, as programs are told them (`USER_HZ`).
const TICKS: u32 = 100;

/// An interface as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Noted {
    /// The NIC that is to have it.
    pub(crate) nic: String,
    /// The index of the interface that had it: of the NIC, or of the bridge that it is taken out of.
    pub(crate) index: u32,
    /// When it was looked at, in seconds since the boot.
    pub(crate) at: u64,
    /// Whether it was up.
    pub(crate) is_up: bool,
    /// Its MTU in bytes, and its MAC address; nothing in records of before 0.2.
    #[serde(default)]
    pub(crate) mtu: Option<u32>,
    #[serde(default)]
    pub(crate) mac: Option<String>,
    /// Its settings in /proc/sys/net/ipv6/conf.
    pub(crate) settings: Vec<(String, String)>,
    /// Its addresses, then its routes and the neighbors that somebody has written down.
    pub(crate) entries: Vec<Entry>,
}

/// An address, a route or a neighbor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) what: What,
    /// In words, `192.0.2.10/24` or `default via 192.0.2.1`.
    pub(crate) text: String,
    /// The kernel's message, two digits for each byte.
    message: Hex,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum What {
    /// An address.
    Address,
    /// A route.
    Route,
    /// A neighbor's MAC address that somebody has written down.
    Neighbor,
}

impl From<What> for Kind {
    fn from(what: What) -> Self {
        match what {
            What::Address => Self::Addresses,
            What::Route => Self::Routes,
            What::Neighbor => Self::Neighbors,
        }
    }
}

impl What {
    /// All, in the order in which they are made.
    pub(super) const ALL: [Self; 3] = [Self::Address, Self::Route, Self::Neighbor];
}

/// The hops of a route with several: where each begins and ends in the attribute's value.
fn hops(value: &[u8]) -> Vec<(usize, usize)> {
    let (mut hops, mut at) = (Vec::new(), 0);
    while let Some(length) = value.get(at..at + 2) {
        let length = usize::from(u16::from_ne_bytes([length[0], length[1]]));
        if length < HOP_HEAD || at + length > value.len() {
            break;
        }
        hops.push((at, at + length));
        at += length.next_multiple_of(4);
    }
    hops
}

/// What makes an entry this one and no other: what two hosts that are configured alike have alike.
#[derive(Debug, PartialEq, Eq)]
struct Key {
    /// Family, lengths of prefixes and TOS.
    head: Vec<u8>,
    /// Addresses.
    values: Vec<Option<Vec<u8>>>,
    /// The table of a route. Its metric is the program's own: the same one has another for a bridge
    /// than for a NIC.
    table: u32,
    /// Interface and gateway of each hop.
    hops: Vec<(u32, Option<Vec<u8>>)>,
}

/// Where routes lead that one is chosen of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Destination {
    /// Family, lengths of prefixes and TOS.
    head: Vec<u8>,
    to: Option<Vec<u8>>,
    table: u32,
}

impl Entry {
    /// An address of an interface; nothing for those of others, and for those that the kernel makes
    /// and changes by itself (RFC 8981).
    pub(super) fn address(message: &[u8], interface: u32) -> Option<Self> {
        let parts = Parts::split(message, ADDRESS_HEAD)?;
        let flags = address_flags(&parts);
        let is_temporary = parts.head[0] == AF_INET6 && flags & IFA_F_TEMPORARY != 0;
        if number(&parts.head, 4)? != interface || is_temporary || flags & IFA_F_DADFAILED != 0 {
            return None;
        }
        let own = parts.get(IFA_LOCAL).or(parts.get(IFA_ADDRESS))?;
        Some(Self {
            what: What::Address,
            text: format!("{}/{}", ip(own)?, parts.head[1]),
            message: Hex(message.to_vec()),
        })
    }

    /// A route by an interface; nothing for those of others and for those that the kernel makes with
    /// each address.
    pub(super) fn route(message: &[u8], interface: u32) -> Option<Self> {
        let parts = Parts::split(message, ROUTE_HEAD)?;
        let (family, kind, flags) = (parts.head[0], parts.head[7], number(&parts.head, 8)?);
        let table = table(&parts);
        let hops = route_hops(&parts);
        let is_of = hops.iter().any(|(index, _)| *index == interface);
        let is_ip = [AF_INET, AF_INET6].contains(&family);
        let is_made = table == u32::from(RT_TABLE_LOCAL)
            || flags & RTM_F_CLONED != 0
            || parts.head[5] == RTPROT_REDIRECT;
        if !is_of || !is_ip || is_made || kind != RTN_UNICAST {
            return None;
        }
        let mut text = match parts.get(RTA_DST).and_then(ip) {
            Some(to) => format!("{to}/{}", parts.head[1]),
            None => "default".to_owned(),
        };
        for (_, gateway) in hops {
            // A gateway of the other family stands behind its own (`struct rtvia`).
            let gateway = gateway
                .as_deref()
                .and_then(|bytes| ip(bytes).or_else(|| ip(bytes.get(2..)?)));
            if let Some(gateway) = gateway {
                text += &format!(" via {gateway}");
            }
        }
        if table != u32::from(RT_TABLE_MAIN) {
            text += &format!(" table {table}");
        }
        Some(Self {
            what: What::Route,
            text,
            message: Hex(message.to_vec()),
        })
    }

    /// A neighbor of an interface that somebody has written down; nothing for those of others.
    pub(super) fn neighbor(message: &[u8], interface: u32) -> Option<Self> {
        let parts = Parts::split(message, NEIGHBOR_HEAD)?;
        let state = u16::from_ne_bytes([parts.head[8], parts.head[9]]);
        let is_ip = [AF_INET, AF_INET6].contains(&parts.head[0]);
        if !is_ip || number(&parts.head, 4)? != interface || state & NUD_PERMANENT == 0 {
            return None;
        }
        let mac = parts.get(NDA_LLADDR)?;
        let mac: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        Some(Self {
            what: What::Neighbor,
            text: format!("{} at {}", ip(parts.get(NDA_DST)?)?, mac.join(":")),
            message: Hex(message.to_vec()),
        })
    }

    fn parts(&self) -> Option<Parts> {
        let head = match self.what {
            What::Address => ADDRESS_HEAD,
            What::Route => ROUTE_HEAD,
            What::Neighbor => NEIGHBOR_HEAD,
        };
        Parts::split(&self.message.0, head)
    }

    fn key(&self) -> Option<Key> {
        let parts = self.parts()?;
        let value = |kind| parts.get(kind).map(<[u8]>::to_vec);
        Some(match self.what {
            What::Address => Key {
                head: parts.head[..2].to_vec(),
                values: vec![value(IFA_LOCAL).or(value(IFA_ADDRESS)), value(IFA_ADDRESS)],
                table: 0,
                hops: Vec::new(),
            },
            What::Route => Key {
                head: parts.head[..4].to_vec(),
                values: vec![value(RTA_DST), value(RTA_SRC)],
                table: table(&parts),
                hops: route_hops(&parts),
            },
            What::Neighbor => Key {
                head: parts.head[..1].to_vec(),
                values: vec![value(NDA_DST), value(NDA_LLADDR)],
                table: 0,
                hops: Vec::new(),
            },
        })
    }

    /// Where a route leads and how soon it is chosen among those that lead there: the less, the sooner. Nothing for what
    /// is no route.
    pub(super) fn rank(&self) -> Option<(Destination, u32)> {
        let parts = self.parts().filter(|_| self.what == What::Route)?;
        let metric = parts.number(RTA_PRIORITY).unwrap_or(0);
        let destination = Destination {
            head: parts.head[..4].to_vec(),
            to: parts.get(RTA_DST).map(<[u8]>::to_vec),
            table: table(&parts),
        };
        Some((destination, metric))
    }

    /// [`Entry::rank`] of a route by other interfaces than this one.
    pub(super) fn rank_of_other(message: &[u8], interface: u32) -> Option<(Destination, u32)> {
        let parts = Parts::split(message, ROUTE_HEAD)?;
        let by = route_hops(&parts);
        let is_other =
            parts.head[7] == RTN_UNICAST && by.iter().all(|(index, _)| *index != interface);
        let entry = Self {
            what: What::Route,
            text: String::new(),
            message: Hex(message.to_vec()),
        };
        entry.rank().filter(|_| is_other)
    }

    /// Whether an address is not yet known to be nobody else's: nobody is answered from it.
    pub(super) fn is_tentative(&self) -> bool {
        let parts = self.parts().filter(|_| self.what == What::Address);
        parts.is_some_and(|parts| address_flags(&parts) & IFA_F_TENTATIVE != 0)
    }

    /// Whether it ends by itself, so that a bridge need not have it: an address that is no longer preferred (RFC 4862, 5.5.4), and
    /// a route of a router's that is not the default route. For those that still count, the router tells the bridge.
    pub(super) fn ends(&self) -> bool {
        let parts = self.parts();
        parts.is_some_and(|parts| match self.what {
            What::Address => address_flags(&parts) & IFA_F_DEPRECATED != 0,
            What::Route => {
                let expires = parts.get(RTA_CACHEINFO).and_then(|info| number(info, 8));
                parts.get(RTA_DST).is_some() && expires.is_some_and(|ticks| ticks != 0)
            }
            What::Neighbor => false,
        })
    }

    /// Whether somebody has made it who reads it in a file or types it: no server of DHCP, no router, and no kernel.
    pub(super) fn is_written(&self) -> bool {
        let parts = self.parts();
        parts.is_some_and(|parts| match self.what {
            What::Address => parts.head[3] == 0 && address_flags(&parts) & IFA_F_PERMANENT != 0,
            What::Route => [RTPROT_BOOT, RTPROT_STATIC].contains(&parts.head[5]),
            What::Neighbor => true,
        })
    }

    /// The addresses that it is about: its own, or where it leads and the gateways.
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        let Some(parts) = self.parts() else {
            return Vec::new();
        };
        let of = |kind| parts.get(kind).and_then(ip);
        match self.what {
            What::Address => of(IFA_LOCAL).or(of(IFA_ADDRESS)).into_iter().collect(),
            What::Route => match of(RTA_DST) {
                Some(to) => vec![to],
                None => route_hops(&parts)
                    .iter()
                    .filter_map(|(_, by)| by.as_deref().and_then(ip))
                    .collect(),
            },
            What::Neighbor => of(NDA_DST).into_iter().collect(),
        }
    }

    /// The same of another interface.
    pub(super) fn moved(&self, from: u32, to: u32) -> Self {
        let Some(mut parts) = self.parts() else {
            return self.clone();
        };
        if from == to {
            return self.clone();
        }
        match self.what {
            What::Neighbor => put(&mut parts.head, 4, to),
            What::Address => {
                put(&mut parts.head, 4, to);
                // It begins with the name of the interface.
                parts.remove(IFA_LABEL);
            }
            What::Route => {
                for (kind, value) in &mut parts.attributes {
                    match *kind {
                        RTA_OIF if number(value, 0) == Some(from) => put(value, 0, to),
                        RTA_MULTIPATH => {
                            for (start, _) in hops(value) {
                                if number(value, start + 4) == Some(from) {
                                    put(value, start + 4, to);
                                }
                            }
                        }
                        _ => {}
                    }
                }
            }
        }
        Self {
            message: Hex(parts.message()),
            ..self.clone()
        }
    }

    /// The message that takes it away.
    pub(super) fn removal(&self) -> Vec<u8> {
        let Some(mut parts) = self.parts() else {
            return self.message.0.clone();
        };
        if self.what == What::Route {
            parts.remove(RTA_CACHEINFO);
            // One that goes by an object for its hops is known by that, and the kernel takes nothing beside it.
            if parts.get(RTA_NH_ID).is_some() {
                for kind in [RTA_OIF, RTA_GATEWAY, RTA_VIA, RTA_MULTIPATH] {
                    parts.remove(kind);
                }
            }
        }
        parts.message()
    }

    /// The message that makes it again, this many seconds later; nothing once its time is over.
    pub(super) fn request(&self, elapsed: u64) -> Option<Vec<u8>> {
        let mut parts = self.parts()?;
        match self.what {
            What::Neighbor => parts
                .attributes
                .retain(|(kind, _)| [NDA_DST, NDA_LLADDR].contains(kind)),
            What::Address => {
                if let Some(mut times) = parts.get(IFA_CACHEINFO).map(<[u8]>::to_vec) {
                    // Preferred and valid.
                    let valid = left(number(&times, 4)?, elapsed)?;
                    let preferred = left(number(&times, 0)?, elapsed).unwrap_or(0);
                    put(&mut times, 0, preferred);
                    put(&mut times, 4, valid);
                    parts.set(IFA_CACHEINFO, times);
                }
                let keeps =
                    IFA_F_NODAD | IFA_F_MANAGETEMPADDR | IFA_F_NOPREFIXROUTE | IFA_F_MCAUTOJOIN;
                let mut flags = address_flags(&parts) & keeps;
                if parts.head[0] == AF_INET6 {
                    // It was the host's a moment ago, and is needed now.
                    flags |= IFA_F_NODAD;
                }
                parts.head[2] = flags.to_le_bytes()[0];
                parts.set(IFA_FLAGS, flags.to_ne_bytes().to_vec());
            }
            What::Route => {
                let flags = number(&parts.head, 8)? & RTNH_F_ONLINK;
                put(&mut parts.head, 8, flags);
                // How long it is valid stands behind two other numbers, in ticks.
                let expires = parts.get(RTA_CACHEINFO).and_then(|info| number(info, 8));
                if let Some(ticks) = expires.filter(|ticks| *ticks != 0) {
                    let seconds = left(ticks / TICKS, elapsed)?;
                    parts.set(RTA_EXPIRES, seconds.to_ne_bytes().to_vec());
                }
                parts.remove(RTA_CACHEINFO);
                // Its hops are said too.
                parts.remove(RTA_NH_ID);
                for (kind, value) in &mut parts.attributes {
                    if *kind == RTA_MULTIPATH {
                        for (start, _) in hops(value) {
                            value[start + 2] &= RTNH_F_ONLINK.to_le_bytes()[0];
                        }
                    }
                }
            }
        }
        Some(parts.message())
    }

    /// Whether it goes by a gateway, so that the way there has to be made first.
    pub(super) fn has_gateway(&self) -> bool {
        let hops = self.parts().map(|parts| route_hops(&parts));
        hops.is_some_and(|hops| hops.iter().any(|(_, gateway)| gateway.is_some()))
    }

    /// Whether it is an address that the kernel gives each link of IPv6, or the route to those.
    pub(super) fn is_of_link(&self) -> bool {
        let Some(parts) = self.parts() else {
            return false;
        };
        match self.what {
            What::Address => parts.head[0] == AF_INET6 && parts.head[3] == RT_SCOPE_LINK,
            What::Route => {
                let to = parts.get(RTA_DST).and_then(ip);
                let is_link = matches!(to, Some(IpAddr::V6(to)) if to.is_unicast_link_local());
                is_link && !self.has_gateway()
            }
            What::Neighbor => false,
        }
    }

    /// The subnet of an address that ends unless somebody renews it, and that others can reach.
    fn lease(&self) -> Option<IpNet> {
        let parts = self.parts()?;
        let is_global = parts.head[3] == 0;
        let ends = address_flags(&parts) & IFA_F_PERMANENT == 0;
        let address = ip(&self.own()?)?;
        // A server of DHCPv6 gives addresses without their subnet.
        let length = match address {
            IpAddr::V6(_) => parts.head[1].min(SUBNET),
            IpAddr::V4(_) => parts.head[1],
        };
        let subnet = IpNet::new(address, length).ok()?.trunc();
        (is_global && ends).then_some(subnet)
    }

    fn own(&self) -> Option<Vec<u8>> {
        let parts = self.parts()?;
        let own = parts.get(IFA_LOCAL).or(parts.get(IFA_ADDRESS))?;
        (self.what == What::Address).then(|| own.to_vec())
    }
}

fn address_flags(parts: &Parts) -> u32 {
    let flags = parts.number(IFA_FLAGS);
    flags.unwrap_or_else(|| u32::from(parts.head[2]))
}

fn table(parts: &Parts) -> u32 {
    let table = parts.number(RTA_TABLE);
    table.unwrap_or_else(|| u32::from(parts.head[4]))
}

fn route_hops(parts: &Parts) -> Vec<(u32, Option<Vec<u8>>)> {
    let gateway = |attributes: &[(u16, Vec<u8>)]| {
        let mut attributes = attributes.iter();
        let found = attributes.find(|(kind, _)| [RTA_GATEWAY, RTA_VIA].contains(kind));
        found.map(|(_, value)| value.clone())
    };
    if let Some(several) = parts.get(RTA_MULTIPATH) {
        let of = |(start, end): (usize, usize)| {
            let index = number(several, start + 4)?;
            let attributes = attributes(&several[start + HOP_HEAD..end])?;
            Some((index, gateway(&attributes)))
        };
        return hops(several).into_iter().filter_map(of).collect();
    }
    let interface = parts.number(RTA_OIF);
    let hop = interface.map(|index| (index, gateway(&parts.attributes)));
    hop.into_iter().collect()
}

/// What is left of a time in seconds; nothing when it is over.
fn left(time: u32, elapsed: u64) -> Option<u32> {
    if time == FOREVER {
        return Some(FOREVER);
    }
    let left = u64::from(time).checked_sub(elapsed)?;
    u32::try_from(left).ok().filter(|left| *left > 0)
}

/// What was noted and is not there now. An address of a server's or router's may be another one, and
/// so may what goes by it.
pub(super) fn missing<'a>(noted: &'a [Entry], now: &[Entry], elapsed: u64) -> Vec<&'a Entry> {
    let keys: Vec<Option<Key>> = now.iter().map(Entry::key).collect();
    let leases: Vec<IpNet> = now.iter().filter_map(Entry::lease).collect();
    let own: Vec<Vec<u8>> = now.iter().filter_map(Entry::own).collect();
    let is_missing = |entry: &&Entry| {
        if keys.contains(&entry.key()) || entry.request(elapsed).is_none() {
            return false;
        }
        if entry.lease().is_some_and(|subnet| leases.contains(&subnet)) {
            return false;
        }
        let source = entry.parts().and_then(|parts| {
            let source = parts.get(RTA_PREFSRC).map(<[u8]>::to_vec);
            source.filter(|_| entry.what == What::Route)
        });
        // It is by an address that is another one now: who gave that gave its routes too.
        let is_replaced = source.is_some_and(|source| {
            let mut addresses = noted.iter();
            let of = addresses.find(|known| known.own().as_ref() == Some(&source));
            let subnet = of.and_then(Entry::lease);
            !own.contains(&source) && subnet.is_some_and(|subnet| leases.contains(&subnet))
        });
        !is_replaced
    };
    noted.iter().filter(is_missing).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test fails by a panic")]

    use super::*;

    const NIC: u32 = 3;
    const BRIDGE: u32 = 7;
    const OWN: [u8; 4] = [192, 0, 2, 10];
    const ROUTER: [u8; 4] = [192, 0, 2, 1];

    fn message(head: &[u8], attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let attributes = attributes.iter();
        let parts = Parts {
            head: head.to_vec(),
            attributes: attributes
                .map(|(kind, value)| (*kind, value.to_vec()))
                .collect(),
        };
        parts.message()
    }

    /// 192.0.2.10/24 with what is left of its time, in seconds, of which half is preferred.
    fn address(own: [u8; 4], index: u32, valid: u32) -> Vec<u8> {
        let flags = if valid == FOREVER { IFA_F_PERMANENT } else { 0 };
        let mut head = vec![AF_INET, 24, flags.to_le_bytes()[0], 0];
        head.extend(index.to_ne_bytes());
        let preferred = if valid == FOREVER { FOREVER } else { valid / 2 };
        let times = [preferred, valid, 0, 0].map(u32::to_ne_bytes).concat();
        let attributes: [(u16, &[u8]); 4] = [
            (IFA_ADDRESS, &own),
            (IFA_LOCAL, &own),
            (IFA_LABEL, b"eth0\0"),
            (IFA_CACHEINFO, &times),
        ];
        message(&head, &attributes)
    }

    fn route_head(to: u8, table: u8, flags: u32) -> Vec<u8> {
        let mut head = vec![AF_INET, to, 0, 0, table, 16, 0, RTN_UNICAST];
        head.extend(flags.to_ne_bytes());
        head
    }

    fn default_route(index: u32, source: Option<[u8; 4]>) -> Vec<u8> {
        let index = index.to_ne_bytes();
        let mut attributes: Vec<(u16, &[u8])> = vec![(RTA_GATEWAY, &ROUTER), (RTA_OIF, &index)];
        if let Some(source) = &source {
            attributes.push((RTA_PREFSRC, source));
        }
        message(&route_head(0, 254, 0), &attributes)
    }

    fn read_address(own: [u8; 4], index: u32, valid: u32) -> Entry {
        Entry::address(&address(own, index, valid), index).expect("an address")
    }

    fn read_route(message: &[u8], index: u32) -> Entry {
        Entry::route(message, index).expect("a route")
    }

    fn texts(entries: &[&Entry]) -> Vec<String> {
        entries.iter().map(|entry| entry.text.clone()).collect()
    }

    #[test]
    fn a_record_keeps_the_kernels_bytes() {
        let entry = read_address(OWN, NIC, FOREVER);
        let text = serde_json::to_string(&entry).expect("JSON");
        assert!(text.contains(r#""text":"192.0.2.10/24""#), "{text}");
        assert_eq!(
            serde_json::from_str::<Entry>(&text).expect("an entry"),
            entry
        );
        for broken in ["0", "0g", "ä", "+1"] {
            assert!(Hex::try_from(broken.to_owned()).is_err(), "{broken}");
        }
    }

    #[test]
    fn only_what_the_interface_has_and_the_kernel_does_not_make_is_noted() {
        assert_eq!(Entry::address(&address(OWN, NIC, 60), BRIDGE), None);
        assert_eq!(Entry::address(&[1, 2, 3], NIC), None);
        let index = NIC.to_ne_bytes();
        let by_nic: [(u16, &[u8]); 2] = [(RTA_DST, &[198, 51, 100, 0]), (RTA_OIF, &index)];
        let read = |table, flags, interface| {
            Entry::route(&message(&route_head(24, table, flags), &by_nic), interface)
        };
        assert_eq!(read(254, 0, NIC).expect("a route").text, "198.51.100.0/24");
        assert_eq!(
            read(77, 0, NIC).expect("a route").text,
            "198.51.100.0/24 table 77"
        );
        assert_eq!(read(254, 0, BRIDGE), None);
        assert_eq!(read(255, 0, NIC), None, "the kernel's own table");
        assert_eq!(read(254, RTM_F_CLONED, NIC), None);
    }

    #[test]
    fn an_entry_moves_to_another_interface() {
        let moved = read_address(OWN, BRIDGE, FOREVER).moved(BRIDGE, NIC);
        let plain = read_address(OWN, NIC, FOREVER);
        assert_eq!(moved.key(), plain.key());
        let parts = moved.parts().expect("parts");
        assert_eq!(number(&parts.head, 4), Some(NIC));
        assert_eq!(parts.get(IFA_LABEL), None);
        let route = read_route(&default_route(BRIDGE, None), BRIDGE).moved(BRIDGE, NIC);
        assert_eq!(route, read_route(&default_route(NIC, None), NIC));
        // One of several hops, after a padded attribute.
        let hop = |index: u32| {
            let mut hop = vec![16, 0, 1, 0];
            if cfg!(target_endian = "big") {
                hop.swap(0, 1);
            }
            hop.extend(index.to_ne_bytes());
            hop.extend(message(&[], &[(RTA_GATEWAY, &ROUTER)]));
            hop
        };
        let several = [hop(9), hop(BRIDGE)].concat();
        let several = message(&route_head(0, 254, 0), &[(RTA_MULTIPATH, &several)]);
        let moved = read_route(&several, BRIDGE).moved(BRIDGE, NIC);
        let gateway = Some(ROUTER.to_vec());
        let hops = route_hops(&moved.parts().expect("parts"));
        assert_eq!(hops, [(9, gateway.clone()), (NIC, gateway)]);
        // A hop that was down is not made so.
        let request =
            Parts::split(&moved.request(0).expect("a request"), ROUTE_HEAD).expect("parts");
        assert_eq!(request.get(RTA_MULTIPATH).expect("hops")[2], 0);
    }

    #[test]
    fn what_is_put_back_has_no_more_time_than_it_had() {
        let entry = read_address(OWN, NIC, 600);
        let request = entry.request(400).expect("a request");
        let parts = Parts::split(&request, ADDRESS_HEAD).expect("parts");
        let times = parts.get(IFA_CACHEINFO).expect("times");
        assert_eq!((number(times, 0), number(times, 4)), (Some(0), Some(200)));
        assert_eq!(entry.request(600), None);
        let forever = read_address(OWN, NIC, FOREVER)
            .request(600)
            .expect("a request");
        let parts = Parts::split(&forever, ADDRESS_HEAD).expect("parts");
        assert_eq!(
            number(parts.get(IFA_CACHEINFO).expect("times"), 4),
            Some(FOREVER)
        );
    }

    #[test]
    fn what_is_missing() {
        let noted = [
            read_address(OWN, NIC, FOREVER),
            read_route(&default_route(NIC, Some(OWN)), NIC),
        ];
        assert_eq!(texts(&missing(&noted, &noted, 5)), [""; 0]);
        assert_eq!(
            texts(&missing(&noted, &noted[..1], 5)),
            ["default via 192.0.2.1"]
        );
        assert_eq!(
            texts(&missing(&noted, &[], 5)),
            ["192.0.2.10/24", "default via 192.0.2.1"]
        );
        // Another metric is the same route.
        let mut other = default_route(NIC, Some(OWN));
        other.extend(message(&[], &[(6, &425_u32.to_ne_bytes())]));
        let now = [noted[0].clone(), read_route(&other, NIC)];
        assert_eq!(texts(&missing(&noted, &now, 5)), [""; 0]);
    }

    #[test]
    fn another_lease_is_as_good() {
        let noted = [
            read_address(OWN, NIC, 600),
            read_route(&default_route(NIC, Some(OWN)), NIC),
        ];
        let other = [192, 0, 2, 77];
        let now = [read_address(other, NIC, 600)];
        assert_eq!(texts(&missing(&noted, &now, 5)), [""; 0]);
        let fixed = [read_address(other, NIC, FOREVER)];
        assert_eq!(texts(&missing(&noted, &fixed, 5)).len(), 2);
        assert_eq!(texts(&missing(&noted, &[], 601)), ["default via 192.0.2.1"]);
    }
}
