//! /etc/portero: portero.toml, and a file for each domain or network that has one.

use crate::toml_error::reword;
use crate::ApplyError;
use portero_firewall::Firewall;
use portero_libvirt::{InterfaceName, ObjectName};
use portero_model::{Family, Origin, OwnerKind};
use portero_port_forward::{host_address, ErrorKind, Forward, ForwardError, Limits};
use portero_routed_policy::Group;
use portero_system::{files, Paths, Severity};
use portero_xml::Element;
use serde::de::{self, Deserializer};
use serde::Deserialize;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The settings of portero.toml.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Which firewall to use.
    pub firewall: FirewallSetting,
    /// What is logged.
    pub log_level: Severity,
    /// Longest time an event may take, in seconds: 1 to 300.
    #[serde(deserialize_with = "deadline")]
    pub deadline: u64,
    /// What metadata may claim.
    pub limits: Limits,
    /// What forwards are that say nothing of it.
    pub forwards: ForwardSettings,
    /// What docker lets pass.
    pub docker: DockerSettings,
}

/// What forwards are that say nothing of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ForwardSettings {
    /// The host's interfaces that packets have to arrive by; any when empty.
    #[serde(deserialize_with = "interfaces")]
    pub dev: Vec<InterfaceName>,
    /// The host's addresses that packets have to be for; any when empty.
    #[serde(deserialize_with = "addresses")]
    pub address: Vec<IpAddr>,
    /// Whether guests' answers leave by the uplink that the connection came by.
    pub symmetric: bool,
}

impl ForwardSettings {
    /// A forward with what is set: one for each address and interface, where it names none.
    ///
    /// # Errors
    /// [`ForwardError`] when it is for IPv4 alone and every address is IPv6, or the other way round.
    pub(crate) fn complete(&self, mut forward: Forward) -> Result<Vec<Forward>, ForwardError> {
        forward.symmetric.get_or_insert(self.symmetric);
        let completed = self.with_addresses(forward)?.into_iter();
        Ok(completed
            .flat_map(|one| self.with_interfaces(one))
            .collect())
    }

    /// One for each address, where it names neither an address nor an interface, which may have others.
    fn with_addresses(&self, forward: Forward) -> Result<Vec<Forward>, ForwardError> {
        if self.address.is_empty() || forward.address.is_some() || forward.dev.is_some() {
            return Ok(vec![forward]);
        }
        let of_its_family = |address: &&IpAddr| forward.takes(Family::from(**address));
        let to = |address: &IpAddr| Forward {
            address: Some(*address),
            has_defaults: true,
            ..forward.clone()
        };
        let all: Vec<Forward> = self.address.iter().filter(of_its_family).map(to).collect();
        match all.is_empty() {
            true => Err(forward.error(
                ErrorKind::Invalid,
                "its guest or source is of another family than each address under [forwards] in portero.toml, expected address",
            )),
            false => Ok(all),
        }
    }

    /// One for each interface, where it names none. What is for loopback comes by none.
    fn with_interfaces(&self, forward: Forward) -> Vec<Forward> {
        let is_loopback = forward.address.is_some_and(|address| address.is_loopback());
        let is_bound = forward.dev.is_some() || forward.is_whole_address;
        if self.dev.is_empty() || is_bound || is_loopback {
            return vec![forward];
        }
        let by = |dev: &InterfaceName| Forward {
            dev: Some(dev.clone()),
            has_defaults: true,
            ..forward.clone()
        };
        self.dev.iter().map(by).collect()
    }
}

/// What docker lets pass besides forwards, where libvirt's rules are in nftables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DockerSettings {
    /// Whatever guests of libvirt's networks may send by libvirt's rules and policies, and the answers.
    pub guests: bool,
}

/// Which firewall to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FirewallSetting {
    /// The one that libvirt uses.
    Auto,
    /// iptables.
    Iptables,
    /// nftables.
    Nftables,
}

impl FirewallSetting {
    /// The firewall it names, if it names one.
    #[must_use]
    pub fn named(self) -> Option<Firewall> {
        match self {
            Self::Auto => None,
            Self::Iptables => Some(Firewall::Iptables),
            Self::Nftables => Some(Firewall::Nftables),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            firewall: FirewallSetting::Auto,
            log_level: Severity::Info,
            deadline: 10,
            limits: Limits::default(),
            forwards: ForwardSettings::default(),
            docker: DockerSettings::default(),
        }
    }
}

impl Config {
    /// Reads portero.toml; without the file everything has its default.
    ///
    /// # Errors
    /// [`ApplyError::File`], [`ApplyError::Config`] with the line of what is wrong.
    pub fn load(paths: &Paths, owner: u32) -> Result<Self, ApplyError> {
        let path = paths.config.join("portero.toml");
        match files::read_trusted(&path, &paths.config, owner)? {
            Some(content) => Self::parse(&path, &content),
            None => Ok(Self::default()),
        }
    }

    /// Reads the content of a portero.toml; `path` is for messages.
    ///
    /// # Errors
    /// [`ApplyError::Config`] with the line of what is wrong.
    pub fn parse(path: &Path, content: &[u8]) -> Result<Self, ApplyError> {
        let wrong = |offset: usize, reason: &dyn fmt::Display| {
            let before = content.get(..offset).unwrap_or(content);
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            ApplyError::Config {
                path: path.to_owned(),
                reason: format!("line {line}: {reason}"),
            }
        };
        let text = std::str::from_utf8(content)
            .map_err(|error| wrong(error.valid_up_to(), &"not valid UTF-8"))?;
        toml::from_str(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            wrong(offset, &reword(text, offset, error.message()))
        })
    }

    /// The deadline as a duration.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        Duration::from_secs(self.deadline)
    }
}

