//! Names and MAC addresses that are valid by construction.

use std::fmt;
use std::str::FromStr;

/// Longest interface name in bytes: `IFNAMSIZ` (16) less the closing NUL, see netdevice(7).
const INTERFACE_NAME_LIMIT: usize = 15;

/// Why a name or address is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{value}' is not {expected}")]
pub struct NameError {
    /// What was given, escaped so that it stays on one line.
    pub value: String,
    /// What was expected.
    pub expected: &'static str,
}

impl NameError {
    fn new(value: &str, expected: &'static str) -> Self {
        Self {
            value: value.escape_debug().to_string(),
            expected,
        }
    }
}

/// The name of a domain or network: not empty, no `/`, no control character (what libvirt itself
/// demands, `virXMLCheckIllegalChars` in src/util/virxml.c). Any other character can occur.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName(String);

impl ObjectName {
    /// The name as it stands in the XML.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ObjectName {
    type Err = NameError;

    fn from_str(value: &str) -> Result<Self, NameError> {
        if value.is_empty() || value.contains('/') || value.chars().any(char::is_control) {
            return Err(NameError::new(
                value,
                "an object's name (not empty, no '/', no control character)",
            ));
        }
        Ok(Self(value.to_owned()))
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The name of a network interface: 1 to 15 characters of letters, digits and `. _ - : @ +`,
/// not starting with `-` and neither `.` nor `..`.
///
/// The kernel accepts more (`dev_valid_name` in net/core/dev.c); what it accepts beyond this could
/// be read as an option or as iptables' trailing wildcard, so it is refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceName(String);

impl InterfaceName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InterfaceName {
    type Err = NameError;

    fn from_str(value: &str) -> Result<Self, NameError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:@+".contains(&byte);
        let valid = (1..=INTERFACE_NAME_LIMIT).contains(&value.len())
            && value.bytes().all(allowed)
            && !value.starts_with('-')
            && !value.ends_with('+')
            && value != "."
            && value != "..";
        if !valid {
            return Err(NameError::new(
                value,
                "an interface name (1 to 15 letters, digits or ._-:@)",
            ));
        }
        Ok(Self(value.to_owned()))
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A MAC address of six octets.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct MacAddress([u8; 6]);

impl MacAddress {
    /// The six octets.
    #[must_use]
    pub fn octets(self) -> [u8; 6] {
        self.0
    }
}

impl FromStr for MacAddress {
    type Err = NameError;

    fn from_str(value: &str) -> Result<Self, NameError> {
        let error = || NameError::new(value, "a MAC address (six hexadecimal octets with ':')");
        let mut octets = [0; 6];
        let mut parts = value.split(':');
        for octet in &mut octets {
            let part = parts.next().ok_or_else(error)?;
            let hexadecimal = part.bytes().all(|byte| byte.is_ascii_hexdigit());
            if part.is_empty() || part.len() > 2 || !hexadecimal {
                return Err(error());
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| error())?;
        }
        if parts.next().is_some() {
            return Err(error());
        }
        Ok(Self(octets))
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(formatter, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}
