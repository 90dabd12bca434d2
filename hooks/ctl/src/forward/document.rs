//! portero's element in a domain's metadata as a tree that is changed where it has to be and written
//! back as it was everywhere else, comments and whatever others have put there included.

use super::args::WhichForward;
use super::spec::{Excluded, Spec};
use portero_libvirt::MacAddress;
use portero_model::PortRange;
use portero_port_forward::{Mapping, SourceTarget, WrittenSource};
use portero_xml::{Element, XmlError, NAMESPACE};
use quick_xml::events::{BytesStart, BytesText, Event};
use quick_xml::{Reader, Writer};
use std::net::Ipv4Addr;

/// The elements that are added and removed.
const FORWARD: &str = "portForward";
const RANGE: &str = "range";
const ADDRESS: &str = "address";

/// How libvirt indents one level.
const INDENT: &str = "  ";

/// portero's element, in the form in which libvirt gives and takes it: without its namespace.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    root: XmlTree,
}

#[derive(Debug, Clone)]
struct XmlTree {
    tag: BytesStart<'static>,
    children: Vec<Child>,
}

#[derive(Debug, Clone)]
enum Child {
    Element(XmlTree),
    /// Text, a comment, or what else is no element.
    Other(Event<'static>),
}

impl Document {
    /// The element of a domain that has none.
    pub(crate) fn empty() -> Self {
        let root = XmlTree::new(BytesStart::new("domain"));
        Self { root }
    }

    /// Reads the element.
    ///
    /// # Errors
    /// [`XmlError`].
    pub(crate) fn parse(text: &str) -> Result<Self, XmlError> {
        // Whatever this one takes is small and well-formed.
        Element::parse(text.as_bytes())?;
        let mut reader = Reader::from_str(text);
        let mut open: Vec<XmlTree> = Vec::new();
        loop {
            let event = reader.read_event().map_err(|error| XmlError::Malformed {
                line: 1,
                reason: error.to_string(),
            })?;
            let closed = match event {
                Event::Start(tag) => {
                    open.push(XmlTree::new(tag));
                    None
                }
                Event::Empty(tag) => Some(XmlTree::new(tag)),
                Event::End(_) => open.pop(),
                Event::Eof => return Err(XmlError::Empty),
                other => {
                    if let Some(parent) = open.last_mut() {
                        parent.children.push(Child::Other(other.into_owned()));
                    }
                    None
                }
            };
            let Some(closed) = closed else { continue };
            match open.last_mut() {
                Some(parent) => parent.children.push(Child::Element(closed)),
                None => return Ok(Self { root: closed }),
            }
        }
    }

    /// The element as portero's grammar reads it.
    ///
    /// # Errors
    /// [`XmlError`].
    pub(crate) fn element(&self) -> Result<Element, XmlError> {
        let mut root = self.root.clone();
        root.tag.push_attribute(("xmlns", NAMESPACE));
        Element::parse(&root.text())
    }

    /// The text for libvirt; nothing when there is nothing in it any more.
    pub(crate) fn text(&self) -> Option<String> {
        let is_blank = self.root.children.iter().all(Child::is_blank);
        if is_blank && self.root.tag.attributes().next().is_none() {
            return None;
        }
        String::from_utf8(self.root.text()).ok()
    }

    /// Adds a forward behind all others, to one interface of the domain where that is named.
    pub(crate) fn add(
        &mut self,
        forward: &WhichForward,
        spec: &Spec,
        interface: Option<MacAddress>,
    ) {
        let mut tag = BytesStart::new(FORWARD);
        tag.push_attribute(("proto", spec.protocol.name()));
        push_optional(&mut tag, "address", spec.address);
        push_optional(&mut tag, "dev", forward.dev.as_ref());
        let (source, sources) = forward.written_sources();
        push_optional(&mut tag, "source", source);
        push_optional(&mut tag, "guest", forward.guest);
        push_optional(&mut tag, "masquerade", forward.masquerade.then_some("yes"));
        push_optional(&mut tag, "symmetric", forward.symmetric.then_some("yes"));
        push_optional(&mut tag, "interface", interface);
        let Mapping { host, guest } = spec.mapping();
        let to = (guest != host).then(|| guest.start());
        let mut element = XmlTree::new(tag);
        for source in sources {
            element.append(XmlTree::new(source_element(source)), 2);
        }
        element.append(XmlTree::new(range(host, to)), 2);
        self.root.append(element, 1);
    }

