//! Which routing tables the host's own answers leave by, and the rules by which marked packets of guests do too. Read and
//! changed with ip(8).

use crate::programs::run;
use crate::routes::{ask, Link};
use crate::{Deadline, Result};
use ipnet::IpNet;
use portero_model::{Family, ReplyRoute};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

/// An address of the host that has a routing table: a rule `from ADDRESS lookup TABLE` (ip-rule(8)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uplink {
    /// The address.
    pub address: IpAddr,
    /// The number of the table.
    pub table: u32,
}

/// Whose rules portero's are, among `/etc/iproute2/rt_protos`.
pub const RULE_PROTOCOL: u8 = 112;

/// Where they stand: before those of VPNs, which would take guests' answers too.
const PRIORITY: u32 = 90;

/// The tables that every packet is looked up in: local, main and default.
const EVERYBODYS: std::ops::RangeInclusive<u32> = 253..=255;

/// One rule of the routing policy.
type Rule = Map<String, Value>;

/// See [`crate::System::uplinks`].
pub(crate) fn uplinks(deadline: Deadline) -> Result<Vec<Uplink>> {
    let mut uplinks = Vec::new();
    for family in Family::ALL {
        let rules: Vec<(IpNet, u32)> = rules(family, deadline)?
            .iter()
            .filter_map(|rule| of_source(rule, family))
            .collect();
        if rules.is_empty() {
            continue;
        }
        let links: Vec<Link> = ask(&[flag(family), "address", "show"], deadline)?;
        let addresses = links.iter().flat_map(|link| &link.addr_info);
        for address in addresses.filter_map(|one| one.local) {
            // Rules come in the order in which the kernel asks them.
            let mut rules = rules.iter();
            let table = rules.find(|(source, _)| source.contains(&address));
            uplinks.extend(table.map(|(_, table)| Uplink {
                address,
                table: *table,
            }));
        }
    }
    Ok(uplinks)
}

/// See [`crate::System::reply_routes`].
pub(crate) fn reply_routes(deadline: Deadline) -> Result<BTreeSet<ReplyRoute>> {
    let mut routes = BTreeSet::new();
    for family in Family::ALL {
        let rules = rules(family, deadline)?;
        routes.extend(rules.iter().filter_map(|rule| of_mark(rule, family)));
    }
    Ok(routes)
}

/// See [`crate::System::set_reply_routes`].
pub(crate) fn set_reply_routes(
    wanted: &BTreeSet<ReplyRoute>,
    gone: &BTreeSet<ReplyRoute>,
    deadline: Deadline,
) -> Result<()> {
    let there = reply_routes(deadline)?;
    for family in Family::ALL {
        let mut commands = String::new();
        let gone = gone.intersection(&there).map(|route| ("delete", route));
        let new = wanted.difference(&there).map(|route| ("add", route));
        for (verb, route) in gone.chain(new).filter(|(_, one)| one.family == family) {
            let (bits, mask, table) = (route.bits(), ReplyRoute::MASK, route.table);
            // Writing to a String cannot fail.
            let _ = writeln!(
                commands,
                "rule {verb} fwmark {bits:#x}/{mask:#x} lookup {table} priority {PRIORITY} protocol {RULE_PROTOCOL}"
            );
        }
        if !commands.is_empty() {
            run("ip", &[flag(family), "-batch", "-"], &commands, deadline)?;
        }
    }
    Ok(())
}

/// All rules of a family, with numbers where ip(8) would have names.
fn rules(family: Family, deadline: Deadline) -> Result<Vec<Rule>> {
    ask(&["-N", flag(family), "rule", "show"], deadline)
}

fn flag(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "-4",
        Family::Ipv6 => "-6",
    }
}

/// The source and the table of a rule that asks for nothing else.
fn of_source(rule: &Rule, family: Family) -> Option<(IpNet, u32)> {
    let known = ["priority", "src", "srclen", "table", "protocol"];
    if rule.keys().any(|key| !known.contains(&key.as_str())) {
        return None;
    }
    let address: IpAddr = rule.get("src")?.as_str()?.parse().ok()?;
    let length = match rule.get("srclen") {
        Some(length) => u8::try_from(length.as_u64()?).ok()?,
        None => family.all().max_prefix_len(),
    };
    let table = table(rule).filter(|table| !EVERYBODYS.contains(table))?;
    Some((IpNet::new(address, length).ok()?, table))
}

/// What a rule of portero's is for.
fn of_mark(rule: &Rule, family: Family) -> Option<ReplyRoute> {
    let text = |key: &str| rule.get(key).and_then(Value::as_str);
    let bits = |key: &str| {
        let text = text(key)?;
        u32::from_str_radix(text.strip_prefix("0x")?, 16).ok()
    };
    if text("protocol") != Some(&RULE_PROTOCOL.to_string())
        || bits("fwmask") != Some(ReplyRoute::MASK)
    {
        return None;
    }
    let mark = bits("fwmark")? >> ReplyRoute::MASK.trailing_zeros();
    Some(ReplyRoute {
        family,
        mark: u8::try_from(mark).ok()?,
        table: table(rule)?,
    })
}

fn table(rule: &Rule) -> Option<u32> {
    match rule.get("table")? {
        Value::String(text) => text.parse().ok(),
        number => u32::try_from(number.as_u64()?).ok(),
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::*;

    fn rule(json: &str) -> Rule {
        serde_json::from_str(json).expect("a rule")
    }

    #[test]
    fn a_rule_of_a_source_alone_names_the_table_of_the_addresses_answers() {
        let found = |json: &str| of_source(&rule(json), Family::Ipv4);
        let net = |text: &str| -> IpNet { text.parse().expect("a network") };
        let own = r#"{"priority":100,"src":"198.51.100.1","table":"101"}"#;
        assert_eq!(found(own), Some((net("198.51.100.1/32"), 101)));
        let wide =
            r#"{"priority":100,"src":"198.51.100.0","srclen":24,"table":"101","protocol":"3"}"#;
        assert_eq!(found(wide), Some((net("198.51.100.0/24"), 101)));
        for other in [
            r#"{"priority":0,"src":"all","table":"255"}"#,
            r#"{"priority":9,"src":"198.51.100.1","table":"254"}"#,
            r#"{"priority":9,"src":"198.51.100.1","fwmark":"0x1","table":"101"}"#,
            r#"{"priority":9,"src":"198.51.100.1","iif":"eth1","table":"101"}"#,
            r#"{"priority":9,"not":null,"src":"198.51.100.1","table":"101"}"#,
            r#"{"priority":9,"src":"198.51.100.1","action":"unreachable"}"#,
        ] {
            assert_eq!(found(other), None, "{other}");
        }
    }

    #[test]
    fn rules_of_portero_s_are_known_again() {
        let found = |json: &str| of_mark(&rule(json), Family::Ipv6);
        let own = r#"{"priority":90,"src":"all","fwmark":"0x3000000","fwmask":"0x7000000","table":"101","protocol":"112"}"#;
        let expected = ReplyRoute {
            family: Family::Ipv6,
            mark: 3,
            table: 101,
        };
        assert_eq!(found(own), Some(expected));
        for other in [
            r#"{"priority":90,"src":"all","fwmark":"0x3000000","fwmask":"0x7000000","table":"101","protocol":"3"}"#,
            r#"{"priority":90,"src":"all","fwmark":"0x3000000","table":"101","protocol":"112"}"#,
        ] {
            assert_eq!(found(other), None, "{other}");
        }
    }
}
