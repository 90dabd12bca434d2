//! Whether a script says nothing but portero's own words: no text of a user's may become an option, another
//! line, or a word that a firewall acts on.

mod iptables;
mod nftables;

use portero_firewall::{Script, Tool};

/// Checks every line.
pub(crate) fn check(script: &Script) {
    assert!(script.text().ends_with('\n'), "{:?}", script.text());
    for line in script.text().lines() {
        let problem = match script.tool {
            Tool::Restore(_) => iptables::problem(line),
            Tool::Nft => nftables::problem(line),
        };
        assert!(problem.is_none(), "{}: {line}", problem.unwrap_or_default());
    }
}

/// A word of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    /// As it stands.
    Bare(String),
    /// What was between quotes.
    Quoted(String),
}

/// Divides a line; neither firewall knows a way to write a quote inside of quotes that portero uses.
fn words(line: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    for (index, part) in line.split('"').enumerate() {
        if index % 2 == 1 {
            words.push(Word::Quoted(part.to_owned()));
        } else {
            words.extend(
                part.split_whitespace()
                    .map(|word| Word::Bare(word.to_owned())),
            );
        }
    }
    let is_plain = |character: char| matches!(character, '\t' | ' '..='~') && character != '\\';
    if line.matches('"').count() % 2 == 1 {
        Err("a quote that does not end".to_owned())
    } else if !line.chars().all(is_plain) {
        Err("a character that is not plain".to_owned())
    } else {
        Ok(words)
    }
}