    /// Adds an address that leads to the guest as a whole, behind all others, but for excluded ports.
    pub(crate) fn add_address(
        &mut self,
        host: Ipv4Addr,
        forward: &WhichForward,
        excluded: &[Excluded],
        interface: Option<MacAddress>,
    ) {
        let mut tag = BytesStart::new(ADDRESS);
        push_optional(&mut tag, "host", Some(host));
        push_optional(&mut tag, "guest", forward.guest);
        push_optional(&mut tag, "interface", interface);
        let mut element = XmlTree::new(tag);
        for Excluded { ports, protocols } in excluded {
            for protocol in protocols {
                let mut tag = BytesStart::new("exclude");
                tag.push_attribute(("proto", protocol.name()));
                push_ports(&mut tag, *ports);
                element.append(XmlTree::new(tag), 2);
            }
        }
        self.root.append(element, 1);
    }

    /// Removes what says that an address leads to the guest as a whole.
    pub(crate) fn remove_address(&mut self, host: Ipv4Addr) {
        let place = self.root.all(ADDRESS).find(|place| {
            matches!(self.root.children.get(*place), Some(Child::Element(one))
                if one.value("host").is_some_and(|text| text.trim().parse() == Ok(host)))
        });
        if let Some(place) = place {
            self.root.remove(place);
        }
    }

    /// Takes ports from the forward of this number, which has more than these.
    pub(crate) fn cut(&mut self, number: usize, ports: PortRange) {
        let forward = self.root.all(FORWARD).nth(number);
        let forward = forward.and_then(|place| self.root.children.get_mut(place));
        let Some(Child::Element(forward)) = forward else {
            return;
        };
        let same = forward.all(RANGE).find(|place| {
            matches!(forward.children.get(*place), Some(Child::Element(range)) if range.wants(ports))
        });
        match same {
            Some(place) => forward.remove(place),
            None => {
                let mut tag = range(ports, None);
                tag.push_attribute(("exclude", "yes"));
                forward.append(XmlTree::new(tag), 2);
            }
        }
    }

    /// Removes the forward of this number.
    pub(crate) fn remove(&mut self, number: usize) {
        let place = self.root.all(FORWARD).nth(number);
        if let Some(place) = place {
            self.root.remove(place);
        }
    }
}

fn push_optional(tag: &mut BytesStart<'_>, name: &str, value: Option<impl ToString>) {
    if let Some(value) = value {
        tag.push_attribute((name, value.to_string().as_str()));
    }
}

fn source_element(source: &WrittenSource) -> BytesStart<'static> {
    let mut tag = BytesStart::new("source");
    match &source.target {
        SourceTarget::Net(net) => {
            tag.push_attribute(("address", net.addr().to_string().as_str()));
            tag.push_attribute(("prefix", net.prefix_len().to_string().as_str()));
        }
        SourceTarget::Group(name) => tag.push_attribute(("group", name.as_str())),
        SourceTarget::Set(set) => tag.push_attribute(("set", set.to_string().as_str())),
    }
    if source.is_negated {
        tag.push_attribute(("match", "no"));
    }
    tag
}

/// The `<range>` of ports of the host, and of the guest's from `to` on where these are others.
fn range(ports: PortRange, to: Option<u16>) -> BytesStart<'static> {
    let mut tag = BytesStart::new(RANGE);
    push_ports(&mut tag, ports);
    push_optional(&mut tag, "to", to);
    tag
}

fn push_ports(tag: &mut BytesStart<'_>, ports: PortRange) {
    let end = (!ports.is_single()).then_some(ports.end());
    push_optional(tag, "start", Some(ports.start()));
    push_optional(tag, "end", end);
}

impl XmlTree {
    fn new(tag: BytesStart<'_>) -> Self {
        Self {
            tag: tag.into_owned(),
            children: Vec::new(),
        }
    }

