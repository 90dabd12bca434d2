//! Reads what iptables-save lists, and walks a packet through the built-in chains of a hook.

use crate::flow::{Dev, Hook, Leg, Packet, Traffic, TCP_FLAGS};
use crate::kept::Kept;
use crate::libvirt::LibvirtRule;
use crate::verdict::{Acceptance, BaseChain, RuleOwner, Stop};
use crate::walk::{is_interface, Certainty, ChainEnd, Doubts, Walked, DEPTH};
use ipnet::IpNet;
use portero_model::{Family, PortRange, ToHost};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Tables with their priorities at every hook but those of `nat`, in the order in which they are asked
/// (`enum nf_ip_hook_priorities`).
const TABLES: [(&str, i64); 5] = [
    ("raw", -300),
    ("mangle", -150),
    ("nat", -100),
    ("filter", 0),
    ("security", 50),
];

/// How the names of portero's chains begin.
const PORTERO: &str = "PORTERO-";

/// Targets that stop a packet, or may.
const STOPS: [&str; 8] = [
    "DROP", "REJECT", "NFQUEUE", "QUEUE", "TPROXY", "SYNPROXY", "CT", "NOTRACK",
];

/// Targets after which a packet goes on as it would have.
const HARMLESS: [&str; 27] = [
    "ACCOUNT",
    "AUDIT",
    "CHECKSUM",
    "CLASSIFY",
    "CONNMARK",
    "CONNSECMARK",
    "CT",
    "DNPT",
    "DSCP",
    "ECN",
    "HL",
    "HMARK",
    "IDLETIMER",
    "LED",
    "LOG",
    "MARK",
    "NFLOG",
    "NOTRACK",
    "RATEEST",
    "SECMARK",
    "SET",
    "SNPT",
    "TCPMSS",
    "TCPOPTSTRIP",
    "TEE",
    "TOS",
    "TTL",
];

/// Whose rules `iptables-save` has listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Iptables {
    /// The program that changes them: `iptables`, `ip6tables-legacy`.
    pub program: String,
    /// Of which family.
    pub family: Family,
    /// Whether nftables has them (iptables-nft), so that nft lists them too.
    pub is_in_nftables: bool,
}

/// All tables that one program has rules in.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) of: Iptables,
    tables: BTreeMap<String, Table>,
}

/// Chains with their rules, each as its words.
#[derive(Debug, Default)]
struct Table {
    policies: BTreeMap<String, String>,
    rules: BTreeMap<String, Vec<Vec<String>>>,
}

impl Table {
    /// Whether a built-in chain jumps to another.
    fn is_asked(&self, chain: &str) -> bool {
        let is_built_in =
            |name: &&String| self.policies.get(*name).is_some_and(|policy| policy != "-");
        let built_in = self.rules.keys().filter(is_built_in);
        let mut rules = built_in.flat_map(|name| &self.rules[name]);
        rules.any(|words| target(words).is_some_and(|(_, target)| target == chain))
    }

    fn has_portero(&self) -> bool {
        let mut chains = self.policies.keys();
        chains.any(|chain| chain.starts_with(PORTERO))
    }
}

impl Listing {
    pub(crate) fn read(of: Iptables, text: &str, kept: Kept) -> Self {
        let is_kept = |rule: &&str| {
            kept == Kept::All || !rule.starts_with(PORTERO) && rule.contains(" DNAT ")
        };
        let mut tables: BTreeMap<String, Table> = BTreeMap::new();
        let mut name = "filter";
        for line in text.lines() {
            if let Some(table) = line.strip_prefix('*') {
                name = table;
            }
            let table = tables.entry(name.to_owned()).or_default();
            if let Some(chain) = line.strip_prefix(':') {
                let mut words = chain.split(' ').map(str::to_owned);
                let (name, policy) = (words.next(), words.next());
                let policy = policy.unwrap_or_default();
                table.policies.insert(name.unwrap_or_default(), policy);
            } else if let Some(rule) = line.strip_prefix("-A ").filter(is_kept) {
                // What is quoted in another way than a shell's is not known to anybody here.
                let mut words = shlex::split(rule).unwrap_or_default();
                if !words.is_empty() {
                    let chain = words.remove(0);
                    table.rules.entry(chain).or_default().push(words);
                }
            }
        }
        Self { of, tables }
    }

