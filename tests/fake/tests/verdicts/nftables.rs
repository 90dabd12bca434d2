//! Reads rules in the form of `nft list`, as far as portero and libvirt write them. Whatever else there
//! is makes the test fail.

use crate::chains::{ask, Chains, Outcome};
use crate::packet::{Connection, Seen};
use ipnet::IpNet;
use portero_model::{Family, Verdict};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A table: its chains, and the elements of its sets and maps.
#[derive(Default)]
struct Table {
    chains: Chains,
    sets: BTreeMap<String, Vec<(String, String)>>,
}

/// All tables by family and name.
pub(crate) struct Nftables {
    tables: BTreeMap<String, Table>,
}

impl Nftables {
    /// From what the fake machine shows, with libvirt's rules below those.
    pub(crate) fn read<'a>(lines: impl Iterator<Item = &'a str>) -> Self {
        let mut tables: BTreeMap<String, Table> = BTreeMap::new();
        for line in lines {
            let mut words = line.splitn(4, ' ');
            let mut next = || words.next().unwrap_or_default();
            let (family, name) = (next(), next());
            let table = tables.entry(format!("{family} {name}")).or_default();
            let (what, rest) = (next().to_owned(), next());
            match rest.strip_prefix("{ ") {
                Some(element) => {
                    let element = element.trim_end_matches(" }");
                    let (key, data) = element.split_once(" : ").unwrap_or((element, ""));
                    let set = table.sets.entry(what).or_default();
                    set.push((key.to_owned(), data.to_owned()));
                }
                None => table.chains.entry(what).or_default().push(rest.to_owned()),
            }
        }
        Self { tables }
    }

    /// What becomes of a packet: portero's table of policies is asked first, then libvirt's.
    pub(crate) fn verdict(&self, packet: &Seen) -> Verdict {
        let libvirt = match packet.family() {
            Family::Ipv4 => "ip libvirt_network",
            Family::Ipv6 => "ip6 libvirt_network",
        };
        for name in ["inet portero_policy", libvirt] {
            let Some(table) = self.tables.get(name) else {
                continue;
            };
            if !table.chains.contains_key(packet.hook()) {
                continue;
            }
            let judge = |rule: &str, packet: &Seen| judge(rule, packet, table);
            let verdict = ask(&table.chains, packet.hook(), packet, &judge);
            if let Some(verdict @ (Verdict::Drop | Verdict::Reject)) = verdict {
                return verdict;
            }
        }
        Verdict::Accept
    }
}

/// The words of a rule before its comment; those in quotes are one.
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

/// One rule, word by word.
struct Reader<'a> {
    rule: &'a str,
    words: Vec<String>,
    at: usize,
    table: &'a Table,
}

impl Reader<'_> {
    fn peek(&self) -> &str {
        self.words.get(self.at).map_or("", String::as_str)
    }

    fn next(&mut self) -> String {
        let word = self.peek().to_owned();
        self.at += 1;
        word
    }

    fn fail(&self, word: &str) -> ! {
        panic!("{word} of {}", self.rule)
    }

    /// `VALUE`, `{ VALUE, VALUE }` or `@SET`, negated by `!=`: whether one of them fits.
    fn one_of(&mut self, fits: impl Fn(&str) -> bool) -> bool {
        let is_negated = self.peek() == "!=";
        if is_negated {
            self.next();
        }
        let word = self.next();
        let found = if word == "{" {
            let mut any = false;
            loop {
                let value = self.next();
                if value == "}" {
                    break any;
                }
                any |= fits(value.trim_end_matches(','));
            }
        } else if let Some(set) = word.strip_prefix('@') {
            self.table.elements(set).any(|(key, _)| fits(key))
        } else {
            fits(&word)
        };
        found != is_negated
    }
}

impl Table {
    fn elements(&self, set: &str) -> impl Iterator<Item = &(String, String)> {
        self.sets.get(set).into_iter().flatten()
    }
}

