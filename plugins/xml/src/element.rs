//! A small, bounded XML tree that remembers the line of every element.

use crate::Sanitised;
use quick_xml::events::{BytesStart, Event as XmlEvent};
use quick_xml::name::ResolveResult;
use quick_xml::NsReader;
use std::fmt;
use std::sync::Arc;

/// Longest input that is read, in bytes. libvirt itself passes no string over 4 MiB
/// (`REMOTE_STRING_MAX` in src/remote/remote_protocol.x); a network hook gets two objects.
pub const INPUT_LIMIT: usize = 8 * 1024 * 1024;

/// Deepest nesting that is accepted. libvirt's own documents stay below 20.
const DEPTH_LIMIT: usize = 128;

/// Most elements that are accepted in one document.
const ELEMENT_LIMIT: usize = 400_000;

/// One element with its attributes, children and text; a clone is the same one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element(Arc<Node>);

#[derive(Debug, PartialEq, Eq)]
struct Node {
    name: Arc<str>,
    namespace: Option<Arc<str>>,
    line: usize,
    attributes: Box<[(Arc<str>, Box<str>)]>,
    children: Vec<Element>,
    text: String,
}

/// Something wrong with one element, without the name of the file it stands in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: <{}>: {}", Sanitised(element), Sanitised(reason))]
pub struct Problem {
    /// Line of the element, counted from 1.
    pub line: usize,
    /// Name of the element.
    pub element: String,
    /// What was found and what was expected.
    pub reason: String,
}

/// Why a document is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum XmlError {
    /// The document is longer than [`INPUT_LIMIT`].
    #[error("the XML is longer than {limit} bytes")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// Not UTF-8.
    #[error("line {line}: the XML is not valid UTF-8")]
    NotUtf8 {
        /// Line of the first bad byte.
        line: usize,
    },
    /// No element at all.
    #[error("the XML is empty, expected an element")]
    Empty,
    /// Not well-formed.
    #[error("line {line}: the XML is not well-formed: {}", Sanitised(reason))]
    Malformed {
        /// Line at which the reader gave up.
        line: usize,
        /// What the reader said.
        reason: String,
    },
    /// Too deep, or too many elements.
    #[error("line {line}: the XML has more than {limit} {what}")]
    TooMuch {
        /// Line at which the limit was passed.
        line: usize,
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A document type or an entity that XML does not predefine: neither is ever expanded.
    #[error("line {line}: {} is not accepted", Sanitised(what))]
    Forbidden {
        /// Line of the construct.
        line: usize,
        /// The construct.
        what: String,
    },
}

impl Element {
    /// Parses one document.
    ///
    /// # Errors
    /// [`XmlError`] for input that is too long, too deep, not UTF-8, not well-formed, or that
    /// declares a document type or entities.
    pub fn parse(input: &[u8]) -> Result<Self, XmlError> {
        if input.len() > INPUT_LIMIT {
            return Err(XmlError::TooLong { limit: INPUT_LIMIT });
        }
        let text = std::str::from_utf8(input).map_err(|error| XmlError::NotUtf8 {
            line: Lines::count(input).line_of(error.valid_up_to()),
        })?;
        TreeBuilder::new(text).build()
    }

