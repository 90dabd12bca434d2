//! One rule as it is given to iptables on its command line.

use super::{Ends, ImportedForward, Remark};
use portero_model::{PortRange, Protocol};

/// What one command does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IptablesRule {
    /// Whether it adds or takes away.
    pub(super) action: Action,
    /// Which chain.
    pub(super) chain: String,
    /// What the rule does.
    pub(super) effect: Effect,
}

/// What is done with a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// `-A`, `-I`
    Add,
    /// `-D`
    Delete,
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// It forwards ports.
    Dnat(Vec<ImportedForward>),
    /// Something else; its target.
    Other(String),
}

/// Extensions of which nothing but the options counts for a forward.
const MATCHES: [&str; 5] = ["tcp", "udp", "sctp", "multiport", "comment"];

/// The options that count for a forward.
#[derive(Debug, Default)]
struct Options {
    table: Option<String>,
    chain: Option<(Action, String)>,
    protocol: Option<String>,
    source: Option<String>,
    destination: Option<String>,
    ports: Option<String>,
    dev: Option<String>,
    target: Option<String>,
    to: Option<String>,
    /// The first that is not understood.
    unknown: Option<String>,
}

/// Reads a command; the words are complete.
///
/// # Errors
/// [`Remark`] when it is not iptables, or forwards in a way that portero has not.
pub(super) fn read(words: &[String], line: usize) -> Result<IptablesRule, Remark> {
    let no_command = || Remark::new(line, "no command");
    let (program, arguments) = words.split_first().ok_or_else(no_command)?;
    let name = program.rsplit('/').next().unwrap_or(program);
    if !["iptables", "ip6tables"].contains(&name) {
        let text = format!(
            "'{}' is not understood, expected iptables or ip6tables (shell is read, never run)",
            program.escape_debug()
        );
        return Err(Remark::new(line, text));
    }
    let options = options(arguments);
    let missing = |what: &str| Remark::new(line, format!("{name}: {what}"));
    let chain = options.chain.clone();
    let (action, chain) = chain.ok_or_else(|| missing("expected -A, -I or -D with a chain"))?;
    let target = options.target.clone();
    let target = target.ok_or_else(|| missing("expected -j with a target"))?;
    let effect = if target == "DNAT" {
        Effect::Dnat(forwards(&options, line).map_err(|reason| missing(&reason))?)
    } else {
        Effect::Other(target)
    };
    Ok(IptablesRule {
        action,
        chain,
        effect,
    })
}

fn options(arguments: &[String]) -> Options {
    let mut options = Options::default();
    let mut words = arguments.iter().peekable();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-t" | "--table" => options.table = words.next().cloned(),
            "-A" | "--append" | "-I" | "--insert" => {
                options.chain = words.next().map(|chain| (Action::Add, chain.clone()));
                let is_insert = ["-I", "--insert"].contains(&word.as_str());
                words.next_if(|next| is_insert && is_number(next));
            }
            "-D" | "--delete" => {
                options.chain = words.next().map(|chain| (Action::Delete, chain.clone()));
            }
            "-p" | "--protocol" => options.protocol = words.next().cloned(),
            "-s" | "--src" | "--source" => options.source = words.next().cloned(),
            "-d" | "--dst" | "--destination" => options.destination = words.next().cloned(),
            "--dport" | "--destination-port" | "--dports" | "--destination-ports" => {
                options.ports = words.next().cloned();
            }
            "-i" | "--in-interface" => options.dev = words.next().cloned(),
            "-j" | "--jump" => options.target = words.next().cloned(),
            "--to" | "--to-destination" => options.to = words.next().cloned(),
            // What is known to change nothing about a forward.
            "-m" | "--match"
                if words
                    .next_if(|next| MATCHES.contains(&next.as_str()))
                    .is_some() => {}
            "--comment" => {
                words.next();
            }
            "-w" | "--wait" => {
                words.next_if(|next| is_number(next));
            }
            _ => {
                options.unknown.get_or_insert_with(|| word.clone());
            }
        }
    }
    options
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}

/// The forwards of a DNAT rule.
fn forwards(options: &Options, line: usize) -> Result<Vec<ImportedForward>, String> {
    if let Some(unknown) = &options.unknown {
        let unknown = unknown.escape_debug();
        return Err(format!("'{unknown}' is not understood in a DNAT rule"));
    }
    if options.table.as_deref() != Some("nat") {
        return Err("expected -t nat for DNAT".to_owned());
    }
    let chain = options.chain.as_ref().map(|(_, chain)| chain.as_str());
    if !matches!(chain, Some("PREROUTING" | "OUTPUT")) {
        return Err("expected DNAT in PREROUTING or OUTPUT".to_owned());
    }
    let protocol = options.protocol.as_deref();
    let protocol = protocol.ok_or("expected -p tcp, udp or sctp for DNAT")?;
    let protocol: Protocol = protocol.parse().map_err(|error| format!("{error}"))?;
    let ports = options.ports.as_deref();
    let ports = ports.ok_or("expected --dport (all ports of the host cannot be forwarded)")?;
    let to = options.to.as_deref().ok_or("expected --to-destination")?;
    let (guest, guest_ports) = destination(to)?;
    let ends = Ends {
        protocol,
        address: options.destination.clone(),
        dev: options.dev.clone(),
        source: options.source.clone(),
        guest: guest.to_owned(),
    };
    let ranges = ports.split(',').map(|range| {
        let host = port_range(range, ':')?;
        let to = guest_ports.map(|ports| port_range(ports, '-'));
        let to = match to.transpose()? {
            None => host.start(),
            Some(guest) if guest == host => host.start(),
            Some(guest) if guest.is_single() && host.is_single() => guest.start(),
            Some(guest) => {
                return Err(format!(
                    "ports {host} lead to any of {guest}, expected each to lead to one"
                ));
            }
        };
        Ok(ImportedForward {
            ends: ends.clone(),
            ports: host,
            to,
            line,
        })
    });
    ranges.collect()
}

/// `ADDRESS`, `ADDRESS:PORT`, `ADDRESS:PORT-PORT`, with brackets around an IPv6 address before ports.
fn destination(text: &str) -> Result<(&str, Option<&str>), String> {
    let found = match text.strip_prefix('[') {
        Some(rest) => rest
            .split_once(']')
            .map(|(address, ports)| (address, ports.strip_prefix(':'))),
        None if text.matches(':').count() == 1 => text
            .split_once(':')
            .map(|(address, ports)| (address, Some(ports))),
        None => Some((text, None)),
    };
    let text = text.escape_debug();
    let none = || format!("'{text}' is no destination, expected ADDRESS:PORT");
    found
        .filter(|(address, _)| !address.is_empty())
        .ok_or_else(none)
}

fn port_range(text: &str, separator: char) -> Result<PortRange, String> {
    let (start, end) = text.split_once(separator).unwrap_or((text, text));
    let port = |text: &str| PortRange::port(text).map_err(|error| error.to_string());
    PortRange::new(port(start)?, port(end)?).map_err(|error| error.to_string())
}
