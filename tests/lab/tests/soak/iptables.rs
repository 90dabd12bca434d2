//! Reads what `iptables-save` and `ip6tables-save` print. Nothing of portero's may be left over that
//! is not understood.

use crate::frames::{of_any_network, Frames};
use crate::view::{Family, View};
use std::collections::{BTreeMap, BTreeSet};

/// portero's chains that owners share: name, who jumps there, and by which match.
const BASES: [(&str, &[&str], &str); 13] = [
    ("PORTERO-OUT", &["filter FORWARD"], ""),
    ("PORTERO-IN", &["filter FORWARD"], ""),
    (
        "PORTERO-FORWARD",
        &["filter FORWARD"],
        "-m conntrack --ctstate DNAT ",
    ),
    ("PORTERO-TO", &["filter FORWARD"], ""),
    ("PORTERO-FROM", &["filter FORWARD"], ""),
    ("PORTERO-KNOWN", &[], ""),
    ("PORTERO-INPUT", &["filter INPUT"], ""),
    (
        "PORTERO-LOCAL",
        &["filter INPUT"],
        "-m conntrack --ctstate DNAT ",
    ),
    ("PORTERO-TO-HOST", &["filter INPUT"], ""),
    ("PORTERO-FROM-HOST", &["filter OUTPUT"], ""),
    (
        "PORTERO-DNAT",
        &["nat PREROUTING", "nat OUTPUT"],
        "-m addrtype --dst-type LOCAL ",
    ),
    (
        "PORTERO-SNAT",
        &["nat POSTROUTING"],
        "-m conntrack --ctstate DNAT ",
    ),
    ("PORTERO-NAT", &["nat POSTROUTING"], ""),
];

/// Rules of one family by table and chain.
type Chains = BTreeMap<String, Vec<String>>;

/// Adds the rows of one family to `view`, and what is somebody else's to `foreign`.
pub fn read(
    text: &str,
    family: Family,
    frames: &mut Frames,
    view: &mut View,
    foreign: &mut Vec<String>,
) {
    let chains = chains(text);
    for (chain, rules) in &chains {
        if owner_of(chain).is_none() && !is_base(chain) {
            let own = |rule: &&String| rule.contains("-j PORTERO-");
            let others = rules.iter().filter(|rule| !own(rule));
            foreign.extend(others.map(|rule| format!("{family} {chain} {rule}")));
            if rules.iter().skip_while(&own).any(|rule| own(&rule)) {
                view.wrong(format!(
                    "{family} {chain}: a jump to portero below another rule"
                ));
            }
        }
    }
    let mut reached = BTreeSet::new();
    for (base, from, matches) in BASES {
        let owners = bases(&chains, family, base, (from, matches), view);
        for (chain, jump) in owners {
            let kind = owner_of(&chain).unwrap_or_default();
            owner(family, kind, jump, &chains[&chain], frames, view);
            reached.insert(chain);
        }
    }
    for chain in chains.keys().filter(|chain| owner_of(chain).is_some()) {
        if !reached.contains(chain) {
            view.wrong(format!("{family} {chain} is not reached"));
        }
    }
}

fn chains(text: &str) -> Chains {
    let mut chains = Chains::new();
    let mut table = "";
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = name;
        } else if let Some(chain) = line.strip_prefix(':') {
            let chain = chain.split(' ').next().unwrap_or_default();
            chains.entry(format!("{table} {chain}")).or_default();
        } else if let Some((chain, rule)) = line
            .strip_prefix("-A ")
            .and_then(|rule| rule.split_once(' '))
        {
            let chain = chains.entry(format!("{table} {chain}")).or_default();
            chain.push(rule.to_owned());
        }
    }
    chains
}

fn name(chain: &str) -> &str {
    chain.split(' ').nth(1).unwrap_or_default()
}

fn is_base(chain: &str) -> bool {
    BASES.iter().any(|(base, _, _)| *base == name(chain))
}

/// The two letters that say what an owner's chain is for.
fn owner_of(chain: &str) -> Option<&str> {
    let name = name(chain).strip_prefix("PORTERO-")?;
    let (kind, hash) = name.split_once('-')?;
    (kind.len() == 2 && hash.len() == 16).then_some(kind)
}

/// Follows one of the shared chains: gives the owners' chains that it jumps to, with the jumps.
fn bases<'a>(
    chains: &'a Chains,
    family: Family,
    base: &str,
    (from, matches): (&[&str], &str),
    view: &mut View,
) -> BTreeMap<String, &'a str> {
    let mut owners = BTreeMap::new();
    let Some((chain, rules)) = chains.iter().find(|(chain, _)| name(chain) == base) else {
        return owners;
    };
    if rules.is_empty() {
        view.wrong(format!("{family} {base} is empty"));
    }
    let jump = format!("{matches}-m comment --comment portero -j {base}");
    let all = chains.iter().filter(|(chain, _)| owner_of(chain).is_none());
    for (built_in, rules) in all {
        let jumps = rules
            .iter()
            .filter(|rule| rule.ends_with(&format!("-j {base}")));
        let wanted: &[&String] = match from.contains(&built_in.as_str()) {
            true => &[&jump],
            false => &[],
        };
        if !jumps.eq(wanted.iter().copied()) {
            view.wrong(format!(
                "{family} {built_in}: not the jumps to {base} that should be there"
            ));
        }
    }
    let table = chain.split(' ').next().unwrap_or_default();
    for rule in rules {
        let target = rule.rsplit(' ').next().unwrap_or_default();
        let target = format!("{table} {target}");
        let is_owners = owner_of(&target).is_some() && chains.contains_key(&target);
        if !is_owners || owners.insert(target, rule.as_str()).is_some() {
            view.wrong(format!("{family} {base}: {rule}"));
        }
    }
    owners
}

