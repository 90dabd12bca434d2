//! What libvirt itself has in its firewall for networks, as its source writes it
//! (src/network/network_iptables.c, network_nftables.c).

use portero_libvirt::{ForwardMode, Network};
use std::net::IpAddr;

/// What libvirt says of packets to guests of a subnet, or from them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Says {
    /// All of the subnet's.
    Own,
    /// Those of connections that guests have opened.
    Established,
    /// None.
    Nothing,
}

/// Each subnet of networks that libvirt has rules for: the bridge, the subnet, what it says of packets
/// to it and from it.
fn subnets(networks: &[Network]) -> Vec<(String, IpAddr, String, Says, Says)> {
    let mut all = Vec::new();
    for network in networks {
        let bridge = network.bridge.as_ref().expect("a bridge").to_string();
        for subnet in &network.subnets {
            let net = ipnet::IpNet::new(subnet.address, subnet.prefix).expect("a network");
            let masks = subnet.address.is_ipv4() || network.masquerades_ipv6;
            let (to, from) = match network.mode {
                ForwardMode::Nat if masks => (Says::Established, Says::Own),
                ForwardMode::Nat | ForwardMode::Route => (Says::Own, Says::Own),
                ForwardMode::Isolated => (Says::Nothing, Says::Nothing),
                _ => continue,
            };
            all.push((
                bridge.clone(),
                subnet.address,
                net.trunc().to_string(),
                to,
                from,
            ));
        }
    }
    all
}

/// Its chains of iptables and its jumps to them, below what portero has.
pub(crate) fn iptables(networks: &[Network]) -> Vec<String> {
    let mut lines = Vec::new();
    for (bridge, address, net, to, from) in subnets(networks) {
        let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
        let mut add = |rule: String| lines.push(format!("{family} filter -A {rule}"));
        add(format!("LIBVIRT_FWX -i {bridge} -o {bridge} -j ACCEPT"));
        match to {
            Says::Own => add(format!("LIBVIRT_FWI -d {net} -o {bridge} -j ACCEPT")),
            Says::Established => add(format!(
                "LIBVIRT_FWI -d {net} -o {bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
            )),
            Says::Nothing => {}
        }
        add(format!(
            "LIBVIRT_FWI -o {bridge} -j REJECT --reject-with icmp-port-unreachable"
        ));
        if from == Says::Own {
            add(format!("LIBVIRT_FWO -s {net} -i {bridge} -j ACCEPT"));
        }
        add(format!(
            "LIBVIRT_FWO -i {bridge} -j REJECT --reject-with icmp-port-unreachable"
        ));
    }
    for family in ["IPv4", "IPv6"] {
        for chain in ["LIBVIRT_FWX", "LIBVIRT_FWI", "LIBVIRT_FWO"] {
            lines.push(format!("{family} filter -N {chain}"));
            lines.push(format!("{family} filter -A FORWARD -j {chain}"));
        }
    }
    lines
}

/// Its chains of nftables, and its jumps to them below what portero has.
pub(crate) fn nftables(networks: &[Network]) -> Vec<String> {
    let mut lines = Vec::new();
    for (bridge, address, net, to, from) in subnets(networks) {
        let ip = if address.is_ipv4() { "ip" } else { "ip6" };
        let mut add = |rule: String| lines.push(format!("{ip} libvirt_network {rule}"));
        add(format!(
            "guest_cross iif \"{bridge}\" oif \"{bridge}\" counter accept"
        ));
        match to {
            Says::Own => add(format!("guest_input oif \"{bridge}\" {ip} daddr {net} counter accept")),
            Says::Established => add(format!(
                "guest_input oif \"{bridge}\" {ip} daddr {net} ct state established,related counter accept"
            )),
            Says::Nothing => {}
        }
        add(format!("guest_input oif \"{bridge}\" counter reject"));
        if from == Says::Own {
            add(format!(
                "guest_output {ip} saddr {net} iif \"{bridge}\" counter accept"
            ));
        }
        add(format!("guest_output iif \"{bridge}\" counter reject"));
    }
    for ip in ["ip", "ip6"] {
        for chain in ["guest_cross", "guest_input", "guest_output"] {
            lines.push(format!("{ip} libvirt_network {chain} counter"));
            lines.push(format!("{ip} libvirt_network forward jump {chain}"));
        }
    }
    lines
}
