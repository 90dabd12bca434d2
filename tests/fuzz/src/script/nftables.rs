//! The same of a line for nft.

use super::{words, Word};

/// Words of nft's language that portero uses. What it names itself has other forms, see [`is_value`].
const WORDS: &str =
    "accept add arp bridge burst chain code comment counter create ct daddr delete direction dnat \
    dport drop element established ether ether_addr fib filter flags flush forward goto \
    guest_input guest_output handle hook icmp icmpv6 ifname iif iifname inet inet_proto \
    inet_service input insert interval ip ip6 ipv4 ipv4_addr ipv6 ipv6_addr jump l4proto limit local log map \
    mark masquerade meta nat nd-router-advert new nfproto oif oifname original output packets policy \
    postrouting prefix prerouting priority proto-dst proto-src protocol rate reject related \
    reply return rule saddr sctp set snat sport state status table tcp th to type udp verdict \
    vmap";

/// The tables that portero changes.
const TABLES: [&str; 3] = ["portero", "portero_policy", "libvirt_network"];

/// What may stand before and behind a word.
const AROUND: [char; 9] = [',', ';', '{', '}', '!', '=', '.', '&', '|'];

/// In what time something may be logged.
const TIMES: [&str; 4] = ["second", "minute", "hour", "day"];

/// What is wrong with a line.
pub(super) fn problem(line: &str) -> Option<String> {
    let words = match words(line) {
        Ok(words) => words,
        Err(problem) => return Some(problem),
    };
    let mut before = "";
    for word in &words {
        match word {
            Word::Quoted(text) => {
                let is_text = ["comment", "prefix"].contains(&before);
                let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:@+-".contains(&byte);
                let is_name = (1..=15).contains(&text.len()) && text.bytes().all(allowed);
                if !(is_name || text == "vnet*" || (is_text && text.len() < 128)) {
                    return Some(format!("{text:?} is no name"));
                }
                before = "";
            }
            Word::Bare(word) => {
                // An address may begin and end with colons.
                let address = word.trim_matches(AROUND);
                let bare = word.trim_matches(|around| around == ':' || AROUND.contains(&around));
                let named = ["chain", "set", "map", "jump", "goto"];
                let follows_name = named.contains(&before) || TABLES.contains(&before);
                let is_known = bare.is_empty()
                    || is_word(bare)
                    || TABLES.contains(&bare)
                    || is_value(bare)
                    || is_value(address)
                    || (follows_name && is_own_name(bare))
                    || is_own_name(bare.strip_prefix('@').unwrap_or("-"));
                if !is_known {
                    return Some(format!("{bare:?} is no word of portero's"));
                }
                before = word;
            }
        }
    }
    None
}

/// Numbers, addresses, networks, MAC addresses, ranges of them and lists of states.
fn is_value(word: &str) -> bool {
    let is_number_like =
        word.starts_with(|first: char| first.is_ascii_hexdigit() || "[:-@".contains(first));
    let allowed = |byte: u8| byte.is_ascii_hexdigit() || b".:/-x[]".contains(&byte);
    (is_number_like && word.bytes().all(allowed))
        || word.split(',').all(is_word)
        || word == "@nh,0,16"
        || word.split_once('/').is_some_and(|(number, unit)| {
            number.bytes().all(|byte| byte.is_ascii_digit()) && TIMES.contains(&unit)
        })
}

/// Names of tables, chains, sets and maps.
fn is_own_name(word: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    !word.is_empty() && word.bytes().all(allowed)
}

fn is_word(word: &str) -> bool {
    WORDS.split(' ').any(|known| known == word)
}

#[cfg(test)]
mod tests {
    use super::problem;

    #[test]
    fn what_portero_writes_is_taken() {
        let lines = [
            "\t\tiifname != @guarded return comment \"portero 2: others\"",
            "add element inet portero v4 { 6 . 80 : 192.0.2.1 . 80 }",
            "\tmap v4 { type inet_proto . inet_service : ipv4_addr . inet_service; }",
            "add rule inet portero_policy in_a ip6 saddr { ::/112, fd00::, } counter return",
        ];
        for line in lines {
            assert_eq!(problem(line), None, "{line}");
        }
    }

    #[test]
    fn what_a_user_could_slip_in_is_found() {
        let lines = [
            "include \"/etc/passwd\"",
            "add rule inet portero forward iifname \"eth*\" accept",
            "add rule inet portero forward comment \"a\"; flush ruleset",
            "add element inet portero localnet { \"a b\" }",
            "add element inet portero v4 { $x }",
            "add rule inet portero forward accept # comment",
        ];
        for line in lines {
            assert!(problem(line).is_some(), "{line}");
        }
    }
}
