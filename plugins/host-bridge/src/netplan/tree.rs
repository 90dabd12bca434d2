//! The entries of netplan's files, and which of them are for a NIC.

use crate::bridge::HostNic;
use crate::fit::NicFit;
use crate::{BridgeError, Result};
use serde_yaml_ng::{Mapping, Value};

/// Kinds of interfaces that a bridge can have for a port.
pub(crate) const KINDS: [&str; 3] = ["ethernets", "bonds", "vlans"];

/// A file.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    /// Its path below /etc.
    pub(crate) path: String,
    pub(crate) root: Value,
}

/// Whether anything has a tag of YAML's.
fn has_tag(value: &Value) -> bool {
    match value {
        Value::Tagged(_) => true,
        Value::Sequence(values) => values.iter().any(has_tag),
        Value::Mapping(entries) => entries
            .iter()
            .any(|(key, value)| has_tag(key) || has_tag(value)),
        _ => false,
    }
}

impl Tree {
    /// Reads the file of a path.
    ///
    /// # Errors
    /// [`BridgeError::Value`].
    pub(crate) fn read(path: String, text: &str) -> Result<Self> {
        match serde_yaml_ng::from_str(text) {
            // A key and the same one with a tag are two for us, and one for netplan.
            Ok(root) if has_tag(&root) => {
                let reason = "has a tag ('!'), which is not understood, expected none";
                Err(BridgeError::value(path, None, reason))
            }
            Ok(root) => Ok(Self { path, root }),
            Err(error) => {
                let line = error.location().map(|location| location.line());
                let reason = format!("is not understood: {error}");
                Err(BridgeError::value(path, line, reason))
            }
        }
    }

    /// The entries of a kind by their IDs.
    pub(crate) fn entries(&self, kind: &str) -> impl Iterator<Item = (&str, &Mapping)> {
        let network = self.root.get("network");
        let kind = network.and_then(|network| network.get(kind));
        let entries = kind.and_then(Value::as_mapping).into_iter().flatten();
        entries.filter_map(|(id, entry)| Some((id.as_str()?, entry.as_mapping()?)))
    }

    /// All entries of all kinds.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &str, &Mapping)> {
        let network = self.root.get("network").and_then(Value::as_mapping);
        let kinds = network.into_iter().flatten();
        kinds
            .filter_map(|(kind, _)| kind.as_str())
            .flat_map(|kind| self.entries(kind).map(move |(id, entry)| (kind, id, entry)))
    }

    /// The entries of a kind, to be changed; where there are none yet, they begin here.
    ///
    /// # Errors
    /// [`BridgeError::Value`] when something else stands in their place.
    pub(crate) fn kind_mut(&mut self, kind: &str) -> Result<&mut Mapping> {
        let strange = || {
            let reason = format!("{kind} is not understood, expected entries in it");
            BridgeError::value(&self.path, None, reason)
        };
        let network = self.root.get_mut("network").and_then(Value::as_mapping_mut);
        let network = network.ok_or_else(strange)?;
        let entries = network.entry(Value::from(kind)).or_insert(Value::Null);
        if entries.is_null() {
            *entries = Value::Mapping(Mapping::new());
        }
        entries.as_mapping_mut().ok_or_else(strange)
    }
}

/// Whether an entry is for the NIC.
pub(crate) fn fit_of(id: &str, entry: &Mapping, nic: &HostNic) -> NicFit {
    let name = nic.name.as_str();
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let Some(conditions) = entry.get("match").and_then(Value::as_mapping) else {
        return if id == name {
            NicFit::Alone
        } else {
            NicFit::No
        };
    };
    if text(entry.get("set-name")).as_deref() == Some(name) {
        return NicFit::Alone;
    }
    let mac = text(conditions.get("macaddress"));
    let pattern = text(conditions.get("name"));
    match (mac, pattern) {
        (Some(mac), _) if nic.has_mac(&mac) => NicFit::Alone,
        (Some(_), _) | (None, None) => NicFit::No,
        (None, Some(pattern)) => NicFit::compare(&pattern, name),
    }
}
