//! Reads rules in the form of `iptables -S`, as far as portero and libvirt write them. Whatever else
//! there is makes the test fail.

use crate::chains::{ask, Chains, Outcome};
use crate::packet::{Connection, Seen};
use ipnet::IpNet;
use portero_model::{Family, Verdict};
use std::net::IpAddr;
use std::str::FromStr;

/// The table `filter` of both families.
pub(crate) struct Iptables {
    tables: [(Family, Chains); 2],
}

impl Iptables {
    /// From what the fake machine shows, with libvirt's rules below those.
    pub(crate) fn read<'a>(lines: impl Iterator<Item = &'a str>) -> Self {
        let mut tables = Family::ALL.map(|family| {
            let built_in = ["INPUT", "FORWARD", "OUTPUT"];
            let chains = built_in.map(|chain| (chain.to_owned(), Vec::new()));
            (family, Chains::from(chains))
        });
        for line in lines {
            let mut words = line.splitn(5, ' ');
            let mut next = || words.next().unwrap_or_default();
            let (family, table, command) = (next(), next(), next());
            let (chain, rule) = (next().to_owned(), next().to_owned());
            if table != "filter" {
                continue;
            }
            let (_, chains) = tables
                .iter_mut()
                .find(|(known, _)| known.to_string() == family)
                .expect("a family");
            let rules = chains.entry(chain).or_default();
            match command {
                "-N" => {}
                "-A" => rules.push(rule),
                other => panic!("{other} in {line}"),
            }
        }
        Self { tables }
    }

    /// What becomes of a packet.
    pub(crate) fn verdict(&self, packet: &Seen) -> Verdict {
        let mut tables = self.tables.iter();
        let (_, chains) = tables
            .find(|(family, _)| *family == packet.family())
            .expect("a table");
        let chain = packet.hook().to_uppercase();
        ask(chains, &chain, packet, &judge).unwrap_or(Verdict::Accept)
    }
}

/// Words, of which those in quotes are one.
fn words(rule: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in rule.split('"').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

fn judge(rule: &str, packet: &Seen) -> Outcome {
    let words = words(rule);
    let mut words = words.iter().map(String::as_str);
    let mut fits = true;
    let mut is_negated = false;
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_else(|| panic!("{word} of {rule}"));
        let holds = match word {
            "!" => {
                is_negated = true;
                continue;
            }
            "-m" => {
                value();
                continue;
            }
            "--comment" | "--limit" | "--limit-burst" => {
                value();
                continue;
            }
            "-s" => net(value()).contains(&packet.source()),
            "-d" => net(value()).contains(&packet.destination()),
            "-i" => packet.arrives_by() == Some(value()),
            "-o" => packet.leaves_by() == Some(value()),
            "-p" => number(value()) == packet.protocol(),
            "--src-range" => is_between(value(), packet.source()),
            "--dst-range" => is_between(value(), packet.destination()),
            "--mac-source" => packet.mac() == Some(value()),
            "--dport" => {
                let (first, last): (u16, u16) = ends(value(), ':');
                packet
                    .port()
                    .is_some_and(|port| (first..=last).contains(&port))
            }
            "--icmp-type" | "--icmpv6-type" => is_icmp(value(), packet),
            "--ctdir" => {
                assert_eq!(value(), "REPLY");
                packet.connection == Connection::Reply
            }
            "--ctstate" => {
                let mut states = value().split(',');
                states.any(|state| match state {
                    "RELATED" => packet.connection == Connection::Related,
                    "ESTABLISHED" => packet.connection == Connection::Reply,
                    "DNAT" => packet.connection == Connection::Forwarded,
                    other => panic!("state {other} of {rule}"),
                })
            }
            "-j" if !fits => return Outcome::Next,
            "-j" => {
                return match value() {
                    "RETURN" => Outcome::Return,
                    "ACCEPT" => Outcome::Final(Verdict::Accept),
                    "DROP" => Outcome::Final(Verdict::Drop),
                    "REJECT" => Outcome::Final(Verdict::Reject),
                    "LOG" => Outcome::Next,
                    chain => Outcome::Jump(chain.to_owned()),
                }
            }
            other => panic!("{other} of {rule}"),
        };
        fits &= holds != is_negated;
        is_negated = false;
    }
    panic!("{rule} does nothing");
}

fn net(text: &str) -> IpNet {
    text.parse()
        .unwrap_or_else(|_| panic!("{text} is no network"))
}

fn number(protocol: &str) -> u8 {
    match protocol {
        "icmp" => 1,
        "tcp" => 6,
        "udp" => 17,
        "ipv6-icmp" => 58,
        "sctp" => 132,
        other => panic!("protocol {other}"),
    }
}

fn is_icmp(wanted: &str, packet: &Seen) -> bool {
    let (kind, code) = wanted.split_once('/').unwrap_or((wanted, ""));
    packet.icmp().is_some_and(|(of, with)| {
        of.to_string() == kind && (code.is_empty() || with.to_string() == code)
    })
}

fn is_between(range: &str, address: IpAddr) -> bool {
    let (first, last): (IpAddr, IpAddr) = ends(range, '-');
    (first..=last).contains(&address)
}

/// Both ends of a range; one value is both.
fn ends<T: FromStr>(range: &str, separator: char) -> (T, T) {
    let (first, last) = range.split_once(separator).unwrap_or((range, range));
    let read = |text: &str| {
        text.parse()
            .unwrap_or_else(|_| panic!("{range} is no range"))
    };
    (read(first), read(last))
}