    /// What the built-in chains of a hook make of a packet, each with its priority.
    pub(crate) fn walk<'p>(
        &self,
        hook: Hook,
        packet: &dyn Fn(i64) -> Packet<'p>,
    ) -> Vec<(i64, Walked)> {
        let built_in = hook.name().to_uppercase();
        let mut walks = Vec::new();
        for (name, priority) in TABLES {
            let Some(table) = self.tables.get(name) else {
                continue;
            };
            let packet = packet(priority);
            // `nat` is asked once for a connection, by whatever changes its addresses first: before portero's chain only
            // where that is in iptables too.
            let is_asked = name != "nat"
                || packet.leg == Leg::There && (!packet.is_translated_here || table.has_portero());
            if !table.policies.contains_key(&built_in) || !is_asked {
                continue;
            }
            let mut walk = Walk {
                listing: self,
                name,
                table,
                packet: &packet,
                doubts: Doubts::default(),
            };
            let end = walk.chain(&built_in, Certainty::Sure, 0);
            let policy = walk.policy(&built_in);
            walks.push((priority, walk.doubts.walked(end, policy)));
        }
        walks
    }

    /// Whether libvirt has this rule there (src/network/network_iptables.c).
    pub(crate) fn has_of_libvirt(&self, rule: LibvirtRule<'_>) -> bool {
        let (table, chain, option, value, targets) = match rule {
            LibvirtRule::RejectTo(bridge) => (
                "filter",
                "LIBVIRT_FWI",
                "-o",
                bridge.to_owned(),
                ["REJECT"; 2],
            ),
            LibvirtRule::RejectFrom(bridge) => (
                "filter",
                "LIBVIRT_FWO",
                "-i",
                bridge.to_owned(),
                ["REJECT"; 2],
            ),
            LibvirtRule::Masquerade(net) => (
                "nat",
                "LIBVIRT_PRT",
                "-s",
                net.trunc().to_string(),
                ["MASQUERADE", "SNAT"],
            ),
        };
        let rules = self
            .tables
            .get(table)
            .filter(|table| table.is_asked(chain))
            .and_then(|table| table.rules.get(chain));
        rules.into_iter().flatten().any(|words| {
            let mut pairs = words.windows(2);
            let is_of = pairs.any(|pair| pair[0] == option && pair[1] == value);
            is_of && target(words).is_some_and(|(_, target)| targets.contains(&target))
        })
    }

    /// The rule, not portero's, that sends a port of the host to somebody behind it.
    pub(crate) fn publishes(&self, packet: &ToHost<'_>) -> Option<Acceptance> {
        let chains = self
            .tables
            .get("nat")
            .into_iter()
            .flat_map(|table| &table.rules);
        let mut rules =
            chains.flat_map(|(chain, rules)| rules.iter().map(move |words| (chain, words)));
        let (chain, words) = rules.find(|(chain, words)| {
            self.owner(chain) != RuleOwner::Portero && is_dnat_of(words, packet)
        })?;
        Some(Acceptance {
            // Whether docker leaves a chain to the administrator says nothing here.
            by: match chain.as_str() {
                "DOCKER" => RuleOwner::Docker,
                chain => self.owner(chain),
            },
            rule: format!("{}: -A {chain} {}", self.of.program, words.join(" ")),
        })
    }

    /// Whether a table has this chain.
    pub(crate) fn has_chain(&self, table: &str, chain: &str) -> bool {
        let table = self.tables.get(table);
        table.is_some_and(|table| table.policies.contains_key(chain))
    }

    /// Whether anybody but libvirt and portero has a rule, or the policy of a chain, that stops packets.
    pub(crate) fn has_stops_of_others(&self) -> bool {
        let is_others =
            |chain: &str| !matches!(self.owner(chain), RuleOwner::Libvirt | RuleOwner::Portero);
        self.tables.values().any(|table| {
            let mut chains = table.rules.iter().filter(|(chain, _)| is_others(chain));
            table.policies.values().any(|policy| policy == "DROP")
                || chains.any(|(_, rules)| {
                    rules.iter().any(|words| {
                        target(words).is_some_and(|(_, target)| STOPS.contains(&target))
                    })
                })
        })
    }

    fn has(&self, start: &str) -> bool {
        let mut tables = self.tables.values();
        tables.any(|table| table.policies.keys().any(|chain| chain.starts_with(start)))
    }

    /// Whose a chain is. Of docker's there is one for the administrator since 17.06.
    fn owner(&self, chain: &str) -> RuleOwner {
        match chain {
            chain if chain.starts_with("LIBVIRT_") => RuleOwner::Libvirt,
            chain if chain.starts_with("PORTERO-") || chain == "PORTERO_DOCKER" => {
                RuleOwner::Portero
            }
            chain if chain.starts_with("ufw") => RuleOwner::Ufw,
            chain if chain.starts_with("DOCKER") && self.has("DOCKER-USER") => RuleOwner::Docker,
            _ => RuleOwner::Other,
        }
    }

    /// Who has set the policy of a built-in chain to DROP.
    fn owner_of_policy(&self, chain: &str) -> RuleOwner {
        match (self.has("ufw"), self.has("DOCKER-USER")) {
            (true, _) => RuleOwner::Ufw,
            (false, true) if chain == "FORWARD" => RuleOwner::Docker,
            _ => RuleOwner::Other,
        }
    }
}