fn interfaces<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<InterfaceName>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?.into_iter();
    names
        .map(|name| name.parse().map_err(de::Error::custom))
        .collect()
}

fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpAddr>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?.into_iter();
    texts
        .map(|text| host_address(&text).map_err(de::Error::custom))
        .collect()
}

fn deadline<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let seconds = u64::deserialize(deserializer)?;
    if (1..=300).contains(&seconds) {
        Ok(seconds)
    } else {
        Err(de::Error::custom(format!(
            "deadline is {seconds}, expected 1 to 300 seconds"
        )))
    }
}

/// What libvirt's own network.conf says of its firewall (`firewall_backend`, libvirt 10.4 and
/// later); nothing when it says nothing that can be understood.
pub fn libvirt_firewall(paths: &Paths) -> Option<Firewall> {
    let content = files::read(&paths.libvirt.join("network.conf")).ok()??;
    let text = String::from_utf8(content).ok()?;
    let mut named = None;
    for line in text.lines() {
        let value = line
            .trim()
            .strip_prefix("firewall_backend")
            .and_then(|rest| rest.trim_start().strip_prefix('='))
            .map(|value| value.split('#').next().unwrap_or(value).trim());
        match value.map(|value| value.trim_matches(['"', '\''])) {
            Some("iptables") => named = Some(Firewall::Iptables),
            Some("nftables") => named = Some(Firewall::Nftables),
            _ => {}
        }
    }
    named
}

/// Where the administrator's file for an object is, if there is one.
pub fn file_of(paths: &Paths, kind: OwnerKind, name: &ObjectName) -> PathBuf {
    let folder = match kind {
        OwnerKind::Domain => "domains",
        OwnerKind::Network => "networks",
    };
    paths.config.join(folder).join(format!("{name}.xml"))
}

/// portero's element in the administrator's file for an object, if there is one.
///
/// # Errors
/// [`ApplyError::File`], [`ApplyError::FileXml`].
pub(crate) fn element_in_file(
    paths: &Paths,
    kind: OwnerKind,
    name: &ObjectName,
    owner: u32,
) -> Result<Option<(Element, Origin)>, ApplyError> {
    let path = file_of(paths, kind, name);
    Ok(element_of(paths, &path, owner)?
        .map(|root| (root, Origin::File(path.display().to_string()))))
}

/// A group of peers that rules name.
///
/// # Errors
/// [`ApplyError::File`], [`ApplyError::FileXml`], [`ApplyError::Policy`].
pub fn group(paths: &Paths, name: &ObjectName, owner: u32) -> Result<Group, ApplyError> {
    let path = paths.config.join("groups").join(format!("{name}.xml"));
    let Some(root) = element_of(paths, &path, owner)? else {
        return Err(ApplyError::NoGroup { path });
    };
    Group::read(&root).map_err(|source| ApplyError::Policy {
        origin: Origin::File(path.display().to_string()),
        source,
    })
}

fn element_of(paths: &Paths, path: &Path, owner: u32) -> Result<Option<Element>, ApplyError> {
    let content = files::read_trusted(path, &paths.config, owner)?;
    content.map(|content| parse(path, &content)).transpose()
}

/// Reads the XML of a file.
///
/// # Errors
/// [`ApplyError::FileXml`].
pub fn parse(path: &Path, content: &[u8]) -> Result<Element, ApplyError> {
    Element::parse(content).map_err(|source| ApplyError::FileXml {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::Config;
    use std::path::Path;

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let wrong: [(&[u8], &str); 11] = [
            (
                b"log_level = 'info'\ndeadline = 301\n",
                "line 2: deadline is 301, expected 1 to 300 seconds",
            ),
            (
                b"\n\ndeadline = 0",
                "line 3: deadline is 0, expected 1 to 300 seconds",
            ),
            (b"# \n# \xff\n", "line 2: not valid UTF-8"),
            (b"\nfirewall = ", "line 2: "),
            (
                b"\"\\u001b\" = 1",
                "line 1: there is no setting '\\u{1b}', expected",
            ),
            (
                b"deadline = '10'\n",
                "line 1: deadline is the text \"10\", expected a whole number",
            ),
            (
                b"deadline = -1",
                "line 1: deadline is -1, which is out of range, expected a whole number",
            ),
            (
                b"\nfirewall = 'none'",
                "line 2: firewall is 'none', expected auto, iptables or nftables",
            ),
            (
                b"[limits]\n# \nmost_port = 3\n",
                "line 3: there is no setting 'most_port' in [limits], expected ",
            ),
            (
                b"[limits]\nmost_ports = true\n",
                "line 2: limits.most_ports is true, expected a whole number",
            ),
            (
                b"[forwards]\ndev = 'eth0'\n",
                "line 2: forwards.dev is the text \"eth0\", expected a list in [ ]",
            ),
        ];
        for (content, expected) in wrong {
            let error = Config::parse(Path::new("/a"), content).expect_err("it is wrong");
            let text = error.to_string();
            let expected = format!("/a: {expected}");
            assert!(text.starts_with(&expected), "expected '{expected}': {text}");
        }
        let config = Config::parse(Path::new("/a"), b"deadline = 300").expect("it is right");
        assert_eq!(config.deadline, 300);
    }
}
