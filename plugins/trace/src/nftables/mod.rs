//! Reads `nft -j list ruleset` and walks a packet through everybody's chains of the hook `forward`.

mod expression;
mod listing;

use crate::packet::Packet;
use crate::verdict::{Base, Judgement, Owner, Stop};
use crate::walk::{Certainty, Doubts, End, DEPTH};
use expression::{fits, lookup, pairs};
use listing::Listing;
use serde_json::Value;

/// Tables of portero's and libvirt's own: what they say is known from what they are made of.
const OWN: [&str; 3] = ["portero", "portero_policy", "libvirt_network"];

/// What becomes of a packet in each base chain. iptables' own are left to iptables where that lists
/// them.
pub(crate) fn judge(text: &str, packet: &Packet, has_iptables: bool) -> Vec<Judgement> {
    let Ok(root) = serde_json::from_str::<Value>(text) else {
        return Vec::new();
    };
    let objects = root["nftables"].as_array();
    let listing = Listing(objects.into_iter().flatten().collect());
    let mut chains: Vec<&Value> = listing
        .all("chain")
        .filter(|chain| chain["hook"] == "forward" && chain["type"] == "filter")
        .filter(|chain| is_asked(chain, packet, has_iptables))
        .collect();
    chains.sort_by_key(|chain| chain["prio"].as_i64());
    chains
        .into_iter()
        .map(|chain| {
            let mut doubts = Doubts::default();
            let mut walk = Walk {
                listing: &listing,
                base: chain,
                packet,
                doubts: &mut doubts,
            };
            let name = chain["name"].as_str().unwrap_or_default();
            let stopped = match walk.chain(name, Certainty::Sure, 0) {
                Some(End::Accept) => None,
                Some(End::Stop(stop)) => Some(stop),
                Some(End::Return) | None => (chain["policy"] == "drop")
                    .then(|| walk.stop("drop", format!("the policy of chain {name}, drop"))),
            };
            doubts.judgement(stopped)
        })
        .collect()
}

fn is_asked(chain: &Value, packet: &Packet, has_iptables: bool) -> bool {
    let family = match packet.guest {
        std::net::IpAddr::V4(_) => "ip",
        std::net::IpAddr::V6(_) => "ip6",
    };
    let word = |key: &str| chain[key].as_str().unwrap_or_default();
    let is_iptables =
        word("family") == family && word("table") == "filter" && word("name") == "FORWARD";
    let is_family = word("family") == family || word("family") == "inet";
    is_family && !OWN.contains(&word("table")) && !(is_iptables && has_iptables)
}

struct Walk<'a, 'l> {
    listing: &'l Listing<'a>,
    base: &'a Value,
    packet: &'l Packet,
    doubts: &'l mut Doubts,
}

impl<'a> Walk<'a, '_> {
    fn stop(&self, verdict: &'static str, rule: String) -> Stop {
        let word = |key: &str| self.base[key].as_str().unwrap_or_default().to_owned();
        let table = word("table");
        Stop {
            by: if table.starts_with("firewalld") {
                Owner::Firewalld
            } else {
                Owner::Other
            },
            verdict,
            rule,
            base: Base::Nftables(word("family"), table, word("name")),
        }
    }

    fn chain(&mut self, name: &str, certainty: Certainty, depth: usize) -> Option<End> {
        if depth >= DEPTH {
            return None;
        }
        let base = self.base;
        let listing = self.listing;
        let rules = listing.all("rule").filter(|rule| {
            rule["chain"] == name
                && rule["family"] == base["family"]
                && rule["table"] == base["table"]
        });
        for rule in rules {
            if let Some(end) = self.rule(rule, certainty, depth) {
                match end {
                    End::Return => return None,
                    end => return Some(end),
                }
            }
        }
        None
    }

    fn rule(&mut self, rule: &'a Value, mut certainty: Certainty, depth: usize) -> Option<End> {
        for statement in rule["expr"].as_array()? {
            let (kind, content) = statement.as_object()?.iter().next()?;
            match kind.as_str() {
                "match" => match fits(content, self.packet, self.listing, rule) {
                    Some(true) => {}
                    Some(false) => return None,
                    None => certainty = Certainty::Maybe,
                },
                "vmap" => match lookup(content, self.packet, self.listing, rule) {
                    Some(Some(verdict)) => return self.verdict(verdict, rule, certainty, depth),
                    Some(None) => {}
                    None => {
                        for pair in pairs(content, self.listing, rule).unwrap_or_default() {
                            self.verdict(&pair[1], rule, Certainty::Maybe, depth);
                        }
                    }
                },
                "limit" | "quota" | "xt" | "connlimit" => certainty = Certainty::Maybe,
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
    ) -> Option<End> {
        let (kind, content) = verdict.as_object()?.iter().next()?;
        match (kind.as_str(), certainty) {
            ("accept", Certainty::Sure) => Some(End::Accept),
            ("return", Certainty::Sure) => Some(End::Return),
            ("accept" | "return" | "queue", _) => {
                self.doubts.may_have_passed = true;
                None
            }
            ("drop" | "reject", _) => {
                let word = if kind == "drop" { "drop" } else { "reject" };
                let stop = self.stop(word, said(rule, word));
                if certainty == Certainty::Sure {
                    return Some(End::Stop(stop));
                }
                if !self.doubts.may_have_passed {
                    self.doubts.stop.get_or_insert(stop);
                }
                None
            }
            ("jump" | "goto", _) => {
                let target = content["target"].as_str()?;
                let end = self.chain(target, certainty, depth + 1);
                match (end, kind.as_str(), certainty) {
                    (None, "goto", Certainty::Sure) => Some(End::Return),
                    (None, "goto", Certainty::Maybe) => {
                        self.doubts.may_have_passed = true;
                        None
                    }
                    (end, _, _) => end,
                }
            }
            _ => None,
        }
    }
}

/// A rule in words, by which it is found with `nft -a list chain`.
fn said(rule: &Value, verdict: &str) -> String {
    let chain = rule["chain"].as_str().unwrap_or_default();
    let comment = rule["comment"].as_str();
    let comment = comment.map_or(String::new(), |text| format!(", \"{text}\""));
    format!(
        "chain {chain}, handle {}: {verdict}{comment}",
        rule["handle"]
    )
}
