//! Reads `nft -j list ruleset` and walks a packet through everybody's chains of the hook `forward`.

mod expression;
mod listing;

use crate::packet::ForwardedPacket;
use crate::verdict::{BaseChain, Judgement, RuleOwner, Stop};
use crate::walk::{Certainty, ChainEnd, Doubts, DEPTH};
use expression::Expressions;
use listing::NftObjects;
use serde_json::Value;

/// Tables of portero's and libvirt's own: what they say is known from what they are made of.
const OWN: [&str; 3] = ["portero", "portero_policy", "libvirt_network"];

/// What becomes of a packet in each base chain. iptables' own are left to iptables where that lists
/// them.
pub(crate) fn judge(text: &str, packet: &ForwardedPacket, has_iptables: bool) -> Vec<Judgement> {
    let Ok(root) = serde_json::from_str::<Value>(text) else {
        return Vec::new();
    };
    let objects = root["nftables"].as_array();
    let listing = NftObjects(objects.into_iter().flatten().collect());
    let mut chains: Vec<&Value> = listing.all("chain").collect();
    chains.retain(|chain| is_asked(chain, packet, has_iptables));
    chains.sort_by_key(|chain| chain["prio"].as_i64());
    let judgements = chains.into_iter().map(|chain| {
        let mut walk = Walk {
            listing: &listing,
            base: chain,
            packet,
            doubts: Doubts::default(),
        };
        let name = chain["name"].as_str().unwrap_or_default();
        let end = walk.chain(name, Certainty::Sure, 0);
        let drops = chain["policy"] == "drop";
        let policy = drops.then(|| walk.stop("drop", format!("the policy of chain {name}, drop")));
        walk.doubts.judgement(end, policy)
    });
    judgements.collect()
}

fn is_asked(chain: &Value, packet: &ForwardedPacket, has_iptables: bool) -> bool {
    let family = if packet.guest.is_ipv4() { "ip" } else { "ip6" };
    let word = |key: &str| chain[key].as_str().unwrap_or_default();
    let is_iptables =
        word("family") == family && word("table") == "filter" && word("name") == "FORWARD";
    let is_family = word("family") == family || word("family") == "inet";
    let is_base = word("hook") == "forward" && word("type") == "filter";
    is_base && is_family && !OWN.contains(&word("table")) && !(is_iptables && has_iptables)
}

struct Walk<'a, 'l> {
    listing: &'l NftObjects<'a>,
    base: &'a Value,
    packet: &'l ForwardedPacket,
    doubts: Doubts,
}

impl<'a> Walk<'a, '_> {
    fn stop(&self, verdict: &'static str, rule: String) -> Stop {
        let word = |key: &str| self.base[key].as_str().unwrap_or_default().to_owned();
        let table = word("table");
        Stop {
            by: if table.starts_with("firewalld") {
                RuleOwner::Firewalld
            } else {
                RuleOwner::Other
            },
            verdict,
            rule,
            base: BaseChain::Nftables(word("family"), table, word("name")),
        }
    }

    fn chain(&mut self, name: &str, certainty: Certainty, depth: usize) -> Option<ChainEnd> {
        if depth >= DEPTH {
            return None;
        }
        let (base, listing) = (self.base, self.listing);
        let mut rules = listing.all("rule").filter(|rule| {
            rule["chain"] == name
                && rule["family"] == base["family"]
                && rule["table"] == base["table"]
        });
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
                    Some(None) => {}
                    None => {
                        for pair in expressions.pairs(content).unwrap_or_default() {
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
    ) -> Option<ChainEnd> {
        let (kind, content) = verdict.as_object()?.iter().next()?;
        match kind.as_str() {
            "accept" => self.doubts.meet(ChainEnd::Accept, certainty),
            "return" => self.doubts.meet(ChainEnd::Return, certainty),
            "queue" => self.doubts.meet(ChainEnd::Accept, Certainty::Maybe),
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
