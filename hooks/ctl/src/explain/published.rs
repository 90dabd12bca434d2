//! Ports that other programs of the host send to somebody behind it, as docker publishes those of containers: by DNAT
//! rules of their own, or by a process that passes connections on.

use super::value::{Asked, Publisher};
use portero_model::{Arrives, ToHost};
use portero_trace::{RuleOwner, Rules};
use std::fs;
use std::path::Path;

/// Docker's process that passes connections on.
const PROXY: &str = "docker-proxy";

/// Who of them has a port.
pub(super) fn publisher(asked: &Asked, rules: &Rules) -> Option<Publisher> {
    let packet = ToHost {
        protocol: asked.protocol,
        port: asked.port,
        address: asked.address,
        source: asked.from,
        arrives: Arrives::By(""),
    };
    let rule = rules.published_by_others(&packet);
    let rule = rule.map(|rule| Publisher {
        is_docker: rule.by == RuleOwner::Docker,
        what: rule.rule,
    });
    rule.or_else(|| {
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let mut proxies = processes.filter_map(|one| proxy(&one.path()));
        let words = proxies.find(|words| is_proxy_of(words, asked))?;
        Some(Publisher {
            is_docker: true,
            what: words.join(" "),
        })
    })
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
    value("-proto").is_some_and(|of| of == asked.protocol.name())
        && value("-host-port").is_some_and(|port| *port == asked.port.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use portero_model::Protocol;

    #[test]
    fn docker_s_proxy_says_which_port_it_has() {
        let asked = |port| Asked {
            address: None,
            port,
            protocol: Protocol::Tcp,
            from: None,
        };
        let line = "/usr/bin/docker-proxy -proto tcp -host-ip 0.0.0.0 -host-port 8080 -container-ip 172.17.0.2";
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        assert!(is_proxy_of(&words, &asked(8080)));
        assert!(!is_proxy_of(&words, &asked(80)));
    }
}
