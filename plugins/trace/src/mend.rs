//! Commands that let forwarded connections pass the firewalls of others, each in its own words.

use crate::packet::ForwardedPacket;
use crate::rules::Settings;
use crate::verdict::{BaseChain, RuleOwner, Stop};
use portero_model::Family;

/// What shall pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Connections to the one port.
    Port,
    /// All forwarded connections, as far as the firewall has a word for them.
    Forwards,
}

/// The command after which whoever stops a packet lets it pass.
pub fn mend(stop: &Stop, packet: &ForwardedPacket, settings: &Settings, scope: Scope) -> String {
    let protocol = packet.protocol.name();
    let port = packet.host_port;
    match (&stop.base, stop.by) {
        (_, RuleOwner::Libvirt | RuleOwner::Portero) => "portero sync".to_owned(),
        (_, RuleOwner::Firewalld) if settings.is_firewalld_strict => LENIENT.to_owned(),
        (_, RuleOwner::Ufw) => format!(
            "ufw route allow proto {protocol} to {} port {}",
            packet.guest, packet.guest_port
        ),
        (BaseChain::Iptables(family), by) => {
            let program = match family {
                Family::Ipv4 => "iptables",
                Family::Ipv6 => "ip6tables",
            };
            // docker leaves this chain to the administrator, and asks it before its own.
            let chain = if by == RuleOwner::Docker {
                "DOCKER-USER"
            } else {
                "FORWARD"
            };
            match scope {
                Scope::Port => format!(
                    "{program} -I {chain} -p {protocol} -m conntrack --ctstate DNAT \
                     --ctorigdstport {port} -j ACCEPT"
                ),
                Scope::Forwards => {
                    format!("{program} -I {chain} -m conntrack --ctstate DNAT -j ACCEPT")
                }
            }
        }
        (BaseChain::Nftables(family, table, chain), _) => {
            let place = [family, table, chain].map(|name| word(name)).join(" ");
            match scope {
                Scope::Port => format!(
                    "nft insert rule {place} meta l4proto {protocol} ct status dnat \
                 ct original proto-dst {port} accept"
                ),
                Scope::Forwards => format!("nft insert rule {place} ct status dnat accept"),
            }
        }
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
