//! Everybody's rules, and what other firewalls are told to do, as they are read of a host.

use crate::flow::{Flow, Hook, Layer, Leg};
use crate::iptables::{self, Iptables};
use crate::kept::Kept;
use crate::libvirt::LibvirtRule;
use crate::nftables;
use crate::verdict::{Acceptance, Judgement, RuleOwner, Stop};
use crate::walk::Walked;
use ipnet::IpNet;
use portero_model::{Family, ToHost};

/// Whether connection tracking knows of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tracking {
    /// From its priority on.
    Sure,
    /// A rule may have excepted it.
    Doubtful,
}

/// All rules of the host.
#[derive(Debug, Default)]
pub struct Rules {
    kept: Kept,
    nftables: Option<nftables::Listing>,
    iptables: Vec<iptables::Listing>,
    /// What could not be read, and why.
    pub unread: Vec<String>,
    /// What else decides about packets.
    pub unlisted: Vec<Unlisted>,
}

/// What decides about packets and is in no list of a firewall's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unlisted {
    /// The interface of whose packets it decides; all when absent.
    interface: Option<String>,
    /// What it is.
    what: String,
}

impl Unlisted {
    /// Decides about what passes an interface.
    #[must_use]
    pub fn on(interface: &str, what: &str) -> Self {
        Self {
            interface: Some(interface.to_owned()),
            what: what.to_owned(),
        }
    }

    /// Decides about everything.
    #[must_use]
    pub fn everywhere(what: &str) -> Self {
        Self {
            interface: None,
            what: what.to_owned(),
        }
    }
}

/// What other firewalls' own configuration says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Whether firewalld is told to reject what others forward (`StrictForwardPorts=yes`).
    pub is_firewalld_strict: bool,
}

impl Rules {
    /// None, which take of what is read those alone.
    #[must_use]
    pub fn keeping(kept: Kept) -> Self {
        Self {
            kept,
            ..Self::default()
        }
    }

    /// Takes what `nft -j list ruleset` prints, or `nft -j list table` of one table after the other.
    pub fn add_nftables(&mut self, json: &str) {
        match nftables::Listing::read(json, self.kept) {
            Ok(listing) => self.nftables.get_or_insert_default().append(listing),
            Err(error) => self.unread.push(format!("nft -j list ruleset: {error}")),
        }
    }

    /// Takes what was read besides.
    pub fn append(&mut self, others: Self) {
        if let Some(listing) = others.nftables {
            self.nftables.get_or_insert_default().append(listing);
        }
        self.iptables.extend(others.iptables);
        self.unread.extend(others.unread);
        self.unlisted.extend(others.unlisted);
    }

    /// Whether what iptables-save has told has this chain of nftables' (`ip`, `filter`, `FORWARD`), with its rules.
    #[must_use]
    pub fn tell_chain(&self, family: &str, table: &str, chain: &str) -> bool {
        self.iptables.iter().any(|listing| {
            let of = match listing.of.family {
                Family::Ipv4 => "ip",
                Family::Ipv6 => "ip6",
            };
            of == family && listing.of.is_in_nftables && listing.has_chain(table, chain)
        })
    }

    /// Takes what `iptables-save` prints of all tables.
    pub fn add_iptables(&mut self, of: Iptables, text: &str) {
        self.iptables
            .push(iptables::Listing::read(of, text, self.kept));
    }

    /// Whether anybody but libvirt and portero has what stops packets, whichever.
    #[must_use]
    pub fn have_stops_of_others(&self) -> bool {
        self.iptables
            .iter()
            .any(iptables::Listing::has_stops_of_others)
            || self
                .nftables
                .iter()
                .any(nftables::Listing::has_stops_of_others)
    }

    /// What becomes of a packet on its way through the host: the first that stops it, else the first that may.
    #[must_use]
    pub fn judge(&self, flow: &Flow, leg: Leg) -> Judgement {
        let mut doubt: Option<Stop> = None;
        let mut tracking = Tracking::Sure;
        for (layer, hook) in flow.hooks(leg) {
            for walked in self.walk(flow, leg, (layer, hook), tracking) {
                if walked.may_be_untracked {
                    tracking = Tracking::Doubtful;
                }
                match walked.judgement {
                    Judgement::Stopped(stop) => return Judgement::Stopped(stop),
                    Judgement::Doubtful(stop) => {
                        doubt.get_or_insert(stop);
                    }
                    Judgement::Passes => {}
                }
            }
        }
        doubt.map_or(Judgement::Passes, Judgement::Doubtful)
    }