/// The rows of an owner's chain.
fn owner(
    family: Family,
    kind: &str,
    jump: &str,
    rules: &[String],
    frames: &mut Frames,
    view: &mut View,
) {
    if kind == "NA" {
        return;
    }
    let bridge = value(jump, "-i").or_else(|| value(jump, "-o"));
    let Some(bridge) = bridge else {
        for rule in rules {
            if forwarding(family, kind, rule, view).is_none() {
                view.wrong(format!("{family} {kind}: {rule}"));
            }
        }
        return;
    };
    let (mode, general) = of_any_network(bridge, rules);
    frames.compare(format!("{family} {kind} of mode {mode}"), general, view);
    let way = match kind {
        "PO" => "out",
        "PI" => "in",
        "TH" => "to_host",
        "FH" => "from_host",
        _ => return view.add_once(format!("pass {family} {bridge} {kind}")),
    };
    view.add_once(format!("policy {family} {bridge} {way}"));
    for port in rules.iter().filter_map(|rule| value(rule, "--dport")) {
        view.add_once(format!("policy {family} {bridge} {way} tcp {port}"));
    }
}

/// The rows of one rule of a forward.
fn forwarding(family: Family, kind: &str, rule: &str, view: &mut View) -> Option<()> {
    let get = |option: &str| value(rule, option);
    let source = || network(get("-s"));
    match kind {
        "DN" => {
            let loopback = match family {
                Family::Ipv4 => "! -d 127.0.0.0/8",
                Family::Ipv6 => "! -d ::1/128",
            };
            let address = match rule.contains(loopback) {
                true => "any".to_owned(),
                false => network(Some(get("-d")?)),
            };
            let (dev, source) = (get("-i").unwrap_or("any"), source());
            let protocol = get("-p")?;
            let (start, end) = range(get("--dport")?, ':')?;
            let (guest, to) = destination(get("--to-destination")?, start)?;
            for port in start..=end {
                let to = to + (port - start);
                view.add_once(format!(
                    "forward {family} {protocol} {port} of {address} on {dev} from {source} to {guest} {to}"
                ));
            }
        }
        "FW" if rule.ends_with(" -j DROP") => {
            rule.contains(" ! -i ").then_some(())?;
            let (subnet, guest) = (source(), network(Some(get("-d")?)));
            view.add(format!("neighbours {family} {subnet} to {guest}"));
        }
        "FW" if rule.contains(" --ctstate RELATED ") => {
            let icmp = match family {
                Family::Ipv4 => "icmp",
                Family::Ipv6 => "ipv6-icmp",
            };
            (get("-p") == Some(icmp) && rule.ends_with("-j ACCEPT")).then_some(())?;
            view.add(format!("errors {family} {}", get("--ctreplsrc")?));
        }
        "LO" if rule.ends_with(" -j DROP") => {
            view.add(format!("local {family} {}", network(Some(get("-d")?))));
        }
        "FW" => {
            let (protocol, guest) = (get("-p")?, get("--ctreplsrc")?);
            let (start, end) = range(get("--ctorigdstport")?, ':')?;
            let (to, last) = range(get("--ctreplsrcport")?, ':')?;
            if last - to != end - start || !rule.ends_with("-j ACCEPT") {
                return None;
            }
            for port in start..=end {
                let to = to + (port - start);
                view.add_once(format!("accept {family} {protocol} {port} to {guest} {to}"));
            }
        }
        "SN" if rule.ends_with("-j MASQUERADE") => {
            let (source, guest) = (source(), network(Some(get("-d")?)));
            view.add(format!("masquerade {family} from {source} to {guest}"));
        }
        "IN" if rule.ends_with("-m conntrack ! --ctstate DNAT -j DROP") => {
            view.add(format!("loopback {}", get("-i")?));
        }
        "IN" if rule.starts_with("-s 127.0.0.0/8 ") && rule.ends_with(" -j DROP") => {
            view.add(format!("from loopback {}", get("-i")?));
        }
        _ => return None,
    }
    Some(())
}

/// The value of an option.
fn value<'a>(rule: &'a str, option: &str) -> Option<&'a str> {
    let mut words = rule.split(' ');
    words.find(|word| *word == option)?;
    words.next()
}

/// A network, of one address without its length.
fn network(text: Option<&str>) -> String {
    let text = text.unwrap_or("any");
    let one = text
        .strip_suffix("/32")
        .or_else(|| text.strip_suffix("/128"));
    one.unwrap_or(text).to_owned()
}

fn range(text: &str, separator: char) -> Option<(u16, u16)> {
    let (start, end) = text.split_once(separator).unwrap_or((text, text));
    Some((start.parse().ok()?, end.parse().ok()?))
}

/// The guest and its first port, of `GUEST`, `GUEST:PORT`, or `GUEST:FIRST-LAST/START`.
fn destination(text: &str, start: u16) -> Option<(String, u16)> {
    if let Some((guest, ports)) = text
        .strip_prefix('[')
        .and_then(|text| text.split_once("]:"))
    {
        return Some((guest.to_owned(), range(ports.split('/').next()?, '-')?.0));
    }
    match text.split_once(':') {
        Some((guest, ports)) if !ports.contains(':') => {
            Some((guest.to_owned(), range(ports.split('/').next()?, '-')?.0))
        }
        _ => Some((text.to_owned(), start)),
    }
}