struct Walk<'a> {
    listing: &'a Listing,
    name: &'a str,
    table: &'a Table,
    packet: &'a Packet<'a>,
    doubts: Doubts,
}

impl Walk<'_> {
    fn base(&self) -> BaseChain {
        BaseChain::Iptables {
            program: self.listing.of.program.clone(),
            table: self.name.to_owned(),
            hook: self.packet.hook,
        }
    }

    fn policy(&self, chain: &str) -> Option<Stop> {
        let policy = self.table.policies.get(chain)?;
        (policy == "DROP").then(|| Stop {
            by: self.listing.owner_of_policy(chain),
            verdict: "drop",
            rule: format!("the policy of chain {chain}, DROP"),
            base: self.base(),
        })
    }

    fn chain(&mut self, name: &str, certainty: Certainty, depth: usize) -> Option<ChainEnd> {
        let table = self.table;
        let rules = table.rules.get(name).filter(|_| depth < DEPTH)?;
        for words in rules {
            let certainty = match fits(words, self.packet) {
                Some(false) => continue,
                Some(true) => certainty,
                None => Certainty::Maybe,
            };
            let Some((option, target)) = target(words) else {
                continue;
            };
            let end = match target {
                chain if self.is_translated(chain) => self.accept(name, words, Certainty::Sure),
                // Nobody after it is asked, portero neither.
                "ACCEPT" if self.is_before_portero() => {
                    let stop = self.stop(name, "no DNAT", words);
                    self.doubts.meet(ChainEnd::Stop(stop), certainty)
                }
                // As strongSwan's: what is meant to be encrypted keeps its source.
                "ACCEPT" if self.is_before_masquerade(name) => {
                    let stop = self.stop(name, "no masquerade", words);
                    self.doubts.meet(ChainEnd::Stop(stop), certainty)
                }
                "DNAT" | "REDIRECT" | "NETMAP" if self.packet.hook != Hook::Postrouting => {
                    self.redirect(name, words, certainty)
                }
                // What changes addresses asks nobody after it.
                "ACCEPT" | "DNAT" | "SNAT" | "MASQUERADE" | "NETMAP" => {
                    self.accept(name, words, certainty)
                }
                "RETURN" => self.doubts.meet(ChainEnd::Return, certainty),
                // A program decides, or the packet goes to one of the host.
                "NFQUEUE" | "QUEUE" | "SYNPROXY" | "TPROXY" => {
                    let verdict = if target.ends_with("QUEUE") {
                        "queue"
                    } else {
                        "redirect"
                    };
                    let stop = self.stop(name, verdict, words);
                    self.doubts.meet(ChainEnd::Stop(stop), Certainty::Maybe);
                    self.accept(name, words, certainty)
                }
                "NOTRACK" | "CT" if has(words, &["--notrack", "NOTRACK"]) => {
                    self.doubts.may_be_untracked = true;
                    // No address of it is changed.
                    match self.packet.needs_nat {
                        true => {
                            let stop = self.stop(name, "notrack", words);
                            self.doubts.meet(ChainEnd::Stop(stop), certainty)
                        }
                        false => None,
                    }
                }
                "CT" if has(words, &["--zone", "--zone-orig", "--zone-reply"]) => {
                    self.doubts.may_be_untracked = true;
                    if self.packet.needs_nat {
                        let stop = self.stop(name, "zone", words);
                        self.doubts.meet(ChainEnd::Stop(stop), Certainty::Maybe);
                    }
                    None
                }
                // What portero drops of a forward pretends to come from the guest's subnet: nobody who is not known does.
                "DROP"
                    if name.starts_with("PORTERO-FW-") && matches!(certainty, Certainty::Maybe) =>
                {
                    None
                }
                "DROP" | "REJECT" => {
                    let verdict = if target == "DROP" { "drop" } else { "reject" };
                    let stop = self.stop(name, verdict, words);
                    self.doubts.meet(ChainEnd::Stop(stop), certainty)
                }
                chain if table.policies.contains_key(chain) => {
                    match self.chain(chain, certainty, depth + 1) {
                        Some(ChainEnd::Return) | None if option == "-j" => None,
                        Some(ChainEnd::Return) | None => {
                            self.doubts.meet(ChainEnd::Return, certainty)
                        }
                        end => end,
                    }
                }
                target if HARMLESS.contains(&target) => None,
                // TARPIT and the like.
                _ => {
                    let stop = self.stop(name, "stop", words);
                    self.doubts.meet(ChainEnd::Stop(stop), Certainty::Maybe)
                }
            };
            if end.is_some() {
                return end;
            }
        }
        None
    }

    fn accept(&mut self, chain: &str, words: &[String], certainty: Certainty) -> Option<ChainEnd> {
        // docker before 28 has one in the built-in chain for each of its networks: `-i NAME ! -o NAME`.
        let is_of_network = matches!(words, [i, from, not, o, to, ..] if i == "-i" && not == "!" && o == "-o" && from == to);
        let by = match self.listing.owner(chain) {
            RuleOwner::Other if is_of_network && self.listing.has("DOCKER-USER") => {
                RuleOwner::Docker
            }
            owner => owner,
        };
        let acceptance = Acceptance {
            by,
            rule: format!(
                "{}: -A {chain} {}",
                self.listing.of.program,
                words.join(" ")
            ),
        };
        self.doubts.meet(ChainEnd::Accept(acceptance), certainty)
    }

    /// Whether a chain is portero's, which translates the packet here.
    fn is_translated(&self, chain: &str) -> bool {
        self.name == "nat" && self.packet.is_translated_here && chain.starts_with(PORTERO)
    }

    /// Whether a rule of another than portero and libvirt keeps the packet from what gives it the host's address.
    fn is_before_masquerade(&self, chain: &str) -> bool {
        let is_dnat = self.packet.tracked.is_some_and(|tracked| tracked.is_dnat);
        let is_other = !matches!(
            self.listing.owner(chain),
            RuleOwner::Libvirt | RuleOwner::Portero
        );
        self.name == "nat"
            && self.packet.hook == Hook::Postrouting
            && self.packet.needs_nat
            && !is_dnat
            && is_other
    }

    fn is_before_portero(&self) -> bool {
        self.name == "nat" && self.packet.is_translated_here
    }

    /// Somebody else sends the packet elsewhere: what portero would translate does not arrive, and who gets another is not
    /// known.
    fn redirect(
        &mut self,
        chain: &str,
        words: &[String],
        certainty: Certainty,
    ) -> Option<ChainEnd> {
        // What portero itself translates is asked about where it arrives.
        if self.listing.owner(chain) == RuleOwner::Portero {
            return self.accept(chain, words, certainty);
        }
        let stop = ChainEnd::Stop(self.stop(chain, "redirect", words));
        if self.packet.is_translated_here {
            return self.doubts.meet(stop, certainty);
        }
        self.doubts.meet(stop, Certainty::Maybe);
        self.accept(chain, words, certainty)
    }

    fn stop(&self, chain: &str, verdict: &'static str, words: &[String]) -> Stop {
        Stop {
            by: self.listing.owner(chain),
            verdict,
            rule: format!("-A {chain} {}", words.join(" ")),
            base: self.base(),
        }
    }
}

