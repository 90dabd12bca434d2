//! Whatever a policy says, the rules of both firewalls mean the same, and mean what is explained: the
//! rules that are written are read by an interpreter of either firewall's language, and asked about
//! packets, together with what libvirt has.

mod chains;
mod iptables;
mod libvirt;
mod nftables;
mod packet;

use packet::{Connection, Seen};
use portero_fake::{random_networks, Machine, RandomNetworks, MACS};
use portero_firewall::iptables::Observed;
use portero_libvirt::Network;
use portero_model::{Family, Policy};
use portero_routed_policy::{explain, At, Decision, End, Packet, PacketPath, Protocol, Routing};
use portero_system::{Deadline, System};
use proptest::prelude::*;
use std::time::Duration;

/// Both firewalls with the rules of the same networks.
struct Firewalls {
    iptables: iptables::Iptables,
    nftables: nftables::Nftables,
    /// What was written, for whoever reads of a failure.
    text: String,
}

impl Firewalls {
    fn with(all: &RandomNetworks) -> Self {
        let rulesets = all.with_policy();
        let deadline = Deadline::after(Duration::from_secs(5));
        let mut machine = Machine::default();
        machine.use_iptables();
        let chains = ["-N LIBVIRT_FWI", "-N LIBVIRT_FWO"];
        let mut observed = Observed::default();
        observed.add(portero_firewall::iptables::Table::Filter, chains);
        for family in Family::ALL {
            let script = portero_firewall::iptables::reconcile(family, &observed, &rulesets);
            if let Some(script) = script {
                machine.commit(&script, deadline).expect("a commit");
            }
        }
        let text = machine.rules();
        let libvirt = libvirt::iptables(&all.networks);
        // The machine's jumps to libvirt's chains are as good as none: these have rules.
        let ours = text
            .lines()
            .filter(|line| !line.contains("FORWARD -j LIBVIRT_"));
        let lines = ours.chain(libvirt.iter().map(String::as_str));
        let iptables = iptables::Iptables::read(lines);
        let mut machine = Machine::default();
        machine.use_nftables();
        let observed = machine.observe_nftables(deadline).expect("tables");
        if let Some(script) = portero_firewall::nftables::reconcile(&observed, &rulesets) {
            machine.commit(&script, deadline).expect("a commit");
        }
        let of_nft = machine.rules();
        let libvirt = libvirt::nftables(&all.networks);
        let lines = of_nft.lines().chain(libvirt.iter().map(String::as_str));
        Self {
            iptables,
            nftables: nftables::Nftables::read(lines),
            text: text + &of_nft,
        }
    }
}

fn explained(all: &RandomNetworks, packet: &Packet) -> Decision {
    let policy_of = |network: &Network| -> Option<&Policy> {
        let at = all
            .networks
            .iter()
            .position(|known| known.uuid == network.uuid)?;
        all.rulesets[at].as_ref()?.policy.as_ref()
    };
    explain(packet, &all.networks, &policy_of)
}

/// Who sends a packet or gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Guest(u8),
    Outside,
    Host,
}

/// Addresses that are nobody's here.
const OUTSIDE: [(&str, &str); 5] = [
    ("192.0.2.1", "2001:db8::1"),
    ("192.0.2.200", "2001:db8:1::7"),
    ("198.51.100.9", "2001:db8:1::8"),
    ("203.0.113.5", "2001:db9::5"),
    ("10.9.0.5", "fd00:9::5"),
];

fn who() -> impl Strategy<Value = Who> {
    prop_oneof![
        4 => (1..4u8).prop_map(Who::Guest),
        2 => Just(Who::Outside),
        1 => Just(Who::Host),
    ]
}

