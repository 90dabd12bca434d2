//! The kernel's routes, for whoever wants to know by which interface a packet leaves, as ip(8) tells them.

use portero_model::Family;
use portero_system::programs::read;
use portero_system::Deadline;
use serde::Deserialize;
use std::fs;
use std::net::IpAddr;
use std::time::Duration;

/// Longest wait for ip(8).
const LIMIT: Duration = Duration::from_secs(5);

/// A packet whose way is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Journey<'a> {
    /// Where it goes.
    pub to: IpAddr,
    /// Where it comes from: one of the host's addresses, unless the host passes it on.
    pub from: IpAddr,
    /// The interface that it arrives by; the host itself sends it when absent.
    pub arrives: Option<&'a str>,
    /// The mark that the host gives it before it looks for a route, if any.
    pub mark: Option<u32>,
}

/// How the host sends a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// The interface that it leaves by.
    pub interface: String,
    /// The table of routes that says so (ip-rule(8)); the main one when absent.
    pub table: Option<String>,
}

#[derive(Deserialize)]
struct Route {
    #[serde(rename = "type")]
    kind: Option<String>,
    dev: Option<String>,
    table: Option<String>,
    protocol: Option<String>,
    #[serde(default)]
    nexthops: Vec<Nexthop>,
}

#[derive(Deserialize)]
struct Nexthop {
    dev: Option<String>,
}

fn routes(words: &[&str]) -> Vec<Route> {
    let listing = read("ip", words, Deadline::after(LIMIT)).unwrap_or_default();
    serde_json::from_slice(&listing).unwrap_or_default()
}

/// By which interface a packet leaves, source routing included; nothing when no route leads there or nobody tells.
#[must_use]
pub fn exit_of(journey: Journey<'_>) -> Option<Exit> {
    match passage_of(journey) {
        Passage::By(exit) => Some(exit),
        Passage::Refused | Passage::Unclear => None,
    }
}

/// What the host's routes make of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Passage {
    /// It leaves.
    By(Exit),
    /// No route leads there, or one that refuses it.
    Refused,
    /// That cannot be told: the host itself has the destination, or `rp_filter` keeps the packet out before it is routed.
    Unclear,
}

/// The same, and whether a route refuses it.
#[must_use]
pub fn passage_of(journey: Journey<'_>) -> Passage {
    let (to, from) = (journey.to.to_string(), journey.from.to_string());
    let mut words = vec!["-j", "route", "get", &to, "from", &from];
    words.extend(journey.arrives.iter().flat_map(|dev| ["iif", dev]));
    let mark = journey.mark.map(|mark| mark.to_string());
    words.extend(mark.iter().flat_map(|mark| ["mark", mark]));
    match read("ip", &words, Deadline::after(LIMIT)) {
        Ok(listing) => leaving(&listing).map_or(Passage::Unclear, Passage::By),
        Err(error) if is_refusal(&error.to_string()) => Passage::Refused,
        Err(_) => Passage::Unclear,
    }
}

/// Whether ip(8) has printed what the kernel says where no route leads on: of a packet that arrives this is the same for
/// `unreachable`, `prohibit` and `blackhole`. `Invalid argument` is what newer kernels say where `rp_filter` drops it.
fn is_refusal(error: &str) -> bool {
    let answers = [
        "Network is unreachable",
        "No route to host",
        "Permission denied",
    ];
    error.contains("RTNETLINK answers") && answers.iter().any(|answer| error.contains(answer))
}

fn leaving(listing: &[u8]) -> Option<Exit> {
    let routes: Vec<Route> = serde_json::from_slice(listing).unwrap_or_default();
    let route = routes.into_iter().next()?;
    // What is local, or not to be reached, leaves by nothing.
    let kind = route.kind.as_deref();
    let interface = route
        .dev
        .filter(|_| matches!(kind, None | Some("unicast")))?;
    let table = route.table.filter(|table| table != "main");
    Some(Exit { interface, table })
}

/// Whether the host asks other tables of routes than each host does (ip-rule(8)), so that packets of others may go other ways
/// than its own.
#[must_use]
pub fn has_rules_for_routes(family: Family) -> bool {
    #[derive(Deserialize)]
    struct Rule {
        priority: u32,
    }
    let family = match family {
        Family::Ipv4 => "-4",
        Family::Ipv6 => "-6",
    };
    let words = [family, "-j", "rule", "show"];
    let listing = read("ip", &words, Deadline::after(LIMIT)).unwrap_or_default();
    let rules: Vec<Rule> = serde_json::from_slice(&listing).unwrap_or_default();
    // `local`, `main` and `default`.
    rules
        .iter()
        .any(|rule| ![0, 32_766, 32_767].contains(&rule.priority))
}

/// Interfaces whose IPv6 default route the kernel has from router advertisements, and gives up as soon as the host
/// passes IPv6 packets on: their `accept_ra` is 1, not 2 (ip-sysctl.rst of the kernel's documentation).
#[must_use]
pub fn advertised_uplinks() -> Vec<String> {
    let routes = routes(&["-6", "-j", "route", "show", "default"]);
    let advertised = routes
        .into_iter()
        .filter(|route| route.protocol.as_deref() == Some("ra"));
    let devs = advertised.flat_map(|route| {
        let nexthops = route.nexthops.into_iter().filter_map(|hop| hop.dev);
        route.dev.into_iter().chain(nexthops)
    });
    let is_kernels = |dev: &String| {
        let setting = format!("/proc/sys/net/ipv6/conf/{dev}/accept_ra");
        fs::read_to_string(setting).is_ok_and(|value| value.trim() == "1")
    };
    let mut devs: Vec<String> = devs.filter(is_kernels).collect();
    devs.sort();
    devs.dedup();
    devs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_that_refuses_is_told_from_what_nobody_tells() {
        assert!(is_refusal("ip: RTNETLINK answers: No route to host"));
        assert!(!is_refusal(
            "ip: RTNETLINK answers: Invalid cross-device link"
        ));
        assert!(!is_refusal("ip: RTNETLINK answers: Invalid argument"));
    }

    #[test]
    fn what_ip_prints_is_read() {
        let text = r#"[{"dst":"8.8.8.8","from":"198.51.100.1","gateway":"198.51.100.254","dev":"up1","table":"100","flags":[],"uid":0,"cache":[]}]"#;
        let routes: Vec<Route> = serde_json::from_str(text).unwrap_or_default();
        let read: Vec<_> = routes
            .iter()
            .map(|route| (route.dev.as_deref(), route.table.as_deref()))
            .collect();
        assert_eq!(read, [(Some("up1"), Some("100"))]);
    }
}
