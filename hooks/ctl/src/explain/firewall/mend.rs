//! Commands that let forwarded connections pass the firewalls of others, each in its own words.

use super::{Base, Owner, Packet, Stop};
use crate::doctor::word;
use portero_inventory::Settings;
use portero_model::Family;

/// What shall pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Connections to the one port.
    Port,
    /// All forwarded connections, as far as the firewall has a word for them.
    Forwards,
}

/// The command after which whoever stops a packet lets it pass.
pub(crate) fn mend(stop: &Stop, packet: &Packet, settings: &Settings, scope: Scope) -> String {
    let protocol = packet.protocol.name();
    let port = packet.host_port;
    match (&stop.base, stop.by) {
        (_, Owner::Libvirt | Owner::Portero) => "portero sync".to_owned(),
        (_, Owner::Firewalld) if settings.is_firewalld_strict => LENIENT.to_owned(),
        (_, Owner::Ufw) => format!(
            "ufw route allow proto {protocol} to {} port {}",
            packet.guest, packet.guest_port
        ),
        (Base::Iptables(family), by) => {
            let program = match family {
                Family::Ipv4 => "iptables",
                Family::Ipv6 => "ip6tables",
            };
            // docker leaves this chain to the administrator, and asks it before its own.
            let chain = if by == Owner::Docker {
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
        (Base::Nftables(family, table, chain), _) => {
            let place = [family, table, chain].map(|name| word(name)).join(" ");
            match scope {
                Scope::Port => format!(
                    "nft insert rule {place} meta l4proto {protocol} ct status dnat \
                 ct original proto-dst {port} accept"
                ),
                Scope::Forwards => {
                    format!("nft insert rule {place} ct status dnat accept")
                }
            }
        }
    }
}

/// Lets firewalld pass what is forwarded by others, as it does unless it is told otherwise.
pub(crate) const LENIENT: &str = "sed -i 's/^StrictForwardPorts=.*/StrictForwardPorts=no/' \
    /etc/firewalld/firewalld.conf && firewall-cmd --reload";
