//! hooks.json (formerly qemu.json) of <https://github.com/saschpe/libvirt-hook-qemu>: JSON with
//! comments, an object or a list of objects for each domain.

use super::{Ends, Imported, ImportedDomain, ImportedForward, Remark};
use jsonc_parser::ast::{Object, ObjectProp, Value};
use jsonc_parser::common::Ranged;
use jsonc_parser::{parse_to_ast, CollectOptions, ParseOptions};
use portero_model::{PortRange, Protocol};

/// JSON, and comments as the hook allows them.
const OPTIONS: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
};

const ENTRY_KEYS: [&str; 6] = [
    "interface",
    "private_ip",
    "public_ip",
    "source_ip",
    "port_map",
    "port_range",
];
const RANGE_KEYS: [&str; 3] = ["init_port", "ports_num", "protocol"];

/// Reads the text of such a file.
pub(super) fn read(text: &str) -> Result<Imported, Remark> {
    let reader = Reader { text };
    let parsed = parse_to_ast(text, &CollectOptions::default(), &OPTIONS).map_err(|error| {
        let line = reader.line(error.range().start);
        Remark::new(line, format!("no JSON: {}", error.kind()))
    })?;
    let root = match &parsed.value {
        Some(Value::Object(root)) => root,
        Some(other) => return Err(reader.remark(other, "expected an object of domains")),
        None => {
            let text = "there is nothing in it, expected an object of domains";
            return Err(Remark::new(1, text));
        }
    };
    let mut imported = Imported::default();
    for property in reader.unique(root)? {
        let name = property.name.as_str();
        let name = name
            .parse()
            .map_err(|error| reader.remark(property, format!("{error}")))?;
        let mut domain = ImportedDomain::new(name);
        let entries: Vec<&Value<'_>> = match &property.value {
            Value::Array(list) => list.elements.iter().collect(),
            one => vec![one],
        };
        if entries.len() > 1 {
            let text = format!(
                "domain '{}' has {} addresses: each has to be one of a virtual network that the \
                 domain has an interface on",
                domain.name,
                entries.len()
            );
            domain.warnings.push(reader.remark(property, text));
        }
        for entry in entries {
            let Value::Object(entry) = entry else {
                return Err(reader.remark(entry, "expected an object with 'private_ip'"));
            };
            reader.entry(entry, &mut domain)?;
        }
        imported.add(domain, reader.line(property.start()));
    }
    if !imported.domains.is_empty() {
        imported.warnings.push(reader.remark(
            root,
            "the hook's chains in FORWARD are not taken over, since portero accepts the connections it \
             forwards; nor is that bridge-nf-call-iptables becomes 0",
        ));
    }
    Ok(imported)
}

/// Knows lines.
struct Reader<'a> {
    text: &'a str,
}

impl<'a> Reader<'a> {
    /// The line of an offset in bytes.
    fn line(&self, offset: usize) -> usize {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }

    fn remark(&self, place: &impl Ranged, text: impl Into<String>) -> Remark {
        Remark::new(self.line(place.start()), text)
    }

    /// The properties of an object, each of which may be there once.
    fn unique<'b>(&self, object: &'b Object<'a>) -> Result<&'b [ObjectProp<'a>], Remark> {
        for (index, property) in object.properties.iter().enumerate() {
            let name = property.name.as_str();
            let before = &object.properties[..index];
            if before.iter().any(|other| other.name.as_str() == name) {
                let text = format!("'{}' is there twice, expected once", name.escape_debug());
                return Err(self.remark(property, text));
            }
        }
        Ok(&object.properties)
    }