    /// Where among the children the elements of a name are.
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = usize> + 'a {
        let children = self.children.iter().enumerate();
        children.filter_map(move |(place, child)| match child {
            Child::Element(child) if child.tag.name().as_ref() == name.as_bytes() => Some(place),
            _ => None,
        })
    }

    fn value(&self, name: &str) -> Option<String> {
        let attribute = self.tag.try_get_attribute(name).ok()??;
        String::from_utf8(attribute.value.into_owned()).ok()
    }

    /// Whether this is a `<range>` of exactly these ports, not an excluded one.
    fn wants(&self, ports: PortRange) -> bool {
        let port = |name| {
            self.value(name)
                .and_then(|text| PortRange::port(&text).ok())
        };
        let start = port("start");
        self.value("exclude").as_deref() != Some("yes")
            && start == Some(ports.start())
            && port("end").or(start) == Some(ports.end())
    }

    /// Adds a child on a line of its own, `depth` levels deep.
    fn append(&mut self, child: XmlTree, depth: usize) {
        if self.children.last().is_some_and(Child::is_blank) {
            self.children.pop();
        }
        let line = |depth: usize| {
            let text = format!("\n{}", INDENT.repeat(depth));
            Child::Other(Event::Text(BytesText::new(&text).into_owned()))
        };
        let below = line(depth);
        self.children
            .extend([below, Child::Element(child), line(depth - 1)]);
    }

    /// Removes a child with the blanks before it.
    fn remove(&mut self, place: usize) {
        self.children.remove(place);
        let before = place.checked_sub(1);
        if let Some(before) = before.filter(|before| self.children[*before].is_blank()) {
            self.children.remove(before);
        }
    }

    fn text(&self) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        // Writing to memory cannot fail.
        let _ = self.write(&mut writer);
        writer.into_inner()
    }

    fn write(&self, writer: &mut Writer<Vec<u8>>) -> std::io::Result<()> {
        if self.children.is_empty() {
            return writer.write_event(Event::Empty(self.tag.borrow()));
        }
        writer.write_event(Event::Start(self.tag.borrow()))?;
        for child in &self.children {
            match child {
                Child::Element(child) => child.write(writer)?,
                Child::Other(event) => writer.write_event(event.borrow())?,
            }
        }
        writer.write_event(Event::End(self.tag.to_end()))
    }
}