    /// The name without prefix.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The namespace, if the element has one.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.0.namespace.as_deref()
    }

    /// The line the element starts on, counted from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.0.line
    }

    /// The value of an attribute.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let mut attributes = self.0.attributes.iter();
        attributes
            .find(|(key, _)| **key == *name)
            .map(|(_, value)| &**value)
    }

    /// An attribute that may be absent, as `read` understands it.
    ///
    /// # Errors
    /// [`Problem`] with what `read` says.
    pub fn optional<T, E: fmt::Display>(
        &self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Problem> {
        let value = self.attribute(name).map(read).transpose();
        value.map_err(|reason| self.problem(format!("{name}: {reason}")))
    }

    /// An attribute that has to be there, as `read` understands it.
    ///
    /// # Errors
    /// [`Problem`] when it is missing, with what was `expected`, or with what `read` says.
    pub fn required<T, E: fmt::Display>(
        &self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, Problem> {
        self.optional(name, read)?
            .ok_or_else(|| self.problem(format!("{name} is missing, expected {expected}")))
    }

    /// The names of all attributes, in document order, namespace declarations left out.
    pub fn attribute_names(&self) -> impl Iterator<Item = &str> {
        self.0.attributes.iter().map(|(key, _)| &**key)
    }

    /// Checks that there is no other attribute than the known ones: a misspelt restriction must
    /// not go unread.
    ///
    /// # Errors
    /// [`Problem`] naming the first that is not known.
    pub fn only_attributes(&self, known: &[&str]) -> Result<(), Problem> {
        match self.attribute_names().find(|name| !known.contains(name)) {
            None => Ok(()),
            Some(name) if known.is_empty() => Err(self.problem(format!(
                "attribute '{}' is not known, expected none",
                name.escape_debug()
            ))),
            Some(name) => Err(self.problem(format!(
                "attribute '{}' is not known, expected one of {}",
                name.escape_debug(),
                known.join(", ")
            ))),
        }
    }

    /// Checks that there is nothing in it.
    ///
    /// # Errors
    /// [`Problem`] at the first element in it, or with its text.
    pub fn expect_nothing(&self) -> Result<(), Problem> {
        self.expect_text()?;
        self.expect_elements()
    }

    /// Checks that there is no element in it.
    ///
    /// # Errors
    /// [`Problem`] at the first one.
    pub fn expect_text(&self) -> Result<(), Problem> {
        self.0.children.first().map_or(Ok(()), |child| {
            Err(child.problem(format!("not known in <{}>, expected nothing", self.0.name)))
        })
    }

    /// Checks that there is no text between its elements: nobody would read it.
    ///
    /// # Errors
    /// [`Problem`] with the text.
    pub fn expect_elements(&self) -> Result<(), Problem> {
        match self.text() {
            "" => Ok(()),
            text => Err(self.problem(format!(
                "text '{}' is not known here, expected none",
                text.escape_debug()
            ))),
        }
    }

    /// All child elements.
    #[must_use]
    pub fn children(&self) -> &[Element] {
        &self.0.children
    }

    /// The first child of libvirt's own (no namespace) with this name.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&Element> {
        self.0
            .children
            .iter()
            .find(|child| child.namespace().is_none() && child.name() == name)
    }

    /// That child as a document of its own, with its lines counted from 1.
    #[must_use]
    pub fn into_child(mut self, name: &str) -> Option<Element> {
        let mut child = self.child(name)?.clone();
        let before = child.line() - 1;
        // Nobody else has it now, so that it can be changed in place.
        if let Some(node) = Arc::get_mut(&mut self.0) {
            node.children.clear();
        }
        child.count_without(before);
        Some(child)
    }

    fn count_without(&mut self, lines: usize) {
        if let Some(node) = Arc::get_mut(&mut self.0) {
            node.line -= lines;
            for child in &mut node.children {
                child.count_without(lines);
            }
        }
    }

    /// All children of libvirt's own (no namespace) with this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> + 'a {
        self.0
            .children
            .iter()
            .filter(move |child| child.namespace().is_none() && child.name() == name)
    }

    /// The text directly inside the element, white space at both ends removed.
    #[must_use]
    pub fn text(&self) -> &str {
        self.0.text.trim()
    }

    /// A [`Problem`] at this element.
    pub fn problem(&self, reason: impl fmt::Display) -> Problem {
        Problem {
            line: self.0.line,
            element: self.0.name.to_string(),
            reason: reason.to_string(),
        }
    }
}

/// Counts lines forward through a text, never twice over the same bytes.
struct Lines<'a> {
    input: &'a [u8],
    position: usize,
    line: usize,
}

impl<'a> Lines<'a> {
    fn count(input: &'a [u8]) -> Self {
        Self {
            input,
            position: 0,
            line: 1,
        }
    }

    /// The line of a byte offset; offsets must not decrease from call to call.
    fn line_of(&mut self, offset: usize) -> usize {
        let offset = offset.min(self.input.len());
        if offset > self.position {
            let passed = &self.input[self.position..offset];
            self.line += passed.iter().filter(|byte| **byte == b'\n').count();
            self.position = offset;
        }
        self.line
    }
}

/// Builds the tree from the reader's events.
struct TreeBuilder<'a> {
    reader: NsReader<&'a [u8]>,
    lines: Lines<'a>,
    open: Vec<Node>,
    root: Option<Element>,
    elements: usize,
    /// Of the element that is being read.
    attributes: Vec<(Arc<str>, Box<str>)>,
}

impl<'a> TreeBuilder<'a> {
    fn new(text: &'a str) -> Self {
        let mut reader = NsReader::from_str(text);
        reader.config_mut().enable_all_checks(true);
        Self {
            reader,
            lines: Lines::count(text.as_bytes()),
            open: Vec::new(),
            root: None,
            elements: 0,
            attributes: Vec::new(),
        }
    }

