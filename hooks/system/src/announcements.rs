//! What the kernel announces of its own accord: whose rules have changed, and which interfaces.

use crate::netlink::{messages, Raw};
use crate::nfnetlink::{text, value, CHAIN_NAME, SUBSYSTEM, TABLE, WITHIN};
use netlink_packet_core::{parse_string, parse_u32, Emitable, NetlinkPayload, NlasIterator};
use netlink_packet_route::link::LinkHeader;
use nix::libc::{IFLA_IFNAME, IFLA_MASTER, RTM_DELLINK, RTM_NEWLINK};
use portero_firewall::BANS_TABLE;
use portero_model::NftSet;
use std::collections::BTreeSet;

/// `NFT_MSG_NEWGEN` of linux/netfilter/nf_tables.h: somebody has changed something, which is told before.
const NEW_GENERATION: u8 = 15;
/// `NFT_MSG_NEWCHAIN` and `NFT_MSG_DELCHAIN`: the name of what has changed is another attribute there.
const CHAINS: [u8; 2] = [3, 5];
/// `NFT_MSG_NEWTABLE` and `NFT_MSG_DELTABLE`.
const TABLES: [u8; 2] = [0, 2];
/// `NFT_MSG_NEWSET`, `NFT_MSG_DELSET`, and the same of elements.
const SETS: [u8; 4] = [9, 11, 12, 14];

/// Whether any of what the kernel announces of nftables at once may concern portero's rules
/// ([`portero_firewall::concerns`]). What cannot be understood does.
#[must_use]
pub fn rules_concern(datagram: &[u8]) -> bool {
    let mut messages = messages::<Raw>(datagram);
    messages.any(|message| {
        let Ok(NetlinkPayload::InnerMessage(message)) = message.map(|message| message.payload)
        else {
            return true;
        };
        let [subsystem, kind] = message.kind.to_be_bytes();
        if subsystem != SUBSYSTEM || kind == NEW_GENERATION {
            return false;
        }
        let value = |wanted| value(&message, wanted).map(text);
        let name = match kind {
            kind if TABLES.contains(&kind) => None,
            kind if CHAINS.contains(&kind) => value(CHAIN_NAME),
            _ => value(WITHIN),
        };
        let table = value(TABLE);
        table.is_none_or(|table| portero_firewall::concerns(&table, name.as_deref()))
    })
}

/// Whether any of it is about a set of these, a table of one, or portero's table that mirrors them. What cannot be understood
/// is.
#[must_use]
pub fn sets_concern(datagram: &[u8], sets: &BTreeSet<NftSet>) -> bool {
    let mut messages = messages::<Raw>(datagram);
    !sets.is_empty()
        && messages.any(|message| {
            let Ok(NetlinkPayload::InnerMessage(message)) = message.map(|message| message.payload)
            else {
                return true;
            };
            let [subsystem, kind] = message.kind.to_be_bytes();
            let is_table = TABLES.contains(&kind);
            if subsystem != SUBSYSTEM || !(is_table || SETS.contains(&kind)) {
                return false;
            }
            let value = |wanted| value(&message, wanted).map(text);
            let (table, name) = (value(TABLE), value(WITHIN));
            if table.as_deref() == Some(BANS_TABLE) {
                return true;
            }
            let mut sets = sets.iter();
            sets.any(|set| {
                table.as_ref() == Some(&set.table) && (is_table || name.as_ref() == Some(&set.name))
            })
        })
}

/// An interface that came, changed or went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangedLink {
    /// Its name.
    pub name: String,
    /// The index of the bridge that it is in, or has just left.
    pub controller: Option<u32>,
}