fn has(words: &[String], some: &[&str]) -> bool {
    words.iter().any(|word| some.contains(&word.as_str()))
}

/// Whether a rule sends what comes to the port elsewhere.
fn is_dnat_of(words: &[String], packet: &ToHost<'_>) -> bool {
    let value = |name: &str| {
        let at = words.iter().position(|word| word == name)?;
        (at == 0 || words[at - 1] != "!").then(|| words.get(at + 1))?
    };
    let is_to_address = match (value("-d"), packet.address) {
        (Some(of), Some(address)) => net(Some(address), of) == Some(true),
        _ => true,
    };
    target(words).is_some_and(|(_, target)| target == "DNAT")
        && value("-p").is_some_and(|of| of == packet.protocol.name())
        && value("--dport").is_some_and(|of| ports(Some(packet.port), of) == Some(true))
        && is_to_address
}

fn target(words: &[String]) -> Option<(&str, &str)> {
    let mut pairs = words.windows(2);
    let pair = pairs.find(|pair| pair[0] == "-j" || pair[0] == "-g")?;
    Some((&pair[0], &pair[1]))
}

/// Whether a rule fits; nothing when that cannot be told.
fn fits(words: &[String], packet: &Packet<'_>) -> Option<bool> {
    let tracked = packet.tracked.as_ref().filter(|_| !packet.may_be_untracked);
    let mut all = Some(true);
    let mut words = words.iter().map(String::as_str).peekable();
    let mut negated = false;
    while let Some(word) = words.next() {
        if word == "!" {
            negated = true;
            continue;
        }
        let fit = match word {
            // What follows is about the target.
            "-j" | "-g" => break,
            "-m" if words.peek() == Some(&"rpfilter") => {
                words.next();
                let mut is_inverted = false;
                while let Some(option) = words.next_if(|word| word.starts_with("--")) {
                    is_inverted |= option == "--invert";
                }
                packet
                    .is_way_back
                    .map(|is_way_back| is_way_back != is_inverted)
            }
            "-m" | "--comment" => {
                words.next();
                continue;
            }
            "-i" => interface(packet.in_dev, words.next()?),
            "-o" => interface(packet.out_dev, words.next()?),
            "-s" => net(packet.source, words.next()?),
            "-d" => net(packet.destination, words.next()?),
            "-p" => protocol(packet, words.next()?),
            "--dport" | "--dports" => ports(packet.ports().1, words.next()?),
            "--sport" | "--sports" => ports(packet.ports().0, words.next()?),
            "--icmp-type" | "--icmpv6-type" => icmp(packet, words.next()?),
            "--tcp-flags" => tcp_flags(packet, words.next()?, words.next()?),
            "--dst-type" => destination_type(packet, words.next()?),
            "--mac-source" => mac(packet, words.next()?),
            "--physdev-is-bridged" => Some(packet.is_bridged),
            "--ctstate" | "--state" | "--ctstatus" => state(packet, words.next()?),
            "--ctorigdstport" => ports(tracked.and_then(|one| one.original_port), words.next()?),
            "--ctorigdst" => net(tracked.and_then(|one| one.original.1), words.next()?),
            "--ctorigsrc" => net(tracked.and_then(|one| one.original.0), words.next()?),
            "--ctreplsrc" => net(tracked.map(|one| one.replying), words.next()?),
            "--ctreplsrcport" => ports(tracked.and_then(|one| one.replying_port), words.next()?),
            "--ctdir" => {
                let is_original = words.next()? == "ORIGINAL";
                tracked.map(|tracked| is_original == (tracked.leg == Leg::There))
            }
            _ => None,
        };
        match fit.map(|fit| fit != std::mem::take(&mut negated)) {
            Some(true) => {}
            Some(false) => return Some(false),
            None => {
                negated = false;
                all = None;
            }
        }
    }
    all
}

