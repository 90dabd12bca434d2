//! Commands that let connections pass the firewalls of others, each in its own words.

use crate::flow::{Flow, Hook, Leg, Side, Traffic};
use crate::rules::Settings;
use crate::verdict::{BaseChain, RuleOwner, Stop};

/// What shall pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Connections to the one port.
    Port,
    /// All forwarded connections, as far as the firewall has a word for them.
    Forwards,
}

/// The command after which whoever stops a packet lets it pass; nothing where none is known that harms nobody.
#[must_use]
pub fn mend(
    stop: &Stop,
    flow: &Flow,
    leg: Leg,
    settings: &Settings,
    scope: Scope,
) -> Option<String> {
    // What hands a packet on, or keeps it from being translated, does so for a reason.
    if !["drop", "reject"].contains(&stop.verdict) {
        return None;
    }
    match stop.by {
        RuleOwner::Libvirt | RuleOwner::Portero => return Some("portero sync".to_owned()),
        RuleOwner::Firewalld if settings.is_firewalld_strict => return Some(LENIENT.to_owned()),
        RuleOwner::Ufw => return ufw(stop, flow, leg),
        RuleOwner::Docker | RuleOwner::Firewalld | RuleOwner::Other => {}
    }
    match &stop.base {
        BaseChain::Iptables {
            program,
            table,
            hook,
        } => {
            let table = match table.as_str() {
                "filter" => String::new(),
                table => format!("-t {table} "),
            };
            // docker leaves this chain to the administrator, and asks it before its own.
            let chain = if stop.by == RuleOwner::Docker {
                "DOCKER-USER".to_owned()
            } else {
                hook.name().to_uppercase()
            };
            let matches = iptables_matches(flow, leg, *hook, scope)?;
            Some(format!("{program} {table}-I {chain} {matches} -j ACCEPT"))
        }
        BaseChain::Nftables {
            family,
            table,
            chain,
            hook,
        } => {
            let place = [family, table, chain].map(|name| word(name)).join(" ");
            let matches = nftables_matches(flow, leg, *hook, scope)?;
            Some(format!("nft insert rule {place} {matches} accept"))
        }
    }
}

/// What fits packets of a forward, or those between guests and others.
fn iptables_matches(flow: &Flow, leg: Leg, hook: Hook, scope: Scope) -> Option<String> {
    let dev =
        |option: &str, side: &Side| interface(side).map(|name| format!("{option} {}", word(name)));
    match (flow.translated, flow.traffic, hook) {
        (Some(_), _, Hook::Forward | Hook::Postrouting) if scope == Scope::Forwards => {
            Some("-m conntrack --ctstate DNAT".to_owned())
        }
        (Some(translated), Traffic::Port { protocol, .. }, Hook::Forward | Hook::Postrouting) => {
            Some(format!(
                "-p {} -m conntrack --ctstate DNAT --ctorigdstport {}",
                protocol.name(),
                translated.port
            ))
        }
        (Some(translated), Traffic::Port { protocol, .. }, Hook::Prerouting)
            if leg == Leg::There =>
        {
            Some(format!(
                "-p {} --dport {}",
                protocol.name(),
                translated.port
            ))
        }
        (None, Traffic::Port { protocol, port, .. }, Hook::Input) => {
            let dev = dev("-i", &flow.client)?;
            Some(format!("{dev} -p {} --dport {port}", protocol.name()))
        }
        (
            None,
            Traffic::Icmp {
                kind: ADVERTISEMENT,
                ..
            },
            Hook::Input,
        ) => {
            let dev = dev("-i", &flow.client)?;
            Some(format!("{dev} -p ipv6-icmp"))
        }
        (None, Traffic::Port { protocol, port, .. }, Hook::Output) => {
            let (end, side) = sent(flow, leg);
            let dev = dev("-o", end)?;
            Some(format!("{dev} -p {} --{side} {port}", protocol.name()))
        }
        // Answers to what a guest has asked, whoever they come from.
        (None, _, Hook::Forward) if leg == Leg::Back => {
            let dev = dev("-o", &flow.client)?;
            Some(format!("{dev} -m conntrack --ctstate RELATED,ESTABLISHED"))
        }
        (None, _, Hook::Forward | Hook::Prerouting) if leg == Leg::There => dev("-i", &flow.client),
        _ => None,
    }
}

