//! The same of a line for iptables-restore.

use super::{words, Word};

/// Options that portero gives iptables, each with one value.
const OPTIONS: &str =
    "-m -j -i -o -s -d -p --comment --ctdir --ctmask --ctorigdst --ctorigdstport --ctreplsrc --ctreplsrcport --ctstate \
    --dport --dst-range --dst-type --icmp-type --icmpv6-type --limit --limit-burst --log-prefix \
    --mac-source --mark --nfmask --reject-with --set-xmark --src-range --to-destination --to-ports --to-source";

/// The only one without a value.
const FLAG: &str = "--restore-mark";

/// The chains that all have.
const BUILT_IN: [&str; 5] = ["INPUT", "FORWARD", "OUTPUT", "PREROUTING", "POSTROUTING"];

/// What is wrong with a line.
pub(super) fn problem(line: &str) -> Option<String> {
    let words = match words(line) {
        Ok(words) => words,
        Err(problem) => return Some(problem),
    };
    let bare: Vec<&str> = words
        .iter()
        .filter_map(|word| match word {
            Word::Bare(word) => Some(word.as_str()),
            Word::Quoted(_) => None,
        })
        .collect();
    let is_chain = |name: &str| {
        let letters = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        letters && (BUILT_IN.contains(&name) || (name.starts_with("PORTERO-") && name.len() <= 28))
    };
    match (bare.as_slice(), words.len()) {
        (["*filter" | "*nat" | "*mangle"] | ["COMMIT"], 1) => None,
        ([chain, "-", "[0:0]"], 3) if chain.strip_prefix(':').is_some_and(is_chain) => None,
        (["-F" | "-X", chain], 2) if is_chain(chain) => None,
        (["-A" | "-I" | "-D", chain, ..], _) if is_chain(chain) => of_rule(&words[2..]),
        _ => Some("not a command of portero's".to_owned()),
    }
}

/// Options, each with one value, each perhaps after a `!`.
fn of_rule(words: &[Word]) -> Option<String> {
    let mut words = words.iter();
    let mut target = None;
    while let Some(word) = words.next() {
        let option = match word {
            Word::Bare(word) if word == "!" => match words.next() {
                Some(Word::Bare(word)) => word,
                _ => return Some("nothing after !".to_owned()),
            },
            Word::Bare(word) => word,
            Word::Quoted(_) => return Some("quotes where an option belongs".to_owned()),
        };
        if !OPTIONS.split(' ').any(|known| known == option) && option != FLAG {
            return Some(format!("{option} is no option of portero's"));
        }
        if option == FLAG {
            continue;
        }
        let (value, is_quoted) = match words.next() {
            Some(Word::Bare(value)) => (value, false),
            Some(Word::Quoted(value)) => (value, true),
            None => return Some(format!("{option} has no value")),
        };
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/,@+-[]".contains(&byte);
        let is_text = ["--comment", "--log-prefix"].contains(&option.as_str());
        if value.starts_with(['-', '!']) || value.is_empty() || (is_quoted && !is_text) {
            return Some(format!("{value:?} is no value of {option}"));
        }
        if !is_quoted && !value.bytes().all(allowed) {
            return Some(format!("{value:?} is no plain value"));
        }
        if ["-i", "-o"].contains(&option.as_str()) && (value.len() > 15 || value.ends_with('+')) {
            return Some(format!("{value:?} is no one interface"));
        }
        if option == "-j" {
            target = Some(value);
        }
    }
    match target {
        Some(_) => None,
        None => Some("a rule that does nothing".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::problem;

    #[test]
    fn what_portero_writes_is_taken() {
        let lines = [
            "*filter",
            ":PORTERO-IN - [0:0]",
            "-A PORTERO-IN -o br-lan -m comment --comment \"network lan\" -j PORTERO-PI-0123456789abcdef",
            "-A PORTERO-DN-0123456789abcdef ! -d 127.0.0.0/8 -p tcp -m tcp --dport 80 -j DNAT --to-destination 192.0.2.1",
        ];
        for line in lines {
            assert_eq!(problem(line), None, "{line}");
        }
    }

    #[test]
    fn what_a_user_could_slip_in_is_found() {
        let lines = [
            "-A PORTERO-IN -i -j ACCEPT -j DROP",
            "-A PORTERO-IN -o br-lan -m comment --comment \"a\" -t nat\" -j ACCEPT",
            "-A PORTERO-IN -m comment --comment -j ACCEPT",
            "-A INPUT --modprobe /bin/sh -j ACCEPT",
            "-A PORTERO-IN -i vnet+ -j ACCEPT",
            "-A PORTERO-IN -s ! -j ACCEPT",
            "-A PORTERO-IN -s 192.0.2.1",
            "-A PORTERO-IN -m comment --comment \"a\u{1b}b\" -j ACCEPT",
            "-F DOCKER",
            "-P FORWARD ACCEPT",
            ":FORWARD ACCEPT [0:0]",
        ];
        for line in lines {
            assert!(problem(line).is_some(), "{line}");
        }
    }
}
