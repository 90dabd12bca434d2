//! Who a rule belongs to.

use portero_libvirt::{Domain, Driver, Network, ObjectName};
use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

/// Longest name in a comment, in characters; iptables' own limit for the whole is 255.
const COMMENT_NAME_LIMIT: usize = 64;

/// What kind of object owns rules.
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
    strum::IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum OwnerKind {
    /// A domain.
    Domain,
    /// A network.
    Network,
}

impl OwnerKind {
    /// libvirt's word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The object that rules belong to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// Domain or network.
    pub kind: OwnerKind,
    /// Whose domain it is; nothing for a network. Two drivers may have domains of one name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<Driver>,
    /// The object's UUID.
    pub uuid: Uuid,
    /// The object's name, for people.
    pub name: String,
}

impl From<&Domain> for Owner {
    fn from(domain: &Domain) -> Self {
        Self {
            driver: Some(domain.driver),
            ..Self::new(OwnerKind::Domain, domain.uuid, &domain.name)
        }
    }
}

impl From<&Network> for Owner {
    fn from(network: &Network) -> Self {
        Self::new(OwnerKind::Network, network.uuid, &network.name)
    }
}

/// By what an owner is found, whatever its name is now.
pub type OwnerKey = (OwnerKind, Uuid);

impl Owner {
    /// By what it is found.
    #[must_use]
    pub fn key(&self) -> OwnerKey {
        (self.kind, self.uuid)
    }

    /// The owner for an object.
    #[must_use]
    pub fn new(kind: OwnerKind, uuid: Uuid, name: &ObjectName) -> Self {
        Self {
            kind,
            driver: None,
            uuid,
            name: name.as_str().to_owned(),
        }
    }

    /// What chains are named by: 16 hexadecimal digits, the same for an object's whole life.
    #[must_use]
    pub fn hash(&self) -> String {
        let mut seed = self.kind.name().as_bytes().to_vec();
        seed.extend_from_slice(self.uuid.as_bytes());
        format!("{:016x}", xxh3_64(&seed))
    }

    /// The comment that names the owner in the firewall: kind, a space, and the name reduced to
    /// letters, digits and `. _ -`, so that nothing in it can end a quotation or a line.
    #[must_use]
    pub fn comment(&self) -> String {
        let name: String = self
            .name
            .chars()
            .take(COMMENT_NAME_LIMIT)
            .map(|character| match character {
                'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-' => character,
                _ => '_',
            })
            .collect();
        format!("{} {name}", self.word())
    }

    /// [`Driver::connect_option`] of its driver.
    #[must_use]
    pub fn connect_option(&self) -> &'static str {
        self.driver.map_or("", Driver::connect_option)
    }

    /// It in a line that has no room for more: a guest by its name alone, in quotes unless that is a plain word.
    #[must_use]
    pub fn short(&self) -> String {
        let is_plain = |one: char| one.is_alphanumeric() || "._-".contains(one);
        let name = match self.name.chars().all(is_plain) {
            true => self.name.clone(),
            false => format!("'{}'", self.name.escape_debug()),
        };
        match (self.kind, self.driver) {
            (OwnerKind::Domain, Some(Driver::Qemu) | None) => name,
            _ => format!("{} {name}", self.word()),
        }
    }

    /// What it is, in words: a container is told from a virtual machine, which may have its name.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self.driver {
            Some(Driver::Lxc) => "lxc domain",
            Some(Driver::Qemu) | None => self.kind.name(),
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} '{}'", self.word(), self.name.escape_debug())
    }
}

/// Where something was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In the `<metadata>` of this owner: held to the limits of portero.toml.
    Metadata(Owner),
    /// In this file of the administrator.
    File(String),
}

impl Origin {
    /// Whether it is metadata, which others than the administrator may write.
    #[must_use]
    pub fn is_metadata(&self) -> bool {
        matches!(self, Self::Metadata(_))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Metadata(owner) => write!(formatter, "metadata of {owner}"),
            Self::File(path) => formatter.write_str(path),
        }
    }
}
