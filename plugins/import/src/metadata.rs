//! The metadata that a domain is to have, checked by the planner that will read it.

use super::{Ends, ImportedDomain, ImportedForward, Remark};
use portero_model::{Claim, Origin, OwnerKind};
use portero_port_forward::{check_own, parse};
use portero_xml::{Element, NAMESPACE};
use quick_xml::escape::escape;
use std::fmt;

/// The key that libvirt gives the namespace in the XML.
const PREFIX: &str = "portero";

/// A domain's metadata.
#[derive(Debug)]
pub struct Metadata<'a> {
    /// The domain.
    pub domain: &'a ImportedDomain,
    /// The host's ports it holds, with the lines that say so.
    claims: Vec<(Claim, usize)>,
}

impl<'a> Metadata<'a> {
    /// Makes it.
    ///
    /// # Errors
    /// [`Remark`] at the first forward that the planner refuses.
    pub fn new(domain: &'a ImportedDomain) -> Result<Self, Remark> {
        // One line of XML for each forward, so that the planner's lines tell which it was.
        let mut xml = format!("<domain xmlns='{NAMESPACE}'>");
        let mut lines = Vec::new();
        for forward in &domain.forwards {
            xml += &format!("\n{}", start_tag(&forward.ends, "", '\''));
            xml += &range_tag(forward, "", '\'');
            xml += "</portForward>";
            lines.push(forward.line);
        }
        xml += "</domain>";
        let line_of = |line: usize| lines.get(line.saturating_sub(2)).copied().unwrap_or(1);
        let refused = |line: usize, reason: &dyn fmt::Display| {
            Remark::new(line_of(line), format!("domain '{}': {reason}", domain.name))
        };
        let root = Element::parse(xml.as_bytes()).map_err(|error| refused(0, &error))?;
        let origin = Origin::File(String::new());
        let forwards = parse(&root, OwnerKind::Domain, &origin)
            .map_err(|error| refused(error.problem.line, &error.problem.reason))?;
        check_own(&forwards)
            .map_err(|error| refused(error.problem.line, &"a port of it is forwarded twice"))?;
        let claims = forwards.iter().flat_map(|forward| {
            let line = line_of(forward.line);
            forward.claims().map(move |claim| (claim, line))
        });
        Ok(Self {
            domain,
            claims: claims.collect(),
        })
    }

    /// The element as libvirt takes it to set it: it adds the namespace itself, and refuses what has
    /// one.
    #[must_use]
    pub fn for_libvirt(&self) -> String {
        self.xml("", '"', "", "")
    }

    /// The element, with a prefix before each name and something between its parts.
    fn xml(&self, prefix: &str, quote: char, line_break: &str, indent: &str) -> String {
        let mut xml = format!("<{prefix}domain");
        if !prefix.is_empty() {
            xml += &format!(" xmlns:{PREFIX}={quote}{NAMESPACE}{quote}");
        }
        xml += ">";
        let same = |a: &ImportedForward, b: &ImportedForward| a.ends == b.ends;
        for forwards in self.domain.forwards.chunk_by(same) {
            let tag = start_tag(&forwards[0].ends, prefix, quote);
            xml += &format!("{line_break}{indent}{tag}");
            for forward in forwards {
                let tag = range_tag(forward, prefix, quote);
                xml += &format!("{line_break}{indent}{indent}{tag}");
            }
            xml += &format!("{line_break}{indent}</{prefix}portForward>");
        }
        xml + &format!("{line_break}</{prefix}domain>")
    }
}

/// The element as it stands in a domain's XML, and the command that puts it there.
impl fmt::Display for Metadata<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let xml = self.xml("portero:", '\'', "\n", "  ");
        let bare = self.for_libvirt();
        // Neither name nor XML can hold a NUL, which alone cannot be quoted.
        let name = self.domain.name.as_str();
        let words = ["virsh", "metadata", "--domain", name, "--uri", NAMESPACE];
        let set = ["--key", PREFIX, "--config", "--set", &bare];
        let command = shlex::try_join(words.into_iter().chain(set)).map_err(|_| fmt::Error)?;
        // A comment in XML must not hold `--`; of three in a row the first time leaves two.
        let name = name.replace("--", "- -").replace("--", "- -");
        writeln!(formatter, "<!-- {name} -->\n{xml}\n\n{command}\n")
    }
}

fn start_tag(ends: &Ends, prefix: &str, quote: char) -> String {
    let mut tag = format!("<{prefix}portForward proto={quote}{}{quote}", ends.protocol);
    let attributes = [
        ("address", ends.address.as_deref()),
        ("dev", ends.dev.as_deref()),
        ("source", ends.source.as_deref()),
        ("guest", Some(ends.guest.as_str())),
    ];
    for (name, value) in attributes {
        if let Some(value) = value {
            tag += &format!(" {name}={quote}{}{quote}", escape(value));
        }
    }
    tag + ">"
}

fn range_tag(forward: &ImportedForward, prefix: &str, quote: char) -> String {
    let (start, end) = (forward.ports.start(), forward.ports.end());
    let mut tag = format!("<{prefix}range start={quote}{start}{quote}");
    if end != start {
        tag += &format!(" end={quote}{end}{quote}");
    }
    if forward.to != start {
        tag += &format!(" to={quote}{}{quote}", forward.to);
    }
    tag + "/>"
}

/// Ports that two domains claim: the one that starts second is refused.
#[must_use]
pub fn conflicts(all: &[Metadata<'_>]) -> Vec<Remark> {
    let mut remarks = Vec::new();
    for (index, one) in all.iter().enumerate() {
        for other in &all[..index] {
            let both = one.claims.iter().find_map(|(claim, line)| {
                let held = |(held, _): &&(Claim, usize)| held.conflicts_with(claim);
                other.claims.iter().find(held).map(|_| (claim, *line))
            });
            if let Some((claim, line)) = both {
                let (first, second) = (&other.domain.name, &one.domain.name);
                let text = format!(
                    "{claim} is claimed by both '{first}' and '{second}', and the second of them to start \
                     is refused"
                );
                remarks.push(Remark::new(line, text));
            }
        }
    }
    remarks
}