impl Child {
    fn is_blank(&self) -> bool {
        matches!(self, Self::Other(Event::Text(text)) if text.trim_ascii().is_empty())
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::{Document, WhichForward};
    use crate::forward::Spec;
    use clap::{Args, Command, FromArgMatches};
    use portero_model::{PortRange, Protocol};
    use portero_port_forward::{Mapping, SourceTarget, WrittenSource};
    use proptest::prelude::*;

    /// As libvirt gives it, with what others may have written into it.
    const WRITTEN: &str = r#"<domain xmlns:x="urn:x" kept="&lt;yes&gt;">
  <!-- the web server -->
  <portForward proto="tcp" dev='eth0'>
    <range start="8080" to="80"/>
    <range start="2000" end="2020" x:note="a &amp; b"/>
  </portForward>
  <x:other><![CDATA[<raw>]]></x:other>
</domain>"#;

    fn ports(start: u16, end: u16) -> PortRange {
        PortRange::new(start, end).expect("ports")
    }

    fn spec(protocol: Protocol, host: PortRange, to: u16) -> Spec {
        Spec {
            address: None,
            host,
            guest: Some(host.moved_to(to).expect("ports")),
            protocol,
        }
    }

    /// `portero forward add web` without options.
    fn plain() -> WhichForward {
        let command = WhichForward::augment_args(Command::new("add").no_binary_name(true));
        let matches = command.get_matches_from(["web", "80"]);
        WhichForward::from_arg_matches(&matches).expect("a forward")
    }

    fn changed(text: &str, change: impl FnOnce(&mut Document)) -> String {
        let mut document = Document::parse(text).expect("XML");
        change(&mut document);
        document.text().unwrap_or_default()
    }

    #[test]
    fn what_is_not_touched_is_written_as_it_was() {
        assert_eq!(changed(WRITTEN, |_| {}), WRITTEN);
        let added = changed(WRITTEN, |document| {
            document.add(&plain(), &spec(Protocol::Udp, ports(53, 53), 53), None);
        });
        let new =
            "  <portForward proto=\"udp\">\n    <range start=\"53\"/>\n  </portForward>\n</domain>";
        assert_eq!(added, WRITTEN.replace("</domain>", new));
        assert_eq!(changed(&added, |document| document.remove(1)), WRITTEN);
    }

    #[test]
    fn ports_are_cut_out_by_as_little_as_will_do() {
        let whole = changed(WRITTEN, |document| document.cut(0, ports(8080, 8080)));
        assert_eq!(
            whole,
            WRITTEN.replace("\n    <range start=\"8080\" to=\"80\"/>", "")
        );
        let part = changed(WRITTEN, |document| document.cut(0, ports(2010, 2012)));
        let hole = "<range start=\"2010\" end=\"2012\" exclude=\"yes\"/>\n  </portForward>";
        assert_eq!(
            part,
            WRITTEN.replace("  </portForward>", &format!("    {hole}"))
        );
    }

    #[test]
    fn everything_a_forward_can_say_is_written() {
        let mut document = Document::empty();
        assert_eq!(document.text(), None);
        let new = WhichForward {
            dev: "eth0".parse().ok(),
            sources: vec![source("2001:db8::/32")],
            guest: "fd00::5".parse().ok(),
            ..plain()
        };
        let spec = Spec {
            address: "2001:db8::1".parse().ok(),
            ..spec(Protocol::Tcp, ports(2000, 2020), 3000)
        };
        document.add(&new, &spec, "52:54:00:00:50:10".parse().ok());
        let text = document.text().expect("a text");
        assert_eq!(
            text,
            "<domain>\n  <portForward proto=\"tcp\" address=\"2001:db8::1\" dev=\"eth0\" \
             source=\"2001:db8::/32\" guest=\"fd00::5\" interface=\"52:54:00:00:50:10\">\n    \
             <range start=\"2000\" end=\"2020\" to=\"3000\"/>\n  </portForward>\n</domain>"
        );
        document.remove(0);
        assert_eq!(document.text(), None);
    }

    #[test]
    fn a_whole_address_is_written_and_removed() {
        let mut document = Document::parse(WRITTEN).expect("XML");
        let excluded = ["22", "53/tcp,udp"].map(|text| text.parse().expect("ports"));
        let host = [203, 0, 113, 5].into();
        document.add_address(host, &plain(), &excluded, None);
        let new = "  <address host=\"203.0.113.5\">\n    <exclude proto=\"tcp\" start=\"22\"/>\n    \
                   <exclude proto=\"tcp\" start=\"53\"/>\n    <exclude proto=\"udp\" start=\"53\"/>\n  \
                   </address>\n</domain>";
        assert_eq!(
            document.text().expect("a text"),
            WRITTEN.replace("</domain>", new)
        );
        document.remove_address([203, 0, 113, 6].into());
        document.remove_address(host);
        assert_eq!(document.text().expect("a text"), WRITTEN);
    }

    fn source(net: &str) -> WrittenSource {
        WrittenSource {
            target: SourceTarget::Net(net.parse().expect("a network")),
            is_negated: false,
        }
    }

    #[test]
    fn several_sources_are_elements() {
        let mut document = Document::empty();
        let group = SourceTarget::Group("office".parse().expect("a name"));
        let new = WhichForward {
            sources: vec![
                source("192.0.2.0/24"),
                WrittenSource {
                    target: group,
                    is_negated: true,
                },
            ],
            masquerade: true,
            ..plain()
        };
        document.add(&new, &spec(Protocol::Tcp, ports(22, 22), 22), None);
        assert_eq!(
            document.text().expect("a text"),
            "<domain>\n  <portForward proto=\"tcp\" masquerade=\"yes\">\n    \
             <source address=\"192.0.2.0\" prefix=\"24\"/>\n    <source group=\"office\" match=\"no\"/>\n    \
             <range start=\"22\"/>\n  </portForward>\n</domain>"
        );
    }

    #[test]
    fn what_is_no_small_document_is_refused() {
        let deep = "<a>".repeat(500) + &"</a>".repeat(500);
        for text in [
            "",
            "<domain>",
            "<!DOCTYPE x><domain/>",
            "<domain>&x;</domain>",
            &deep,
        ] {
            assert!(Document::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        /// Ports that are added and cut out again leave what the grammar says of the rest.
        #[test]
        fn what_is_cut_is_gone_and_the_rest_stays(
            (start, end) in (1..60_000u16, 0..200u16).prop_map(|(start, more)| (start, start + more)),
            (from, length) in (0..200u16, 0..200u16),
        ) {
            let whole = ports(start, end);
            let first = start + from % (end - start + 1);
            let hole = ports(first, (first + length).min(end));
            let mut document = Document::empty();
            document.add(&plain(), &spec(Protocol::Tcp, whole, 100), None);
            document.add(&plain(), &spec(Protocol::Udp, whole, 100), None);
            if hole == whole {
                document.remove(0);
            } else {
                document.cut(0, hole);
            }
            let element = Document::parse(&document.text().expect("a text"))
                .and_then(|document| document.element())
                .expect("XML");
            let left = mappings(&element);
            let offset = |host: PortRange| Mapping {
                host,
                guest: host.moved_to(100 + (host.start() - start)).expect("ports"),
            };
            let mut expected: Vec<Mapping> = whole.without(hole).into_iter().map(offset).collect();
            expected.push(offset(whole));
            prop_assert_eq!(left, expected);
        }
    }

    fn mappings(element: &portero_xml::Element) -> Vec<Mapping> {
        let kind = portero_model::OwnerKind::Domain;
        let origin = portero_model::Origin::File("test".to_owned());
        let forwards = portero_port_forward::parse(element, kind, &origin).expect("forwards");
        forwards
            .into_iter()
            .flat_map(|forward| forward.mappings)
            .collect()
    }
}
