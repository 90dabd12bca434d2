//! Walks a packet through everybody's chains.

use super::expression::Expressions;
use super::listing::{word, Listing};
use crate::flow::{Hook, Layer, Packet};
use crate::verdict::{Acceptance, BaseChain, Judgement, RuleOwner, Stop};
use crate::walk::{all, Certainty, ChainEnd, Doubts, Walked, DEPTH};
use portero_model::Family;
use serde_json::Value;

/// A chain that the kernel asks.
pub(crate) struct Chain<'a> {
    listing: &'a Listing,
    chain: &'a Value,
}

/// The chains that are asked about packets of a family at a hook.
pub(crate) fn base_chains(
    listing: &Listing,
    family: Family,
    layer: Layer,
    hook: Hook,
) -> impl Iterator<Item = Chain<'_>> {
    let families: &[&str] = match (layer, family) {
        (Layer::Netdev, _) => &["netdev", "inet"],
        (Layer::Bridge, _) => &["bridge"],
        (Layer::Network, Family::Ipv4) => &["ip", "inet"],
        (Layer::Network, Family::Ipv6) => &["ip6", "inet"],
    };
    let chains = listing.base_chains.iter().filter(move |chain| {
        families.contains(&word(chain, "family")) && word(chain, "hook") == hook.name()
    });
    chains.map(move |chain| Chain { listing, chain })
}

impl Chain<'_> {
    pub(crate) fn priority(&self) -> i64 {
        self.chain["prio"].as_i64().unwrap_or_default()
    }

    /// Whether iptables-nft has made it.
    pub(crate) fn is_of_iptables(&self) -> bool {
        ["ip", "ip6"].contains(&word(self.chain, "family"))
            && ["raw", "mangle", "nat", "filter", "security"].contains(&word(self.chain, "table"))
            && word(self.chain, "name") == word(self.chain, "hook").to_uppercase()
    }

    /// What it makes of a packet, if it is asked about it.
    pub(crate) fn walk(&self, packet: &Packet<'_>) -> Option<Walked> {
        let is_asked = self.is_asked(packet);
        if is_asked == Some(false) {
            return None;
        }
        let mut walk = Walk {
            listing: self.listing,
            base: self.chain,
            packet,
            doubts: Doubts::default(),
        };
        let name = word(self.chain, "name");
        let end = walk.chain(name, Certainty::Sure, 0);
        let drops = self.chain["policy"] == "drop";
        let policy = drops.then(|| walk.stop("drop", format!("the policy of chain {name}, drop")));
        let walked = walk.doubts.walked(end, policy);
        Some(match (is_asked, walked.judgement) {
            (None, Judgement::Stopped(stop)) => Walked {
                judgement: Judgement::Doubtful(stop),
                ..walked
            },
            (_, judgement) => Walked {
                judgement,
                ..walked
            },
        })
    }

    /// Whether it is asked about a packet; nothing when that cannot be told.
    fn is_asked(&self, packet: &Packet<'_>) -> Option<bool> {
        // Antispoof knows guests by their ports alone.
        let is_antispoof = packet.bridge.is_some() && word(self.chain, "table") == "portero_policy";
        if is_antispoof && packet.has_unknown_port() {
            return Some(false);
        }
        // Addresses are changed once for a connection, by whoever does it first.
        if word(self.chain, "type") == "nat" {
            return Some(packet.is_asked_to_translate(self.priority()));
        }
        let passes = |device: &Value| packet.passes(device.as_str().unwrap_or_default());
        match &self.chain["dev"] {
            // nft 1.0.6, Debian 12's, does not tell in JSON which interface such a chain is of.
            Value::Null if matches!(word(self.chain, "hook"), "ingress" | "egress") => None,
            Value::Null => Some(true),
            Value::Array(devices) => {
                let differ = devices.iter().map(|device| Some(!passes(device)?));
                all(differ).map(|differ| !differ)
            }
            device => passes(device),
        }
    }
}

struct Walk<'a> {
    listing: &'a Listing,
    base: &'a Value,
    packet: &'a Packet<'a>,
    doubts: Doubts,
}

impl<'a> Walk<'a> {
    fn owner(&self) -> RuleOwner {
        match word(self.base, "table") {
            "libvirt_network" => RuleOwner::Libvirt,
            "portero" | "portero_policy" | "portero_bans" => RuleOwner::Portero,
            table if table.starts_with("firewalld") => RuleOwner::Firewalld,
            table if table.starts_with("docker") => RuleOwner::Docker,
            _ => RuleOwner::Other,
        }
    }

    fn accept(&mut self, rule: &Value, certainty: Certainty) -> Option<ChainEnd> {
        let [family, table] = ["family", "table"].map(|key| word(self.base, key));
        let acceptance = Acceptance {
            by: self.owner(),
            rule: format!(
                "nftables table {family} {table}: {}",
                describe(rule, "accept")
            ),
        };
        self.doubts.meet(ChainEnd::Accept(acceptance), certainty)
    }

    fn stop(&self, verdict: &'static str, rule: String) -> Stop {
        let word = |key: &str| self.base[key].as_str().unwrap_or_default().to_owned();
        let table = word("table");
        Stop {
            by: self.owner(),
            verdict,
            rule,
            base: BaseChain::Nftables {
                family: word("family"),
                table,
                chain: word("name"),
                hook: self.packet.hook,
            },
        }
    }

    /// Notes a rule that may stop the packet.
    fn may_stop(&mut self, verdict: &'static str, rule: &Value) {
        let stop = self.stop(verdict, describe(rule, verdict));
        self.doubts.meet(ChainEnd::Stop(stop), Certainty::Maybe);
    }