/// The same in nft's words.
fn nftables_matches(flow: &Flow, leg: Leg, hook: Hook, scope: Scope) -> Option<String> {
    let from = || interface(&flow.client).map(|name| format!("iifname \"{name}\""));
    match (flow.translated, flow.traffic, hook) {
        (Some(_), _, Hook::Forward | Hook::Postrouting) if scope == Scope::Forwards => {
            Some("ct status dnat".to_owned())
        }
        (Some(translated), Traffic::Port { protocol, .. }, Hook::Forward | Hook::Postrouting) => {
            Some(format!(
                "meta l4proto {} ct status dnat ct original proto-dst {}",
                protocol.name(),
                translated.port
            ))
        }
        (Some(translated), Traffic::Port { protocol, .. }, Hook::Prerouting)
            if leg == Leg::There =>
        {
            Some(format!("{} dport {}", protocol.name(), translated.port))
        }
        (None, Traffic::Port { protocol, port, .. }, Hook::Input) => {
            Some(format!("{} {} dport {port}", from()?, protocol.name()))
        }
        (
            None,
            Traffic::Icmp {
                kind: ADVERTISEMENT,
                ..
            },
            Hook::Input,
        ) => Some(format!(
            "{} icmpv6 type '{{ nd-neighbor-solicit, nd-neighbor-advert }}'",
            from()?
        )),
        (None, Traffic::Port { protocol, port, .. }, Hook::Output) => {
            let (end, side) = sent(flow, leg);
            let to = interface(end)?;
            Some(format!(
                "oifname \"{to}\" {} {side} {port}",
                protocol.name()
            ))
        }
        (None, _, Hook::Forward) if leg == Leg::Back => {
            let to = interface(&flow.client)?;
            Some(format!("oifname \"{to}\" ct state related,established"))
        }
        (None, _, Hook::Forward | Hook::Prerouting) if leg == Leg::There => from(),
        _ => None,
    }
}

/// The type of ICMPv6 that answers neighbour discovery (RFC 4861).
const ADVERTISEMENT: u8 = 136;

/// To whom the host itself sends a packet of a leg, and where that has the server's port.
fn sent(flow: &Flow, leg: Leg) -> (&Side, &'static str) {
    match leg {
        Leg::There => (&flow.server, "dport"),
        Leg::Back => (&flow.client, "sport"),
    }
}

/// The host's interface that an end is behind.
fn interface(side: &Side) -> Option<&str> {
    match side {
        Side::Host => None,
        Side::Behind(link) => link.interface.as_deref(),
    }
}

/// ufw's own words, which it keeps over a boot.
fn ufw(stop: &Stop, flow: &Flow, leg: Leg) -> Option<String> {
    match (stop.base.hook(), flow.traffic, interface(&flow.client)) {
        (Hook::Input, Traffic::Port { protocol, port, .. }, Some(dev)) => Some(format!(
            "ufw allow in on {} to any port {port} proto {}",
            word(dev),
            protocol.name()
        )),
        (Hook::Forward, Traffic::Port { protocol, port, .. }, _) if flow.translated.is_some() => {
            Some(format!(
                "ufw route allow proto {} to {} port {port}",
                protocol.name(),
                flow.server_address
            ))
        }
        (Hook::Forward, _, Some(dev)) if leg == Leg::There => {
            Some(format!("ufw route allow in on {}", word(dev)))
        }
        _ => None,
    }
}

/// Lets firewalld pass what is forwarded by others, as it does unless it is told otherwise.
pub const LENIENT: &str = "sed -i 's/^StrictForwardPorts=.*/StrictForwardPorts=no/' \
    /etc/firewalld/firewalld.conf && firewall-cmd --reload";

/// A word of a shell's.
#[must_use]
pub fn word(text: &str) -> String {
    // Only a NUL cannot be quoted, which neither XML nor a path has.
    shlex::try_quote(text).map_or_else(|_| text.to_owned(), |word| word.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_one_word_of_a_shell() {
        assert_eq!(
            word("/etc/portero/networks/lan.xml"),
            "/etc/portero/networks/lan.xml"
        );
        assert_eq!(word("my lan"), "'my lan'");
        assert_eq!(word("it's; rm"), r#""it's; rm""#);
        assert_eq!(word(""), "''");
    }
}
