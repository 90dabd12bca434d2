//! Ports that other programs of the host send to somebody behind it, as docker publishes those of containers: by DNAT
//! rules of their own, or by a process that passes connections on.

use super::value::{Asked, Publisher};
use portero_model::Protocol;
use portero_system::programs::{find_program, read};
use portero_system::Deadline;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// What of the host may send a port elsewhere.
#[derive(Debug, Default)]
pub(super) struct OthersPorts {
    /// `iptables-save -t nat` of each family and variant.
    iptables: Vec<String>,
    /// `nft -j list ruleset`.
    nftables: String,
    /// The command lines of docker's proxies.
    proxies: Vec<Vec<String>>,
}

/// The chains of iptables that are portero's.
const OWN: &str = "-A PORTERO";

/// Docker's process that passes connections on.
const PROXY: &str = "docker-proxy";

impl OthersPorts {
    pub(super) fn read(deadline: Deadline) -> Self {
        let text = |program: &str, words: &[&str]| {
            let listing = read(program, words, deadline).unwrap_or_default();
            String::from_utf8_lossy(&listing).into_owned()
        };
        let mut iptables = Vec::new();
        for (prefix, tables) in [
            ("iptables", "/proc/net/ip_tables_names"),
            ("ip6tables", "/proc/net/ip6_tables_names"),
        ] {
            // Reading a table of the legacy iptables makes it.
            let has_legacy = fs::read_to_string(tables).is_ok_and(|names| names.contains("nat"));
            let mut programs = vec![format!("{prefix}-nft-save")];
            programs.extend(has_legacy.then(|| format!("{prefix}-legacy-save")));
            programs.retain(|program| find_program(program).is_ok());
            if programs.is_empty() {
                programs.push(format!("{prefix}-save"));
            }
            let listings = programs.iter().map(|program| text(program, &["-t", "nat"]));
            iptables.extend(listings);
        }
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        Self {
            iptables,
            nftables: text("nft", &["-j", "list", "ruleset"]),
            proxies: processes.filter_map(|one| proxy(&one.path())).collect(),
        }
    }

    /// Who of them has the port.
    pub(super) fn publisher(&self, asked: &Asked) -> Option<Publisher> {
        let mut rules = self.iptables.iter().flat_map(|listing| listing.lines());
        let iptables = rules
            .find(|rule| is_dnat_of(rule, asked))
            .map(|rule| Publisher {
                is_docker: rule.starts_with("-A DOCKER "),
                what: format!("iptables: {rule}"),
            });
        iptables.or_else(|| self.nft_publisher(asked)).or_else(|| {
            let mut proxies = self.proxies.iter();
            proxies
                .find(|words| is_proxy_of(words, asked))
                .map(|words| Publisher {
                    is_docker: true,
                    what: words.join(" "),
                })
        })
    }

    fn nft_publisher(&self, asked: &Asked) -> Option<Publisher> {
        let listing: Value = serde_json::from_str(&self.nftables).ok()?;
        let mut rules = listing["nftables"]
            .as_array()?
            .iter()
            .map(|one| &one["rule"]);
        rules.find_map(|rule| {
            let word = |key: &str| rule[key].as_str();
            let (family, table, chain) = (word("family")?, word("table")?, word("chain")?);
            let expressions = rule["expr"].as_array()?;
            let is_port = |one: &Value| {
                let matched = &one["match"];
                let payload = &matched["left"]["payload"];
                let of = payload["protocol"].as_str();
                (of == Some(asked.protocol.name()) || of == Some("th"))
                    && payload["field"] == "dport"
                    && matched["op"] == "=="
                    && matched["right"] == asked.port
            };
            let is_it = table != "portero"
                && expressions.iter().any(is_port)
                && expressions.iter().any(|one| !one["dnat"].is_null());
            is_it.then(|| Publisher {
                is_docker: table.starts_with("docker"),
                what: format!(
                    "nftables: table {family} {table}, chain {chain}, handle {}",
                    rule["handle"]
                ),
            })
        })
    }
}