    /// What else decides about a connection, in words: what it does is not known.
    #[must_use]
    pub fn also_decides(&self, flow: &Flow) -> Option<String> {
        let interfaces = flow.interfaces();
        self.unlisted.iter().find_map(|one| match &one.interface {
            Some(name) if interfaces.contains(&name.as_str()) => {
                Some(format!("{} on {name} decides too", one.what))
            }
            Some(_) => None,
            None => Some(format!("{} decides too", one.what)),
        })
    }

    /// The rule of somebody else's than libvirt and portero that has let a packet through where it goes on or arrives, before
    /// others of its base chain were asked.
    #[must_use]
    pub fn accepted_by_others(&self, flow: &Flow, leg: Leg) -> Option<Acceptance> {
        let hooks = flow.hooks(leg).into_iter();
        let mut hooks = hooks.filter(|(_, hook)| matches!(hook, Hook::Forward | Hook::Input));
        hooks.find_map(|place| {
            let walks = self.walk(flow, leg, place, Tracking::Sure).into_iter();
            let mut accepted = walks.filter_map(|walked| walked.accepted);
            accepted.find(|one| !matches!(one.by, RuleOwner::Libvirt | RuleOwner::Portero))
        })
    }

    /// The rule of somebody else's than portero that sends a port of the host to somebody behind it (DNAT).
    #[must_use]
    pub fn published_by_others(&self, packet: &ToHost<'_>) -> Option<Acceptance> {
        let iptables = self
            .iptables
            .iter()
            .find_map(|listing| listing.publishes(packet));
        iptables.or_else(|| self.nftables.as_ref()?.publishes(packet))
    }

    /// Which of libvirt's own rules for a bridge are gone, in words; `subnet` is one whose guests leave by the host's
    /// address.
    #[must_use]
    pub fn missing_of_libvirt(
        &self,
        family: Family,
        bridge: &str,
        subnet: Option<IpNet>,
    ) -> Vec<&'static str> {
        let mut missing = Vec::new();
        for (what, rule) in [
            (
                "what rejects connections to its guests",
                LibvirtRule::RejectTo(bridge),
            ),
            (
                "what rejects connections from its guests",
                LibvirtRule::RejectFrom(bridge),
            ),
        ] {
            if !self.has_of_libvirt(family, rule) {
                missing.push(what);
            }
        }
        if subnet
            .is_some_and(|subnet| !self.has_of_libvirt(family, LibvirtRule::Masquerade(subnet)))
        {
            missing.push("what gives its guests the host's address on their way out");
        }
        missing
    }

    fn has_of_libvirt(&self, family: Family, rule: LibvirtRule<'_>) -> bool {
        let mut iptables = self.iptables.iter().filter(|one| one.of.family == family);
        let mut nftables = self.nftables.iter();
        iptables.any(|listing| listing.has_of_libvirt(rule))
            || nftables.any(|listing| listing.has_of_libvirt(family, rule))
    }

    /// What all chains of one hook make of it, in their order.
    fn walk(
        &self,
        flow: &Flow,
        leg: Leg,
        (layer, hook): (Layer, Hook),
        tracking: Tracking,
    ) -> Vec<Walked> {
        let family = flow.family();
        let mut walks: Vec<(i64, Walked)> = Vec::new();
        let packet = |priority| {
            let mut packet = flow.packet(leg, layer, hook, priority);
            packet.may_be_untracked = tracking == Tracking::Doubtful;
            packet
        };
        let of_family = |one: &&iptables::Listing| one.of.family == family;
        for listing in self.iptables.iter().filter(of_family) {
            if layer == Layer::Network {
                walks.extend(listing.walk(hook, &packet));
            }
        }
        let mut iptables = self.iptables.iter().filter(of_family);
        let is_listed = iptables.any(|one| one.of.is_in_nftables);
        if let Some(listing) = &self.nftables {
            for chain in nftables::base_chains(listing, family, layer, hook) {
                if !(is_listed && chain.is_of_iptables()) {
                    let packet = packet(chain.priority());
                    walks.extend(chain.walk(&packet).map(|walked| (chain.priority(), walked)));
                }
            }
        }
        walks.sort_by_key(|(priority, _)| *priority);
        walks.into_iter().map(|(_, walked)| walked).collect()
    }
}