/// The interfaces that the kernel announces at once; nothing when that cannot be understood.
#[must_use]
pub fn changed_links(datagram: &[u8]) -> Option<Vec<ChangedLink>> {
    let mut changed = Vec::new();
    let header = LinkHeader::default().buffer_len();
    for message in messages::<Raw>(datagram) {
        let link = match message.ok()?.payload {
            NetlinkPayload::InnerMessage(link)
                if [RTM_NEWLINK, RTM_DELLINK].contains(&link.kind) =>
            {
                link.payload
            }
            _ => continue,
        };
        let mut one = ChangedLink::default();
        // There are many more, which take longer to read and may be of a newer kernel.
        for attribute in NlasIterator::new(link.get(header..)?) {
            let attribute = attribute.ok()?;
            match attribute.kind() {
                IFLA_IFNAME => one.name = parse_string(attribute.value()).ok()?,
                IFLA_MASTER => one.controller = Some(parse_u32(attribute.value()).ok()?),
                _ => {}
            }
        }
        changed.push(one);
    }
    Some(changed)
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::*;
    use crate::nfnetlink::{message, names, TableFamily};
    use netlink_packet_core::{DefaultNla, NetlinkHeader, NetlinkMessage, NetlinkSerializable};
    use netlink_packet_route::link::{LinkAttribute, LinkMessage};
    use netlink_packet_route::RouteNetlinkMessage;

    /// A datagram with a message of nf_tables.
    fn datagram(kind: u8, attributes: &[(u16, &str)]) -> Vec<u8> {
        let kind = u16::from_be_bytes([SUBSYSTEM, kind]);
        bytes(message(kind, TableFamily::Inet, &names(attributes)))
    }

    fn bytes<M: NetlinkSerializable>(message: M) -> Vec<u8> {
        let inner = NetlinkPayload::InnerMessage(message);
        let mut message = NetlinkMessage::new(NetlinkHeader::default(), inner);
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn a_change_is_told_by_its_table_and_chain() {
        const NEW_RULE: u8 = 6;
        const NEW_ELEMENTS: u8 = 12;
        let foreign = datagram(NEW_ELEMENTS, &[(TABLE, "f2b"), (WITHIN, "banned")]);
        let generation = datagram(NEW_GENERATION, &[]);
        assert!(!rules_concern(&foreign) && !rules_concern(&generation));
        let own = datagram(NEW_ELEMENTS, &[(TABLE, "portero"), (WITHIN, "v4")]);
        assert!(rules_concern(&own));
        assert!(rules_concern(&[foreign.clone(), own, generation].concat()));
        let chain = |name| datagram(CHAINS[0], &[(TABLE, "filter"), (CHAIN_NAME, name)]);
        assert!(rules_concern(&chain("LIBVIRT_FWI")) && !rules_concern(&chain("DOCKER")));
        let rule = |name| datagram(NEW_RULE, &[(TABLE, "filter"), (WITHIN, name)]);
        assert!(rules_concern(&rule("FORWARD")) && !rules_concern(&rule("DOCKER")));
        assert!(rules_concern(&datagram(TABLES[1], &[(TABLE, "nat")])));
        // What is cut off may be anything.
        assert!(rules_concern(&foreign[..foreign.len() - 8]));
        assert!(!rules_concern(&[]));
    }

    #[test]
    fn a_set_is_told_by_its_table_and_name() {
        let sets: BTreeSet<NftSet> = ["inet f2b banned".parse().expect("a set")].into();
        let of = |kind, attributes: &[(u16, &str)]| {
            let found = datagram(kind, attributes);
            (
                sets_concern(&found, &sets),
                sets_concern(&found, &BTreeSet::new()),
            )
        };
        let banned = [(TABLE, "f2b"), (WITHIN, "banned")];
        for kind in SETS {
            assert_eq!(of(kind, &banned), (true, false));
            assert_eq!(
                of(kind, &[(TABLE, "f2b"), (WITHIN, "other")]),
                (false, false)
            );
            assert_eq!(
                of(kind, &[(TABLE, "x"), (WITHIN, "banned")]),
                (false, false)
            );
        }
        assert_eq!(of(TABLES[1], &[(TABLE, "f2b")]), (true, false));
        assert_eq!(of(TABLES[1], &[(TABLE, BANS_TABLE)]), (true, false));
        const NEW_RULE: u8 = 6;
        assert_eq!(
            of(NEW_RULE, &banned),
            (false, false),
            "a chain of that name"
        );
    }

    #[test]
    fn a_link_is_told_by_its_name_and_bridge() {
        let mut link = LinkMessage::default();
        link.attributes = vec![
            LinkAttribute::IfName("vnet3".to_owned()),
            LinkAttribute::Controller(7),
        ];
        let new = bytes(RouteNetlinkMessage::NewLink(link.clone()));
        let gone = bytes(RouteNetlinkMessage::DelLink(link));
        let expected = ChangedLink {
            name: "vnet3".to_owned(),
            controller: Some(7),
        };
        let found = changed_links(&[new.clone(), gone].concat()).expect("links");
        assert_eq!(found, [expected.clone(), expected.clone()]);
        assert_eq!(changed_links(&new[..new.len() - 8]), None);
        // A link of which the kernel says more.
        let link = |attributes: &[DefaultNla]| {
            let mut payload = vec![0; LinkHeader::default().buffer_len() + attributes.buffer_len()];
            let header = payload.len() - attributes.buffer_len();
            attributes.emit(&mut payload[header..]);
            let kind = RTM_NEWLINK;
            changed_links(&bytes(Raw { kind, payload }))
        };
        let name = DefaultNla::new(IFLA_IFNAME, b"vnet3\0".to_vec());
        let bridge = |value: &[u8]| DefaultNla::new(IFLA_MASTER, value.to_vec());
        // `IFLA_MTU`, which has four bytes, and one of a kernel to come.
        let others = [
            DefaultNla::new(4, vec![1]),
            DefaultNla::new(999, vec![2; 7]),
        ];
        let [mtu, unknown] = others;
        let known = [mtu, name.clone(), unknown, bridge(&7_u32.to_ne_bytes())];
        assert_eq!(link(&known), Some(vec![expected]));
        assert_eq!(link(&[name, bridge(&[7])]), None);
        assert_eq!(
            changed_links(&bytes(Raw {
                kind: RTM_NEWLINK,
                payload: vec![0; 8]
            })),
            None
        );
        assert_eq!(
            changed_links(&bytes(Raw {
                kind: 20,
                payload: Vec::new()
            })),
            Some(Vec::new())
        );
    }
}
