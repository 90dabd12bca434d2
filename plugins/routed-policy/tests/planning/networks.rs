//! Networks for tests: `net`, which has the policy, with `lab` and others beside it.

use portero_libvirt::{Network, ObjectName};
use portero_model::Policy;
use portero_routed_policy::{compile, Compiled, Context, Group, WrittenPolicy};
use portero_xml::Element;
use std::collections::BTreeMap;

/// A network of the addresses 10.NUMBER.0.0/24 and fd00:NUMBER::/64 behind the bridge `br-NAME`.
pub(crate) fn network(name: &str, number: u8, mode: &str, inner: &str) -> Network {
    let forward = match mode {
        "none" => String::new(),
        mode => format!("<forward mode='{mode}'/>"),
    };
    let escaped = name.replace('"', "&quot;");
    let bridge = match mode {
        "private" => String::new(),
        _ => format!(
            "<bridge name='br-{}'/>",
            name.split(' ').next().expect("a word")
        ),
    };
    let xml = format!(
        "<network><name>{escaped}</name><uuid>aaaaaaaa-0000-4000-8000-0000000000{number:02}</uuid>\
         {forward}{bridge}<ip address='10.{number}.0.1' prefix='24'>{inner}</ip>\
         <ip family='ipv6' address='fd00:{number}::1' prefix='64'/></network>"
    );
    let root = Element::parse(xml.as_bytes()).expect("XML");
    Network::from_element(&root).expect("a network")
}

pub(crate) struct Networks {
    /// The name of the one with the policy.
    pub(crate) name: String,
    /// What is in its `<ip>`.
    pub(crate) hosts: String,
    /// Those beside it.
    pub(crate) others: Vec<Network>,
    groups: BTreeMap<String, String>,
}

impl Networks {
    pub(crate) fn new() -> Self {
        Self {
            name: "net".to_owned(),
            hosts: String::new(),
            others: vec![network("lab", 2, "route", "")],
            groups: BTreeMap::new(),
        }
    }

    pub(crate) fn group(mut self, name: &str, peers: &str) -> Self {
        let xml = format!("<p:group xmlns:p='urn:portero:1'>{peers}</p:group>");
        self.groups.insert(name.to_owned(), xml);
        self
    }

    /// The network with the policy.
    pub(crate) fn own(&self, mode: &str) -> Network {
        let hosts = format!("<dhcp>{}</dhcp>", self.hosts);
        network(&self.name, 1, mode, &hosts)
    }

    /// What a policy for a network of this mode comes to, or the line that refuses it.
    pub(crate) fn compile(&self, mode: &str, policy: &str) -> Result<Compiled, String> {
        let xml = format!("<p:network xmlns:p='urn:portero:1'>{policy}</p:network>");
        let root = Element::parse(xml.as_bytes()).expect("XML");
        let written = WrittenPolicy::find_in(&root)
            .expect("the grammar")
            .expect("a policy");
        let groups = |name: &ObjectName| {
            let xml = self.groups.get(name.as_str());
            let xml = xml.ok_or_else(|| format!("there is no group {name}"))?;
            let root = Element::parse(xml.as_bytes()).expect("XML");
            Group::read(&root).map_err(|problem| problem.to_string())
        };
        let own = self.own(mode);
        let networks: Vec<Network> = self.others.iter().cloned().chain([own.clone()]).collect();
        let context = Context {
            networks: &networks,
            groups: &groups,
        };
        compile(&own, &written, &context).map_err(|problem| problem.to_string())
    }

    /// The same of a policy that is right.
    pub(crate) fn compiles(&self, mode: &str, policy: &str) -> Policy {
        match self.compile(mode, policy) {
            Ok(compiled) => compiled.policy,
            Err(problem) => panic!("{policy}: {problem}"),
        }
    }
}
