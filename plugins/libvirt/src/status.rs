//! The files in which libvirt keeps its active domains and networks.

use quick_xml::events::{BytesStart, Event as XmlEvent};
use quick_xml::Reader;

/// One object as libvirt keeps it while it is active: `virDomainObjFormat` in src/conf/domain_conf.c,
/// `virNetworkObjFormat` in src/conf/virnetworkobj.c.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status<'a> {
    /// The domain's process, once there is one.
    pub process: Option<u32>,
    /// Whether the domain is paused (`virsh suspend`).
    pub is_paused: bool,
    /// The object's own element, as it stands in the file.
    pub object: &'a str,
}

impl<'a> Status<'a> {
    /// Reads a file; `object` is the name of the element that is looked for. Nothing when it is not
    /// there, or the file is not XML as far as it is read.
    #[must_use]
    pub fn read(file: &'a [u8], object: &str) -> Option<Self> {
        let text = std::str::from_utf8(file).ok()?;
        let mut reader = Reader::from_str(text);
        let root = loop {
            match reader.read_event().ok()? {
                XmlEvent::Start(root) => break root,
                XmlEvent::Empty(_) | XmlEvent::Eof => return None,
                _ => {}
            }
        };
        loop {
            let start = position(&reader)?;
            match reader.read_event().ok()? {
                XmlEvent::Start(child) => {
                    reader.read_to_end(child.name()).ok()?;
                    if child.name().as_ref() == object.as_bytes() {
                        let object = text.get(start..position(&reader)?)?;
                        return Some(Self {
                            process: process(&root),
                            is_paused: attribute(&root, "state").as_deref() == Some("paused"),
                            object,
                        });
                    }
                }
                XmlEvent::End(_) | XmlEvent::Eof => return None,
                _ => {}
            }
        }
    }
}

fn position(reader: &Reader<&[u8]>) -> Option<usize> {
    usize::try_from(reader.buffer_position()).ok()
}

/// libvirt writes 0 for a process that is not there yet.
fn process(root: &BytesStart<'_>) -> Option<u32> {
    attribute(root, "pid")?.parse().ok().filter(|pid| *pid > 0)
}

fn attribute(root: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = root.try_get_attribute(name).ok()??;
    String::from_utf8(attribute.value.into_owned()).ok()
}

#[cfg(test)]
mod tests {
    use super::Status;

    #[test]
    fn the_object_is_cut_out_as_it_stands() {
        let domain = "<domain type='qemu' id='1'>\n <name>&lt;domain&gt;</name><domain/></domain>";
        let file = format!(
            "<!-- <domain> -->\n<domstatus state='running' pid='42'>\n<devices><domain/></devices>\n\
             <job/>{domain}\n<more/></domstatus>"
        );
        let status = Status::read(file.as_bytes(), "domain");
        let expected = Status {
            process: Some(42),
            is_paused: false,
            object: domain,
        };
        assert_eq!(status, Some(expected));
        let paused = file.replace("running", "paused");
        let status = Status::read(paused.as_bytes(), "domain");
        assert!(status.is_some_and(|status| status.is_paused));
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let read =
            |file: &str| Status::read(file.as_bytes(), "domain").map(|status| status.process);
        assert_eq!(
            read("<domstatus pid='0'><domain></domain></domstatus>"),
            Some(None)
        );
        assert_eq!(read("<domstatus><domain></domain></domstatus>"), Some(None));
        for file in [
            "",
            "text",
            "<domstatus/>",
            "<domstatus></domstatus>",
            "<a><b><domain/></b></a>",
        ] {
            assert_eq!(read(file), None, "{file}");
        }
        // As it may be seen while it is written by somebody who does not rename it.
        assert_eq!(read("<domstatus pid='1'><domain><name>web</na"), None);
    }
}
