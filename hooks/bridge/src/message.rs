//! The kernel's messages of rtnetlink(7), taken apart and put together: a head of fixed length, and attributes.

use netlink_packet_core::NlasIterator;
use serde::{Deserialize, Serialize};

/// Bytes that are text in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct Hex(pub(crate) Vec<u8>);

impl From<Hex> for String {
    fn from(hex: Hex) -> Self {
        hex.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl TryFrom<String> for Hex {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || {
            format!(
                "'{}' is no even number of hexadecimal digits",
                text.escape_debug()
            )
        };
        let digits = text.as_bytes().chunks(2).map(|pair| {
            let [high, low] = *pair else { return None };
            let digit = |byte: u8| char::from(byte).to_digit(16);
            u8::try_from(digit(high)? * 16 + digit(low)?).ok()
        });
        let bytes: Option<Vec<u8>> = digits.collect();
        bytes.map(Hex).ok_or_else(wrong)
    }
}

/// A message taken apart.
pub(crate) struct Parts {
    pub(crate) head: Vec<u8>,
    pub(crate) attributes: Vec<(u16, Vec<u8>)>,
}

impl Parts {
    pub(crate) fn split(message: &[u8], head: usize) -> Option<Self> {
        let (head, rest) = message.split_at_checked(head)?;
        Some(Self {
            head: head.to_vec(),
            attributes: attributes(rest)?,
        })
    }

    pub(crate) fn get(&self, kind: u16) -> Option<&[u8]> {
        let mut attributes = self.attributes.iter();
        let found = attributes.find(|(known, _)| *known == kind);
        found.map(|(_, value)| value.as_slice())
    }

    pub(crate) fn number(&self, kind: u16) -> Option<u32> {
        number(self.get(kind)?, 0)
    }

    pub(crate) fn set(&mut self, kind: u16, value: Vec<u8>) {
        self.remove(kind);
        self.attributes.push((kind, value));
    }

    pub(crate) fn remove(&mut self, kind: u16) {
        self.attributes.retain(|(known, _)| *known != kind);
    }

    pub(crate) fn message(&self) -> Vec<u8> {
        let mut message = self.head.clone();
        for (kind, value) in &self.attributes {
            let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
            message.extend(length.to_ne_bytes());
            message.extend(kind.to_ne_bytes());
            message.extend(value);
            message.resize(message.len().next_multiple_of(4), 0);
        }
        message
    }
}

/// The attributes in these bytes, without the flags of their types; nothing when they are broken.
pub(crate) fn attributes(bytes: &[u8]) -> Option<Vec<(u16, Vec<u8>)>> {
    let mut attributes = Vec::new();
    for attribute in NlasIterator::new(bytes) {
        let attribute = attribute.ok()?;
        attributes.push((attribute.kind(), attribute.value().to_vec()));
    }
    Some(attributes)
}

pub(crate) fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_ne_bytes(bytes))
}

pub(crate) fn put(bytes: &mut [u8], at: usize, value: u32) {
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(&value.to_ne_bytes());
    }
}