fn judge(rule: &str, packet: &Seen, table: &Table) -> Outcome {
    let mut reader = Reader {
        rule,
        words: words(rule),
        at: 0,
        table,
    };
    let mut fits = true;
    loop {
        let word = reader.next();
        // A match of one family or protocol asks for that first, whatever it says of it.
        let holds = match word.as_str() {
            "" | "comment" => return Outcome::Next,
            "counter" => true,
            "limit" => {
                // rate N/UNIT burst 5 packets
                reader.at += 5;
                true
            }
            "log" => {
                // prefix TEXT
                reader.at += 2;
                true
            }
            "ct" => connection(&mut reader, packet),
            "iif" | "iifname" | "oif" | "oifname" => match interfaces(&word, &mut reader, packet) {
                Asked::Holds(holds) => holds,
                Asked::Leads(outcome) if fits => return outcome,
                Asked::Leads(_) => return Outcome::Next,
            },
            "ip" | "ip6" => {
                let family = if word == "ip" {
                    Family::Ipv4
                } else {
                    Family::Ipv6
                };
                let address = match reader.next().as_str() {
                    "saddr" => packet.source(),
                    "daddr" => packet.destination(),
                    other => reader.fail(other),
                };
                if reader.peek() == "vmap" {
                    reader.fail("a map of addresses at this hook");
                }
                reader.one_of(|net| is_in(address, net)) && packet.family() == family
            }
            "ether" => {
                assert_eq!(reader.next(), "saddr");
                let is_it = reader.one_of(|mac| packet.mac() == Some(mac));
                is_it && packet.mac().is_some()
            }
            "meta" => match reader.next().as_str() {
                "nfproto" => {
                    let of = match packet.family() {
                        Family::Ipv4 => "ipv4",
                        Family::Ipv6 => "ipv6",
                    };
                    reader.one_of(|family| family == of)
                }
                "l4proto" => {
                    let number = packet.protocol().to_string();
                    reader.one_of(|protocol| protocol == number)
                }
                other => reader.fail(other),
            },
            "tcp" | "udp" | "sctp" => {
                assert_eq!(reader.next(), "dport");
                let number = [("tcp", 6), ("udp", 17), ("sctp", 132)]
                    .into_iter()
                    .find(|(name, _)| *name == word)
                    .map(|(_, number)| number);
                let port = packet.port();
                let is_it = reader.one_of(|range| port.is_some_and(|port| is_port(port, range)));
                is_it && Some(packet.protocol()) == number
            }
            "icmp" | "icmpv6" => {
                let number = if word == "icmp" { 1 } else { 58 };
                let field = reader.next();
                let found = packet.icmp().map(|(kind, code)| match field.as_str() {
                    "type" => kind.to_string(),
                    "code" => code.to_string(),
                    other => reader.fail(other),
                });
                let is_it = reader.one_of(|value| found.as_deref() == Some(value));
                is_it && packet.protocol() == number
            }
            _ if !fits => return Outcome::Next,
            "return" => return Outcome::Return,
            "accept" => return Outcome::Final(Verdict::Accept),
            "drop" => return Outcome::Final(Verdict::Drop),
            "reject" => return Outcome::Final(Verdict::Reject),
            "jump" => return Outcome::Jump(reader.next()),
            "goto" => return Outcome::Goto(reader.next()),
            other => reader.fail(other),
        };
        fits &= holds;
    }
}

fn connection(reader: &mut Reader<'_>, packet: &Seen) -> bool {
    match reader.next().as_str() {
        "direction" => {
            assert_eq!(reader.next(), "reply");
            packet.connection == Connection::Reply
        }
        "state" => {
            let states = reader.next();
            states.split(',').any(|state| match state {
                "related" => packet.connection == Connection::Related,
                "established" => packet.connection == Connection::Reply,
                other => reader.fail(other),
            })
        }
        "status" => {
            assert_eq!(reader.next(), "dnat");
            packet.connection == Connection::Forwarded
        }
        // The connections of forwards, of which there are none here.
        "reply" | "original" => {
            while !reader.peek().starts_with('@') {
                reader.next();
            }
            let set = reader.next();
            let set = set.trim_start_matches('@').to_owned();
            assert_eq!(reader.table.elements(&set).count(), 0);
            false
        }
        other => reader.fail(other),
    }
}

enum Asked {
    Holds(bool),
    Leads(Outcome),
}

/// `iifname NAME`, `iifname @SET`, `iifname . oifname @SET`, `iifname vmap @MAP`.
fn interfaces(word: &str, reader: &mut Reader<'_>, packet: &Seen) -> Asked {
    let side = |word: &str| match word {
        "iif" | "iifname" => packet.arrives_by(),
        "oif" | "oifname" => packet.leaves_by(),
        other => panic!("{other}"),
    };
    let quoted = |name: Option<&str>| format!("\"{}\"", name.unwrap_or_default());
    let mut key = quoted(side(word));
    while reader.peek() == "." {
        reader.next();
        key += &format!(" . {}", quoted(side(&reader.next())));
    }
    if reader.peek() == "vmap" {
        reader.next();
        let map = reader.next();
        let mut elements = reader.table.elements(map.trim_start_matches('@'));
        let found = elements.find(|(known, _)| *known == key);
        let chain = found.map(|(_, verdict)| verdict.trim_start_matches("jump ").to_owned());
        return Asked::Leads(chain.map_or(Outcome::Next, Outcome::Jump));
    }
    // Names of elements have their quotes; those of words have lost them.
    Asked::Holds(
        reader.one_of(|name| name.trim_matches('"') == key.trim_matches('"') || name == key),
    )
}

fn is_in(address: IpAddr, net: &str) -> bool {
    match net.parse::<IpNet>() {
        Ok(net) => net.contains(&address),
        Err(_) => net.parse() == Ok(address),
    }
}

fn is_port(port: u16, range: &str) -> bool {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let end = |text: &str| text.parse::<u16>().expect("a port");
    (end(first)..=end(last)).contains(&port)
}