/// Whether a rule, as iptables-save prints it, sends what comes to the port elsewhere.
fn is_dnat_of(rule: &str, asked: &Asked) -> bool {
    let words: Vec<&str> = rule.split_ascii_whitespace().collect();
    let value = |name: &str| {
        let at = words.iter().position(|word| *word == name)?;
        (at == 0 || words[at - 1] != "!").then(|| words.get(at + 1).copied())?
    };
    let (address, port) = (asked.address.map(|one| one.to_string()), asked.port);
    let is_to_port = value("--dport").is_some_and(|ports| {
        let (first, last) = ports.split_once(':').unwrap_or((ports, ports));
        let first = first.parse().unwrap_or(u16::MAX);
        (first..=last.parse().unwrap_or(0)).contains(&port)
    });
    let is_to_address = match (value("-d"), &address) {
        (Some(of), Some(address)) => of.split('/').next() == Some(address),
        _ => true,
    };
    !rule.starts_with(OWN)
        && value("-j") == Some("DNAT")
        && value("-p") == Some(asked.protocol.name())
        && is_to_port
        && is_to_address
}

/// The command line of a process, if it is docker's proxy.
fn proxy(process: &Path) -> Option<Vec<String>> {
    let name = fs::read_to_string(process.join("comm")).ok()?;
    if name.trim() != PROXY {
        return None;
    }
    let line = fs::read(process.join("cmdline")).ok()?;
    let words = line
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty());
    Some(
        words
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect(),
    )
}

fn is_proxy_of(words: &[String], asked: &Asked) -> bool {
    let value = |name: &str| {
        let at = words.iter().position(|word| word == name)?;
        words.get(at + 1)
    };
    let protocol = match asked.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    };
    value("-proto").is_some_and(|of| of == protocol)
        && value("-host-port").is_some_and(|port| *port == asked.port.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(port: u16) -> Asked {
        Asked {
            address: Some([203, 0, 113, 1].into()),
            port,
            protocol: Protocol::Tcp,
            from: None,
        }
    }

    fn publisher(iptables: &str, nftables: &str, port: u16) -> Option<Publisher> {
        let ports = OthersPorts {
            iptables: vec![iptables.to_owned()],
            nftables: nftables.to_owned(),
            proxies: Vec::new(),
        };
        ports.publisher(&asked(port))
    }

    #[test]
    fn a_rule_of_docker_s_is_known_and_one_of_portero_s_is_not_meant() {
        let rule = "-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80";
        let found = publisher(rule, "", 8080);
        let expected = Publisher {
            is_docker: true,
            what: format!("iptables: {rule}"),
        };
        assert_eq!(found, Some(expected));
        assert_eq!(publisher(rule, "", 8081), None);
        assert_eq!(publisher(&rule.replace("tcp", "udp"), "", 8080), None);
        assert_eq!(
            publisher(&rule.replace("DOCKER", "PORTERO-DNAT"), "", 8080),
            None
        );
        let other = rule.replace("-p tcp", "-d 203.0.113.2/32 -p tcp");
        assert_eq!(publisher(&other, "", 8080), None, "another address");
        let range =
            "-A PREROUTING -p tcp -m tcp --dport 8000:8100 -j DNAT --to-destination 10.0.0.2";
        assert_eq!(
            publisher(range, "", 8080).map(|one| one.is_docker),
            Some(false)
        );
    }

    #[test]
    fn a_rule_of_nftables_and_a_proxy_are_known() {
        let rule = r#"{"nftables": [{"rule": {"family": "ip", "table": "docker-bridges", "chain": "nat", "handle": 7,
            "expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 8080}},
            {"dnat": {"addr": "172.17.0.2", "port": 80}}]}}]}"#;
        let found = publisher("", rule, 8080).map(|one| (one.is_docker, one.what));
        let what = "nftables: table ip docker-bridges, chain nat, handle 7".to_owned();
        assert_eq!(found, Some((true, what)));
        assert_eq!(
            publisher("", &rule.replace("docker-bridges", "portero"), 8080),
            None
        );
        let line = "/usr/bin/docker-proxy -proto tcp -host-ip 0.0.0.0 -host-port 8080 -container-ip 172.17.0.2";
        let ports = OthersPorts {
            proxies: vec![line.split(' ').map(str::to_owned).collect()],
            ..OthersPorts::default()
        };
        let found = ports.publisher(&asked(8080)).map(|one| one.what);
        assert_eq!(found.as_deref(), Some(line));
        assert_eq!(ports.publisher(&asked(80)), None);
    }
}
