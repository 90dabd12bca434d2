//! The text of each rule in portero's chains.

use super::base::{Base, Chains, LibvirtChains};
use super::policy::add;
use super::words::network;
use ipnet::IpNet;
use portero_model::{Family, Rule, Ruleset};
use std::net::IpAddr;

/// Renders an owner's rules; `libvirt` tells of a family whether libvirt's chains are there.
pub(crate) fn chains(ruleset: &Ruleset, libvirt: impl Fn(Family) -> LibvirtChains) -> Chains {
    let mut chains = Chains::new();
    for rule in &ruleset.rules {
        let (family, base, text) = render(rule);
        chains.entry((family, base)).or_default().push(text);
    }
    if let Some(policy) = &ruleset.policy {
        for family in Family::ALL {
            add(policy, family, libvirt(family), &mut chains);
        }
    }
    chains
}

/// A rule's family, what kind of chain it stands in, and its text there.
pub(super) fn render(rule: &Rule) -> (Family, Base, String) {
    match rule {
        Rule::Dnat {
            protocol,
            address,
            dev,
            source,
            ports,
            guest,
            guest_ports,
        } => {
            let family = Family::of(*guest);
            let mut text = from(*source);
            match address {
                Some(address) => text += &format!("-d {} ", network((*address).into())),
                None => text += &format!("! -d {} ", family.loopback()),
            }
            if let Some(dev) = dev {
                text += &format!("-i {dev} ");
            }
            let to = if ports == guest_ports {
                guest.to_string()
            } else if ports.is_single() {
                format!("{}:{guest_ports}", bracketed(*guest))
            } else {
                format!("{}:{guest_ports}/{}", bracketed(*guest), ports.start())
            };
            text += &format!(
                "-p {protocol} -m {protocol} --dport {} -j DNAT --to-destination {to}",
                ports.joined(':')
            );
            (family, Base::Dnat, text)
        }
        Rule::Accept {
            protocol,
            ports,
            guest,
            guest_ports,
        } => {
            let text = format!(
                "-p {protocol} -m conntrack --ctstate DNAT --ctreplsrc {guest} --ctorigdstport {} \
                 --ctreplsrcport {} -j ACCEPT",
                ports.joined(':'),
                guest_ports.joined(':')
            );
            (Family::of(*guest), Base::Forward, text)
        }
        Rule::Masquerade { source, guest } => {
            let guest_only = network((*guest).into());
            let text = format!("{}-d {guest_only} -j MASQUERADE", from(*source));
            (Family::of(*guest), Base::Snat, text)
        }
        Rule::Localnet { bridge } => {
            let text = format!("-d 127.0.0.0/8 -i {bridge} -m conntrack ! --ctstate DNAT -j DROP");
            (Family::Ipv4, Base::Input, text)
        }
    }
}

/// The match of a source; of all addresses iptables prints none.
fn from(source: Option<IpNet>) -> String {
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
