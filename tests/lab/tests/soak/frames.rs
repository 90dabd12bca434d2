//! Rules that are the same for many: what they were first they have to stay.

use crate::view::View;
use std::collections::BTreeMap;

/// Rules by what they are for.
#[derive(Debug, Default)]
pub struct Frames(BTreeMap<String, Vec<String>>);

impl Frames {
    /// Compares rules with those that were there for the same purpose first.
    pub fn compare(&mut self, purpose: String, rules: Vec<String>, view: &mut View) {
        let seen = self
            .0
            .entry(purpose.clone())
            .or_insert_with(|| rules.clone());
        if *seen != rules {
            view.wrong(format!(
                "{purpose}: the rules are {rules:#?} and were {seen:#?}"
            ));
        }
    }
}

/// The rules of a recorded network's policy, as they would be of any other one of its mode; and that
/// mode.
pub fn of_any_network(bridge: &str, rules: &[String]) -> (usize, Vec<String>) {
    let number: usize = bridge
        .strip_prefix("br-rec")
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("{bridge} is no recorded network's"));
    let general = |rule: &String| {
        let rule = rule.replace(&format!("{bridge} "), "BRIDGE ");
        let rule = rule.replace(&format!("\"{bridge}\""), "BRIDGE");
        let rule = rule.replace(&format!("10.80.{number}."), "V4.");
        let rule = rule.replace(&format!("fd00:80:{number:x}:"), "V6:");
        without_port(&rule)
    };
    let modes = crate::recorded::MODES.len();
    (number % modes, rules.iter().map(general).collect())
}

/// Every policy lets another port in.
fn without_port(rule: &str) -> String {
    for before in [
        "--dport ",
        "\"dport\",\"protocol\":\"tcp\"}},\"op\":\"==\",\"right\":",
    ] {
        if let Some((head, tail)) = rule.split_once(before) {
            let tail = tail.trim_start_matches(|letter: char| letter.is_ascii_digit());
            return format!("{head}{before}PORT{tail}");
        }
    }
    rule.to_owned()
}
