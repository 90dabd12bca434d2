//! Reads `nft -j list ruleset` and walks a packet through everybody's chains.

mod expression;
mod listing;

use crate::flow::Packet;
use crate::verdict::{BaseChain, RuleOwner, Stop};
use crate::walk::{Certainty, ChainEnd, Doubts, DEPTH};
use expression::Expressions;
pub(crate) use listing::Listing;
use serde_json::Value;

struct Walk<'a> {
    listing: &'a Listing,
    base: &'a Value,
    packet: &'a Packet<'a>,
    doubts: Doubts,
}

impl<'a> Walk<'a> {
    fn stop(&self, verdict: &'static str, rule: String) -> Stop {
        let word = |key: &str| self.base[key].as_str().unwrap_or_default().to_owned();
        let table = word("table");
        Stop {
            by: match table.as_str() {
                "libvirt_network" => RuleOwner::Libvirt,
                "portero" | "portero_policy" => RuleOwner::Portero,
                table if table.starts_with("firewalld") => RuleOwner::Firewalld,
                table if table.starts_with("docker") => RuleOwner::Docker,
                _ => RuleOwner::Other,
            },
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
                "limit" | "quota" | "xt" | "connlimit" | "ct count" | "tproxy" => {
                    certainty = Certainty::Maybe;
                }
                "notrack" => self.doubts.may_be_untracked = true,
                // A map may have nothing for the packet.
                "dnat" | "snat" | "masquerade" | "redirect" | "synproxy" => {
                    return self.doubts.meet(ChainEnd::Accept, Certainty::Maybe);
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
