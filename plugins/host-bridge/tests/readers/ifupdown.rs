//! ifupdown: all stanzas of an interface count, and those of its aliases.

use super::{mac, Question, Reading};

/// Options of the link and of the program that makes it, bridge-utils among them.
const OF_LINKS: [&str; 13] = [
    "bond",
    "slaves",
    "vlan",
    "ethernet",
    "link",
    "offload",
    "hardware",
    "driver",
    "ethtool",
    "bridge",
    "rename",
    "description",
    "media",
];

pub(crate) fn read(question: &Question<'_>) -> Reading {
    let name = question.name;
    let mut reading = Reading::default();
    let main = question.files.get("network/interfaces").unwrap_or_default();
    let mut texts = vec![main];
    if main
        .lines()
        .any(|line| line.trim_start().starts_with("source") && line.contains("interfaces.d"))
    {
        texts.extend(
            question
                .files
                .folder("network/interfaces.d")
                .map(|(_, text)| text),
        );
    }
    let (mut stanza, mut hardware, mut is_known) = (None::<String>, None, false);
    for line in texts.iter().flat_map(|text| text.lines()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            [comment, ..] if comment.starts_with('#') => {}
            ["auto" | "allow-hotplug", names @ ..] => {
                stanza = None;
                for known in names.iter().filter(|known| is_of(known, name)) {
                    reading.add(name, format!("boot {known}"));
                }
            }
            [first, ..]
                if first.starts_with("allow-")
                    || [
                        "mapping",
                        "source",
                        "source-directory",
                        "rename",
                        "no-auto-down",
                        "template",
                    ]
                    .contains(first) =>
            {
                stanza = None
            }
            ["iface", of, rest @ ..] => {
                stanza =
                    is_of(of, name).then(|| format!("{of} {}", rest.first().unwrap_or(&"inet")));
                is_known |= *of == name;
                if stanza.is_some() && rest.get(1) != Some(&"manual") {
                    reading.add(name, format!("iface {of} {}", rest.join(" ")));
                }
            }
            [option, values @ ..] => {
                let option = option.replace('_', "-");
                if stanza.is_none() {
                    continue;
                }
                match option.as_str() {
                    "hwaddress" | "bridge-hw" => {
                        hardware = values.last().map(|mac| (*mac).to_owned())
                    }
                    _ if OF_LINKS
                        .iter()
                        .any(|of| option.split('-').next() == Some(of)) =>
                    {
                        reading.link.insert(line.trim().to_owned());
                    }
                    _ if is_about_link(&option, values) => {
                        reading.link.insert(line.trim().to_owned());
                    }
                    _ => reading.add(
                        name,
                        format!(
                            "{} {option} {}",
                            stanza.as_deref().unwrap_or_default(),
                            values.join(" ")
                        ),
                    ),
                }
            }
        }
    }
    if is_known {
        reading.add(name, mac(question, hardware.as_deref()));
    }
    reading.link.retain(|line| !line.starts_with("bridge"));
    let bridge = bridge_of(&texts, name);
    if bridge.is_some() {
        reading.master = bridge;
        // A port has its link's options alone.
        reading.facts.retain(|fact| {
            !fact.starts_with("mac ") && !fact.starts_with("boot ") && !fact.contains(" mtu ")
        });
    }
    reading
}

fn is_of(known: &str, name: &str) -> bool {
    known == name
        || known
            .strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(':'))
}

fn is_about_link(option: &str, command: &[&str]) -> bool {
    let is_command = ["up", "down", "pre-up", "post-up", "pre-down", "post-down"].contains(&option);
    let program = command
        .first()
        .and_then(|program| program.rsplit('/').next())
        .unwrap_or_default();
    is_command
        && (["ethtool", "mii-tool", "modprobe"].contains(&program)
            || program == "ip" && command.get(1) == Some(&"link"))
}

/// The interface whose ports have the name among them.
fn bridge_of(texts: &[&str], name: &str) -> Option<String> {
    let mut stanza = None;
    for line in texts.iter().flat_map(|text| text.lines()) {
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["iface", of, ..] => stanza = Some((*of).to_owned()),
            ["bridge_ports" | "bridge-ports", ports @ ..] if ports.contains(&name) => {
                return stanza
            }
            _ => {}
        }
    }
    None
}