fn interface(dev: Dev<'_>, pattern: &str) -> Option<bool> {
    match dev {
        Dev::Named(name) => Some(is_interface(name, pattern, '+')),
        Dev::Absent => Some(false),
        Dev::Unknown => (pattern == "+").then_some(true),
    }
}

fn net(address: Option<IpAddr>, net: &str) -> Option<bool> {
    let single = || net.parse::<IpAddr>().map(IpNet::from);
    let net: IpNet = net.parse().or_else(|_| single()).ok()?;
    let is_any = net.prefix_len() == 0;
    is_any
        .then_some(true)
        .or(address.map(|address| net.contains(&address)))
}

fn protocol(packet: &Packet<'_>, name: &str) -> Option<bool> {
    if name == "all" {
        return Some(true);
    }
    let (protocol, number) = packet.protocol()?;
    Some(name == protocol || name == number.to_string() || name == "icmpv6" && number == 58)
}

/// `80`, `1:100`, or several of them.
fn ports(port: Option<u16>, text: &str) -> Option<bool> {
    let port = port?;
    let ranges: Option<Vec<PortRange>> = text
        .split(',')
        .map(|range| {
            let (start, end) = range.split_once(':').unwrap_or((range, range));
            let start = if start.is_empty() { "0" } else { start };
            let end = if end.is_empty() { "65535" } else { end };
            PortRange::new(start.parse::<u16>().ok()?.max(1), end.parse().ok()?).ok()
        })
        .collect();
    Some(ranges?.iter().any(|range| range.contains(port)))
}

