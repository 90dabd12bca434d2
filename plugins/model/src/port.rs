//! Transport protocols and port ranges that are valid by construction.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A transport protocol with ports that can be forwarded.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase", parse_err_ty = PortError, parse_err_fn = PortError::protocol)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// The name that iptables, nft and libvirt use.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The number in IP's protocol field (IANA).
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

/// Why a protocol, a port or a range is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// Not one of the protocols.
    #[error("protocol '{found}' is not known, expected tcp, udp or sctp")]
    Protocol {
        /// What was given.
        found: String,
    },
    /// Not a port.
    #[error("'{found}' is not a port, expected 1 to 65535")]
    Port {
        /// What was given.
        found: String,
    },
    /// The end lies before the start.
    #[error("the range ends at {end}, before its start {start}")]
    Reversed {
        /// First port.
        start: u16,
        /// Last port.
        end: u16,
    },
}

impl PortError {
    fn protocol(found: &str) -> Self {
        Self::Protocol {
            found: found.escape_debug().to_string(),
        }
    }
}

/// Ports from `start` to `end`, both included and both 1 to 65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "(u16, u16)", into = "(u16, u16)")]
pub struct PortRange {
    start: u16,
    end: u16,
}

impl PortRange {
    /// Every port.
    pub const ALL: Self = Self {
        start: 1,
        end: u16::MAX,
    };

    /// Those that no program needs privileges for.
    pub const UNPRIVILEGED: Self = Self {
        start: 1024,
        end: u16::MAX,
    };

    /// A range.
    ///
    /// # Errors
    /// [`PortError::Port`] when `start` is 0, [`PortError::Reversed`] when `end` lies before it.
    pub fn new(start: u16, end: u16) -> Result<Self, PortError> {
        if start == 0 {
            return Err(PortError::Port {
                found: "0".to_owned(),
            });
        }
        if end < start {
            return Err(PortError::Reversed { start, end });
        }
        Ok(Self { start, end })
    }

    /// Reads one port from text.
    ///
    /// # Errors
    /// [`PortError::Port`] for anything but 1 to 65535 in decimal digits.
    pub fn port(text: &str) -> Result<u16, PortError> {
        let error = || PortError::Port {
            found: text.escape_debug().to_string(),
        };
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(error());
        }
        match text.parse() {
            Ok(0) | Err(_) => Err(error()),
            Ok(port) => Ok(port),
        }
    }

    /// First port.
    #[must_use]
    pub fn start(self) -> u16 {
        self.start
    }

    /// Last port.
    #[must_use]
    pub fn end(self) -> u16 {
        self.end
    }

    /// Each port with the port at the same place of another range; ends with the shorter one.
    pub fn zip(self, other: Self) -> impl Iterator<Item = (u16, u16)> {
        (self.start..=self.end).zip(other.start..=other.end)
    }

    /// Whether it is one port.
    #[must_use]
    pub fn is_single(self) -> bool {
        self.start == self.end
    }

    /// Whether the two have a port in common.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    /// Whether the port lies in the range.
    #[must_use]
    pub fn contains(self, port: u16) -> bool {
        (self.start..=self.end).contains(&port)
    }

    /// The range of the same length that starts at `start`; nothing when it passes 65535.
    #[must_use]
    pub fn moved_to(self, start: u16) -> Option<Self> {
        let end = start.checked_add(self.end - self.start)?;
        Self::new(start, end).ok()
    }

    /// The range, longer if need be, up to a later port.
    #[must_use]
    pub fn up_to(self, end: u16) -> Self {
        Self {
            start: self.start,
            end: self.end.max(end),
        }
    }

    /// How many ports it has.
    #[must_use]
    pub fn count(self) -> usize {
        usize::from(self.end - self.start) + 1
    }

    /// What is left of the range without `hole`: none, one or two ranges.
    #[must_use]
    pub fn without(self, hole: Self) -> Vec<Self> {
        if !self.overlaps(hole) {
            return vec![self];
        }
        let range = |start, end| Self { start, end };
        let before = (self.start < hole.start).then(|| range(self.start, hole.start - 1));
        let after = (hole.end < self.end).then(|| range(hole.end + 1, self.end));
        before.into_iter().chain(after).collect()
    }

    /// The range with `separator` between its ends, a single port alone.
    #[must_use]
    pub fn joined(self, separator: char) -> String {
        if self.is_single() {
            self.start.to_string()
        } else {
            format!("{}{separator}{}", self.start, self.end)
        }
    }
}

impl TryFrom<(u16, u16)> for PortRange {
    type Error = PortError;

    fn try_from((start, end): (u16, u16)) -> Result<Self, PortError> {
        Self::new(start, end)
    }
}

impl From<PortRange> for (u16, u16) {
    fn from(range: PortRange) -> Self {
        (range.start, range.end)
    }
}

impl FromStr for PortRange {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, PortError> {
        let (start, end) = text.split_once('-').unwrap_or((text, text));
        Self::new(Self::port(start)?, Self::port(end)?)
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.joined('-'))
    }
}