    /// The properties of an object that has known ones.
    fn known<'b>(
        &self,
        object: &'b Object<'a>,
        known: &[&str],
    ) -> Result<&'b [ObjectProp<'a>], Remark> {
        let properties = self.unique(object)?;
        for property in properties {
            let name = property.name.as_str();
            if !known.contains(&name) {
                let (name, known) = (name.escape_debug(), known.join(", "));
                let text = format!("'{name}' is not known, expected one of {known}");
                return Err(self.remark(property, text));
            }
        }
        Ok(properties)
    }

    fn string(&self, object: &Object<'a>, key: &str) -> Result<Option<String>, Remark> {
        match object.get(key).map(|property| &property.value) {
            None => Ok(None),
            Some(Value::StringLit(text)) => Ok(Some(text.value.to_string())),
            Some(other) => Err(self.remark(other, format!("{key}: expected a string"))),
        }
    }

    /// One address of a domain with its ports.
    fn entry(&self, entry: &Object<'a>, domain: &mut ImportedDomain) -> Result<(), Remark> {
        self.known(entry, &ENTRY_KEYS)?;
        let guest = self.string(entry, "private_ip")?.ok_or_else(|| {
            self.remark(entry, "private_ip is missing, expected the guest's address")
        })?;
        let ends = Ends {
            protocol: Protocol::Tcp,
            address: self.string(entry, "public_ip")?,
            dev: None,
            source: self.string(entry, "source_ip")?,
            guest,
        };
        if let (Some(interface), Some(place)) =
            (self.string(entry, "interface")?, entry.get("interface"))
        {
            let text = format!(
                "interface '{}' is not taken over, since portero knows the bridge by the guest's network",
                interface.escape_debug()
            );
            domain.warnings.push(self.remark(place, text));
        }
        if ends.address.is_none() {
            let text =
                "without public_ip the hook took the address of the interface with the default \
                        route, portero takes every address of the host";
            domain.warnings.push(self.remark(entry, text));
        }
        if let Some(map) = entry.get("port_map") {
            self.port_map(&map.value, &ends, domain)?;
        }
        if let Some(ranges) = entry.get("port_range") {
            if ends.source.is_some() {
                let text =
                    "port_range is open to everybody, as it is in the hook, which holds port_map \
                            alone to source_ip";
                domain.warnings.push(self.remark(ranges, text));
            }
            let ends = Ends {
                source: None,
                ..ends
            };
            self.port_ranges(&ranges.value, &ends, domain)?;
        }
        Ok(())
    }

    /// `{"tcp": [443, [8080, 80]]}`
    fn port_map(
        &self,
        map: &Value<'a>,
        ends: &Ends,
        domain: &mut ImportedDomain,
    ) -> Result<(), Remark> {
        let Value::Object(map) = map else {
            return Err(self.remark(map, "port_map: expected an object of protocols"));
        };
        for property in self.unique(map)? {
            let Some(ends) = self.ends(ends, property.name.as_str(), property, domain)? else {
                continue;
            };
            let Value::Array(list) = &property.value else {
                return Err(self.remark(&property.value, "port_map: expected a list of ports"));
            };
            for item in &list.elements {
                let (host, guest) = match item {
                    Value::Array(pair) => match pair.elements.as_slice() {
                        [host, guest] => (self.port(host)?, self.port(guest)?),
                        _ => return Err(self.remark(item, "port_map: expected a pair of ports")),
                    },
                    one => (self.port(one)?, self.port(one)?),
                };
                let forward = self.forward(&ends, (host, host), guest, item)?;
                domain.forwards.push(forward);
            }
        }
        Ok(())
    }

    /// `[{"init_port": 6000, "ports_num": 10, "protocol": "tcp"}]`
    fn port_ranges(
        &self,
        ranges: &Value<'a>,
        ends: &Ends,
        domain: &mut ImportedDomain,
    ) -> Result<(), Remark> {
        let Value::Array(ranges) = ranges else {
            return Err(self.remark(ranges, "port_range: expected a list"));
        };
        for item in &ranges.elements {
            let Value::Object(range) = item else {
                let text = "port_range: expected objects with init_port, ports_num and protocol";
                return Err(self.remark(item, text));
            };
            self.known(range, &RANGE_KEYS)?;
            let missing = |key: &str| self.remark(item, format!("port_range: {key} is missing"));
            let value = |key: &str| range.get(key).map(|property| &property.value);
            let start = self.port(value("init_port").ok_or_else(|| missing("init_port"))?)?;
            let count = self.port(value("ports_num").ok_or_else(|| missing("ports_num"))?)?;
            let word = self.string(range, "protocol")?;
            let word = word.ok_or_else(|| missing("protocol"))?;
            let Some(ends) = self.ends(ends, &word, item, domain)? else {
                continue;
            };
            let end = start.checked_add(count - 1);
            let end = end.ok_or_else(|| self.remark(item, "port_range: the ports pass 65535"))?;
            let forward = self.forward(&ends, (start, end), start, item)?;
            domain.forwards.push(forward);
        }
        Ok(())
    }

    /// The forward of some ports of the host to those of the guest from `to` on.
    fn forward(
        &self,
        ends: &Ends,
        (start, end): (u16, u16),
        to: u16,
        place: &impl Ranged,
    ) -> Result<ImportedForward, Remark> {
        Ok(ImportedForward {
            ends: ends.clone(),
            ports: PortRange::new(start, end)
                .map_err(|error| self.remark(place, error.to_string()))?,
            to,
            line: self.line(place.start()),
        })
    }

    /// The same ends by another protocol; none, with a warning, for the one that has no ports.
    fn ends(
        &self,
        ends: &Ends,
        word: &str,
        place: &impl Ranged,
        domain: &mut ImportedDomain,
    ) -> Result<Option<Ends>, Remark> {
        if word == "icmp" {
            let text =
                "icmp has no ports, and is not taken over: it was not forwarded by the hook either";
            domain.warnings.push(self.remark(place, text));
            return Ok(None);
        }
        let protocol: Protocol = word
            .parse()
            .map_err(|error| self.remark(place, format!("{error}")))?;
        Ok(Some(Ends {
            protocol,
            ..ends.clone()
        }))
    }

    fn port(&self, value: &Value<'a>) -> Result<u16, Remark> {
        let Value::NumberLit(number) = value else {
            return Err(self.remark(value, "expected a port"));
        };
        PortRange::port(number.value).map_err(|error| self.remark(value, error.to_string()))
    }
}