/// An end of a packet in one of the families; one in five guests uses somebody else's address.
fn end(who: Who, family: Family, choice: u8, mac: u8) -> End {
    let (four, six) = OUTSIDE[usize::from(choice) % OUTSIDE.len()];
    let (four, six) = match who {
        Who::Guest(number) if choice % 5 != 0 => (
            format!("10.{number}.0.{}", choice % 3 + 5),
            format!("fd00:{number}::{}", choice % 3 + 5),
        ),
        Who::Host => ("203.0.113.1".to_owned(), "2001:db8:113::1".to_owned()),
        _ => (four.to_owned(), six.to_owned()),
    };
    let address = match family {
        Family::Ipv4 => four,
        Family::Ipv6 => six,
    };
    let at = match who {
        Who::Guest(number) => {
            At::Behind(format!("br-{}", ["a", "b", "c"][usize::from(number - 1)]))
        }
        Who::Outside => At::Behind("eth0".to_owned()),
        Who::Host => At::Host,
    };
    End {
        address: address.parse().expect("an address"),
        mac: (at != At::Host).then(|| match mac {
            0 | 1 => MACS[usize::from(mac)].to_owned(),
            _ => "52:54:00:00:00:99".to_owned(),
        }),
        at,
    }
}

fn protocol() -> impl Strategy<Value = Protocol> {
    use portero_model::Protocol::{Sctp, Tcp, Udp};
    let ports = prop::sample::select(&[22, 53, 80, 443, 547, 5000, 5001][..]);
    let of = prop::sample::select(&[Tcp, Udp, Sctp][..]);
    let types = prop::sample::select(&[0, 3, 8, 128, 135][..]);
    let codes = prop::sample::select(&[0, 4][..]);
    prop_oneof![
        4 => (of, ports).prop_map(|(of, port)| Protocol::Port(of, port)),
        2 => (types, codes).prop_map(|(kind, code)| Protocol::Icmp(kind, code)),
        1 => Just(Protocol::Other),
    ]
}

fn packet() -> impl Strategy<Value = Packet> {
    let family = prop::sample::select(&Family::ALL[..]);
    let choices = (any::<u8>(), any::<u8>(), 0..3u8, 0..3u8);
    (who(), who(), family, choices, protocol())
        .prop_filter("a packet that the host never sees", |(from, to, ..)| {
            from != to || matches!(from, Who::Guest(_))
        })
        .prop_map(
            |(from, to, family, (here, there, mac, other), protocol)| Packet {
                from: end(from, family, here, mac),
                to: end(to, family, there, other),
                protocol,
                path: PacketPath::Direct,
                routing: Routing::On,
            },
        )
}

/// How many packets are judged by the rules of each choice of networks.
const PACKETS: usize = 150;

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn explained_verdicts_are_those_of_both_firewalls(
        all in random_networks(),
        packets in prop::collection::vec(packet(), PACKETS),
    ) {
        let firewalls = Firewalls::with(&all);
        for packet in packets {
            let decision = explained(&all, &packet);
            let seen = Seen { packet, connection: Connection::New };
            let verdicts = [firewalls.iptables.verdict(&seen), firewalls.nftables.verdict(&seen)];
            prop_assert_eq!(
                verdicts, [decision.verdict; 2],
                "{:#?}\n{:?}\n{:#?}\n{}", seen.packet, decision.deciders, all.xml, firewalls.text
            );
        }
    }

    #[test]
    fn both_firewalls_know_the_same_connections(
        all in random_networks(),
        packets in prop::collection::vec((packet(), connection()), PACKETS),
    ) {
        let firewalls = Firewalls::with(&all);
        for (packet, connection) in packets {
            let seen = Seen { packet, connection };
            prop_assert_eq!(
                firewalls.iptables.verdict(&seen), firewalls.nftables.verdict(&seen),
                "{:#?}\n{:#?}\n{}", seen, all.xml, firewalls.text
            );
        }
    }
}

fn connection() -> impl Strategy<Value = Connection> {
    prop::sample::select(
        &[
            Connection::Reply,
            Connection::Related,
            Connection::Forwarded,
        ][..],
    )
}
