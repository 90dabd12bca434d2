//! The text of each rule in portero's chains.

use super::base::{Base, Chains, LibvirtChains};
use super::policy;
use super::words::network;
use ipnet::IpNet;
use portero_model::{Dnat, Family, Protocol, ReplyRoute, Rule, Ruleset};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Renders an owner's rules; `libvirt` tells of a family whether libvirt's chains are there.
pub(crate) fn chains(ruleset: &Ruleset, libvirt: impl Fn(Family) -> LibvirtChains) -> Chains {
    let mut chains = Chains::new();
    let mut add = |family, base, text| {
        let lines: &mut Vec<String> = chains.entry((family, base)).or_default();
        lines.push(text);
    };
    for rule in &ruleset.rules {
        if let Rule::Masquerade {
            source,
            guest,
            bridge: Some(bridge),
        } = rule
        {
            let (from, to) = (source_match(*source), network((*guest).into()));
            let text = format!("{from}-d {to} ! -i {bridge} -j DROP");
            add(Family::from(*guest), Base::Forward, text);
        }
    }
    let (mut guests, mut answering) = (BTreeSet::new(), BTreeSet::new());
    for rule in &ruleset.rules {
        match rule {
            Rule::Dnat(dnat) => {
                add(dnat.family(), sender(dnat), send(dnat));
                add(dnat.family(), Base::Forward, accept(dnat));
            }
            Rule::Masquerade { source, guest, .. } => {
                let family = Family::from(*guest);
                let guest_only = network((*guest).into());
                let text = format!("{}-d {guest_only} -j MASQUERADE", source_match(*source));
                add(family, Base::Snat, text);
                if guests.insert(guest) {
                    add(family, Base::Forward, accept_errors(*guest));
                    add(family, Base::Local, format!("-d {guest_only} -j DROP"));
                }
            }
            Rule::Address {
                address,
                guest,
                bridge,
            } => {
                let family = Family::from(*guest);
                let from = network((*guest).into());
                let pass = format!(
                    "-m conntrack --ctstate DNAT --ctorigdst {address} --ctreplsrc {guest} -j ACCEPT"
                );
                add(family, Base::Forward, pass);
                let leaving = format!(
                    "-s {from} ! -o {bridge} -m conntrack ! --ctstate DNAT -j SNAT --to-source {address}"
                );
                add(family, Base::AddressSnat, leaving);
            }
            Rule::Symmetric {
                address,
                guest,
                route,
            } => {
                let (bits, mask) = (route.bits(), ReplyRoute::MASK);
                let guest_only = network((*guest).into());
                let mark = format!(
                    "-d {guest_only} -m conntrack --ctorigdst {address} --ctdir ORIGINAL -j CONNMARK --set-xmark {bits:#x}/{mask:#x}"
                );
                add(route.family, Base::Mark, mark);
                if answering.insert(guest) {
                    let answer = format!(
                        "-s {guest_only} -m connmark ! --mark 0x0/{mask:#x} -j CONNMARK --restore-mark --nfmask {mask:#x} --ctmask {mask:#x}"
                    );
                    add(route.family, Base::Answer, answer);
                }
            }
            // These are in nftables.
            Rule::Ban(_) => {}
            Rule::Localnet { bridge } => {
                let text =
                    format!("-d 127.0.0.0/8 -i {bridge} -m conntrack ! --ctstate DNAT -j DROP");
                add(Family::Ipv4, Base::Input, text);
                let text = format!("-s 127.0.0.0/8 -i {bridge} -j DROP");
                add(Family::Ipv4, Base::Input, text);
            }
        }
    }
    // Behind all that is of ports: what of that is left here is the host's.
    for rule in &ruleset.rules {
        if let Rule::Address { address, guest, .. } = rule {
            let (family, host) = (Family::from(*guest), network((*address).into()));
            for protocol in Protocol::ALL {
                let text = format!("-d {host} -p {protocol} -j RETURN");
                add(family, Base::AddressDnat, text);
            }
            let rest = format!("-d {host} -j DNAT --to-destination {guest}");
            add(family, Base::AddressDnat, rest);
        }
    }
    if let Some(policy) = &ruleset.policy {
        for family in Family::ALL {
            policy::add(policy, family, libvirt(family), &mut chains);
        }
    }
    chains
}

/// The chain that a forward's [`send`] is in.
pub(crate) fn sender(dnat: &Dnat) -> Base {
    match dnat.is_whole_address {
        true => Base::AddressDnat,
        false => Base::Dnat,
    }
}

/// The rule that sends what comes for ports of the host to a guest.
pub(crate) fn send(dnat: &Dnat) -> String {
    let mut text = source_match(dnat.source);
    match dnat.address {
        Some(address) => text += &format!("-d {} ", network(address.into())),
        None => text += &format!("! -d {} ", dnat.family().loopback()),
    }
    if let Some(dev) = &dnat.dev {
        text += &format!("-i {dev} ");
    }
    let (ports, guest_ports) = (dnat.ports, dnat.guest_ports);
    let to = if ports == guest_ports {
        dnat.guest.to_string()
    } else if ports.is_single() {
        format!("{}:{guest_ports}", bracketed(dnat.guest))
    } else {
        format!("{}:{guest_ports}/{}", bracketed(dnat.guest), ports.start())
    };
    let protocol = dnat.protocol;
    text += &format!(
        "-p {protocol} -m {protocol} --dport {} -j DNAT --to-destination {to}",
        ports.joined(':')
    );
    text
}

/// The rule that lets such connections pass, and their answers.
pub(crate) fn accept(dnat: &Dnat) -> String {
    format!(
        "-p {} -m conntrack --ctstate DNAT --ctreplsrc {} --ctorigdstport {} --ctreplsrcport {} \
         -j ACCEPT",
        dnat.protocol,
        dnat.guest,
        dnat.ports.joined(':'),
        dnat.guest_ports.joined(':')
    )
}

/// The rule that lets errors about such connections pass, as of a smaller MTU on their way.
fn accept_errors(guest: IpAddr) -> String {
    let protocol = match Family::from(guest) {
        Family::Ipv4 => "icmp",
        Family::Ipv6 => "ipv6-icmp",
    };
    format!("-p {protocol} -m conntrack --ctstate RELATED --ctreplsrc {guest} -j ACCEPT")
}

/// The match of a source; of all addresses iptables prints none.
fn source_match(source: Option<IpNet>) -> String {
    let source = source.filter(|source| source.prefix_len() > 0);
    source.map_or_else(String::new, |source| format!("-s {} ", network(source)))
}

/// An address as it stands before a `:` and a port.
fn bracketed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}