/// `any`, `8` or `3/1`.
fn icmp(packet: &Packet<'_>, text: &str) -> Option<bool> {
    let Traffic::Icmp { kind, code } = packet.traffic else {
        return Some(false);
    };
    if text == "any" {
        return Some(true);
    }
    let (wanted, of) = text
        .split_once('/')
        .map_or((text, None), |(kind, code)| (kind, Some(code)));
    let is_code = of.map_or(Some(true), |of| Some(of.parse::<u8>().ok()? == code));
    Some(wanted.parse::<u8>().ok()? == kind && is_code?)
}

/// Which flags are looked at, and which of those are set; each a list.
fn tcp_flags(packet: &Packet<'_>, mask: &str, set: &str) -> Option<bool> {
    let bits = |list: &str| {
        list.split(',').try_fold(0, |bits, name| match name {
            "NONE" => Some(bits),
            "ALL" => Some(0x3f),
            name => {
                let mut flags = TCP_FLAGS.iter();
                let flag = flags.find(|(flag, _)| flag.eq_ignore_ascii_case(name))?;
                Some(bits | flag.1)
            }
        })
    };
    let (mask, set): (u64, u64) = (bits(mask)?, bits(set)?);
    Some(packet.tcp_flags()? & mask == set)
}

fn destination_type(packet: &Packet<'_>, name: &str) -> Option<bool> {
    match name {
        "LOCAL" => packet
            .is_to_host
            .map(|is_it| is_it && packet.is_broadcast() != Some(true)),
        "BROADCAST" => packet.is_broadcast(),
        "MULTICAST" => packet.destination.map(|to| to.is_multicast()),
        _ => None,
    }
}

fn mac(packet: &Packet<'_>, text: &str) -> Option<bool> {
    packet.mac.map(|mac| mac.eq_ignore_ascii_case(text))
}

fn state(packet: &Packet<'_>, words: &str) -> Option<bool> {
    if packet.may_be_untracked {
        return None;
    }
    // What is not tracked yet is invalid (`conntrack_mt` in net/netfilter/xt_conntrack.c).
    let Some(tracked) = &packet.tracked else {
        return Some(words.split(',').any(|word| word == "INVALID"));
    };
    let fits = words.split(',').map(|word| match word {
        "DNAT" => Some(tracked.is_dnat),
        "SNAT" => Some(tracked.is_snat),
        "SEEN_REPLY" => Some(packet.leg == Leg::Back),
        "ASSURED" | "CONFIRMED" | "EXPECTED" => None,
        word => Some(word.eq_ignore_ascii_case(packet.state())),
    });
    let fits: Vec<Option<bool>> = fits.collect();
    if fits.contains(&Some(true)) {
        return Some(true);
    }
    (!fits.contains(&None)).then_some(false)
}