    /// Connection tracking leaves the packet alone: no address of it is changed, which stops what needs that.
    fn untracked(&mut self, rule: &Value) -> Option<ChainEnd> {
        self.doubts.may_be_untracked = true;
        let is_stop = self.packet.needs_nat;
        is_stop.then(|| ChainEnd::Stop(self.stop("notrack", describe(rule, "notrack"))))
    }

    /// Somebody else sends the packet elsewhere: what portero would translate does not arrive, and who gets another is not
    /// known.
    fn redirect(&mut self, kind: &str, rule: &Value, certainty: Certainty) -> Option<ChainEnd> {
        // A map may have nothing for the packet.
        let is_sure = certainty == Certainty::Sure && self.packet.is_translated_here;
        let verdict = if kind == "dnat" { "dnat" } else { "redirect" };
        let stop = ChainEnd::Stop(self.stop(verdict, describe(rule, verdict)));
        match is_sure {
            true => self.doubts.meet(stop, Certainty::Sure),
            false => {
                self.doubts.meet(stop, Certainty::Maybe);
                self.accept(rule, Certainty::Maybe)
            }
        }
    }

    fn chain(&mut self, name: &str, certainty: Certainty, depth: usize) -> Option<ChainEnd> {
        if depth >= DEPTH {
            return None;
        }
        let mut rules = self.listing.rules(self.base, name).iter();
        let end = rules.find_map(|rule| self.rule(rule, certainty, depth));
        end.filter(|end| !matches!(end, ChainEnd::Return))
    }

    fn rule(
        &mut self,
        rule: &'a Value,
        mut certainty: Certainty,
        depth: usize,
    ) -> Option<ChainEnd> {
        let expressions = Expressions {
            rule,
            listing: self.listing,
            packet: self.packet,
        };
        for statement in rule["expr"].as_array()? {
            let (kind, content) = statement.as_object()?.iter().next()?;
            match kind.as_str() {
                "match" => match expressions.fits(content) {
                    Some(true) => {}
                    Some(false) => return None,
                    None => certainty = Certainty::Maybe,
                },
                "vmap" => match expressions.lookup(content) {
                    Some(Some(verdict)) => return self.verdict(verdict, rule, certainty, depth),
                    // What the map does not have ends the rule.
                    Some(None) => return None,
                    None => {
                        for pair in expressions.pairs(content).unwrap_or_default() {
                            self.verdict(&pair[1], rule, Certainty::Maybe, depth);
                        }
                        return None;
                    }
                },
                // A set may be full, or have a rate for each element.
                "limit" | "quota" | "xt" | "connlimit" | "ct count" | "set" | "map" | "meter" => {
                    certainty = Certainty::Maybe;
                }
                // A program of the host gets it, if one listens.
                "tproxy" => {
                    self.may_stop("redirect", rule);
                    certainty = Certainty::Maybe;
                }
                "notrack" => {
                    let stop = self.untracked(rule);
                    if let Some(end) = stop.and_then(|stop| self.doubts.meet(stop, certainty)) {
                        return Some(end);
                    }
                }
                "mangle"
                    if content
                        .pointer("/key/ct/key")
                        .is_some_and(|key| key == "zone") =>
                {
                    self.doubts.may_be_untracked = true;
                    if self.packet.needs_nat {
                        self.may_stop("ct zone", rule);
                    }
                }
                "dnat" | "redirect" if self.owner() != RuleOwner::Portero => {
                    return self.redirect(kind, rule, certainty);
                }
                "fwd" | "synproxy" => {
                    self.may_stop("redirect", rule);
                    return self.accept(rule, certainty);
                }
                // A map may have nothing for the packet.
                "dnat" | "snat" | "masquerade" | "redirect" => {
                    return self.accept(rule, Certainty::Maybe);
                }
                "accept" | "drop" | "reject" | "return" | "jump" | "goto" | "queue" => {
                    return self.verdict(statement, rule, certainty, depth);
                }
                // counter, log, mangle and the like.
                _ => {}
            }
        }
        None
    }

    fn verdict(
        &mut self,
        verdict: &'a Value,
        rule: &Value,
        certainty: Certainty,
        depth: usize,
    ) -> Option<ChainEnd> {
        let (kind, content) = verdict.as_object()?.iter().next()?;
        match kind.as_str() {
            "accept" => self.accept(rule, certainty),
            "return" => self.doubts.meet(ChainEnd::Return, certainty),
            // A program decides; the kernel drops the packet if none listens.
            "queue" => {
                self.may_stop("queue", rule);
                self.accept(rule, certainty)
            }
            // What portero drops of a forward pretends to come from the guest's subnet: nobody who is not known does.
            "drop"
                if word(self.base, "table") == "portero"
                    && matches!(certainty, Certainty::Maybe) =>
            {
                None
            }
            "drop" | "reject" => {
                let word = if kind == "drop" { "drop" } else { "reject" };
                let stop = self.stop(word, describe(rule, word));
                self.doubts.meet(ChainEnd::Stop(stop), certainty)
            }
            "jump" | "goto" => {
                match self.chain(content["target"].as_str()?, certainty, depth + 1) {
                    None if kind == "goto" => self.doubts.meet(ChainEnd::Return, certainty),
                    end => end,
                }
            }
            _ => None,
        }
    }
}

/// A rule in words, by which it is found with `nft -a list chain`.
fn describe(rule: &Value, verdict: &str) -> String {
    let chain = rule["chain"].as_str().unwrap_or_default();
    let comment = rule["comment"].as_str();
    let comment = comment.map_or(String::new(), |text| format!(", \"{text}\""));
    format!(
        "chain {chain}, handle {}: {verdict}{comment}",
        rule["handle"]
    )
}