    fn build(mut self) -> Result<Element, XmlError> {
        loop {
            let start = usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX);
            let line = self.lines.line_of(start);
            let event = self.reader.read_event();
            match event.map_err(|error| malformed(line, error))? {
                XmlEvent::Start(tag) => {
                    let element = self.element(&tag, line)?;
                    if self.open.len() >= DEPTH_LIMIT {
                        return Err(XmlError::TooMuch {
                            line,
                            what: "levels",
                            limit: DEPTH_LIMIT,
                        });
                    }
                    self.open.push(element);
                }
                XmlEvent::Empty(tag) => {
                    let element = self.element(&tag, line)?;
                    self.close(Element(Arc::new(element)), line)?;
                }
                XmlEvent::End(_) => {
                    if let Some(element) = self.open.pop() {
                        self.close(Element(Arc::new(element)), line)?;
                    }
                }
                XmlEvent::Text(text) => {
                    self.append(utf8(&text, line)?, line)?;
                }
                XmlEvent::CData(text) => {
                    self.append(utf8(&text, line)?, line)?;
                }
                XmlEvent::GeneralRef(reference) => {
                    let name = utf8(&reference, line)?;
                    let text = resolve(name).ok_or_else(|| XmlError::Forbidden {
                        line,
                        what: format!("the entity '&{name};'"),
                    })?;
                    self.append(&text, line)?;
                }
                XmlEvent::DocType(_) => {
                    return Err(XmlError::Forbidden {
                        line,
                        what: "a document type".to_owned(),
                    })
                }
                XmlEvent::Eof => break,
                XmlEvent::Comment(_) | XmlEvent::Decl(_) | XmlEvent::PI(_) => {}
            }
        }
        if let Some(open) = self.open.last() {
            let reason = format!("<{}> is never closed", open.name);
            return Err(malformed(open.line, reason));
        }
        self.root.ok_or(XmlError::Empty)
    }

    fn element(&mut self, tag: &BytesStart<'_>, line: usize) -> Result<Node, XmlError> {
        self.elements += 1;
        if self.elements > ELEMENT_LIMIT {
            return Err(XmlError::TooMuch {
                line,
                what: "elements",
                limit: ELEMENT_LIMIT,
            });
        }
        // Thousands of elements are alike in a row.
        let parent = self.open.last();
        let before = parent.and_then(|parent| parent.children.last());
        let before = before.map(|before| &*before.0);
        let (resolved, local) = self.reader.resolver().resolve_element(tag.name());
        let namespace = match resolved {
            ResolveResult::Bound(namespace) => {
                let known = before.or(parent).and_then(|node| node.namespace.as_ref());
                Some(shared(known, namespace.as_ref(), line)?)
            }
            ResolveResult::Unbound => None,
            ResolveResult::Unknown(prefix) => {
                let prefix = utf8(&prefix, line)?.escape_debug();
                let reason = format!("the prefix '{prefix}' is not declared");
                return Err(malformed(line, reason));
            }
        };
        let name = shared(before.map(|before| &before.name), local.as_ref(), line)?;
        for attribute in tag.attributes() {
            let attribute = attribute.map_err(|error| malformed(line, error))?;
            if attribute.key.as_namespace_binding().is_some() {
                continue;
            }
            let known = before.and_then(|before| before.attributes.get(self.attributes.len()));
            let key = shared(known.map(|(key, _)| key), attribute.key.as_ref(), line)?;
            let value = attribute
                .normalized_value(quick_xml::XmlVersion::Implicit1_0)
                .map_err(|error| malformed(line, error))?;
            self.attributes.push((key, value.into()));
        }
        Ok(Node {
            name,
            namespace,
            line,
            attributes: self.attributes.drain(..).collect(),
            children: Vec::new(),
            text: String::new(),
        })
    }

    fn close(&mut self, element: Element, line: usize) -> Result<(), XmlError> {
        if let Some(parent) = self.open.last_mut() {
            parent.children.push(element);
        } else if self.root.is_some() {
            let reason = format!("a second root element <{}>", element.name());
            return Err(malformed(line, reason));
        } else {
            self.root = Some(element);
        }
        Ok(())
    }

    fn append(&mut self, text: &str, line: usize) -> Result<(), XmlError> {
        if let Some(element) = self.open.last_mut() {
            element.text.push_str(text);
        } else if !text.trim().is_empty() {
            return Err(malformed(line, "text outside of any element"));
        }
        Ok(())
    }
}

/// What the reader gives as bytes; the known one if it is the same.
fn shared(known: Option<&Arc<str>>, bytes: &[u8], line: usize) -> Result<Arc<str>, XmlError> {
    match known {
        Some(known) if known.as_bytes() == bytes => Ok(Arc::clone(known)),
        _ => Ok(utf8(bytes, line)?.into()),
    }
}

/// What the reader gives as bytes is a part of the text that it was given.
fn utf8(bytes: &[u8], line: usize) -> Result<&str, XmlError> {
    std::str::from_utf8(bytes).map_err(|error| malformed(line, error))
}

fn malformed(line: usize, reason: impl fmt::Display) -> XmlError {
    let reason = reason.to_string();
    XmlError::Malformed { line, reason }
}

/// A predefined entity or a character reference.
fn resolve(name: &str) -> Option<String> {
    if let Some(text) = quick_xml::escape::resolve_predefined_entity(name) {
        return Some(text.to_owned());
    }
    let number = name.strip_prefix('#')?;
    let code = match number.strip_prefix('x') {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => number.parse().ok()?,
    };
    char::from_u32(code).map(String::from)
}
