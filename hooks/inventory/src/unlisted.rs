//! What decides about packets and is in no list of a firewall's: filters of tc(8), programs of XDP, VRFs and policies of
//! IPsec. What they do is not read; that they are there is a doubt.

use portero_system::programs::read;
use portero_system::Deadline;
use portero_trace::Unlisted;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;

/// Disciplines of tc that classify nothing, or by hashes alone.
const WITHOUT_FILTERS: [&str; 7] = [
    "noqueue",
    "pfifo_fast",
    "fq_codel",
    "fq",
    "mq",
    "pfifo",
    "cake",
];

#[derive(Deserialize)]
struct Link {
    ifname: String,
    #[serde(default)]
    master: Option<String>,
    #[serde(default)]
    xdp: Option<Value>,
    #[serde(default)]
    linkinfo: Option<LinkInfo>,
}

#[derive(Deserialize)]
struct LinkInfo {
    info_kind: Option<String>,
}

#[derive(Deserialize)]
struct Discipline {
    kind: String,
    dev: String,
}

/// What there is; nothing where a program is not installed or cannot tell.
pub(crate) fn unlisted(deadline: Deadline) -> Vec<Unlisted> {
    let links: Vec<Link> = json(&["ip", "-j", "-d", "link", "show"], deadline).unwrap_or_default();
    let mut found = of_links(&links);
    let disciplines: Vec<Discipline> =
        json(&["tc", "-j", "qdisc", "show"], deadline).unwrap_or_default();
    for Discipline { kind, dev } in disciplines {
        let blocks: &[&str] = match kind.as_str() {
            kind if WITHOUT_FILTERS.contains(&kind) => continue,
            "clsact" => &["ingress", "egress"],
            "ingress" => &["ingress"],
            _ => &["root"],
        };
        let is_filtered = blocks.iter().any(|block| {
            let words = ["tc", "-j", "filter", "show", "dev", &dev, block];
            json::<Value>(&words, deadline).is_some_and(|filters| decides(&filters))
        });
        if is_filtered {
            found.push(Unlisted::on(&dev, "a filter of tc(8)"));
        }
    }
    let policies = read("ip", &["xfrm", "policy"], deadline).unwrap_or_default();
    if String::from_utf8_lossy(&policies).contains("action block") {
        found.push(Unlisted::everywhere("a policy of IPsec (ip xfrm policy)"));
    }
    found
}

fn json<T: for<'de> Deserialize<'de>>(words: &[&str], deadline: Deadline) -> Option<T> {
    let (program, words) = words.split_first()?;
    serde_json::from_slice(&read(program, words, deadline).ok()?).ok()
}

fn of_links(links: &[Link]) -> Vec<Unlisted> {
    let is_vrf = |link: &&Link| {
        let kind = link.linkinfo.as_ref();
        kind.and_then(|info| info.info_kind.as_deref()) == Some("vrf")
    };
    let vrfs: BTreeSet<&String> = links
        .iter()
        .filter(is_vrf)
        .map(|link| &link.ifname)
        .collect();
    let mut found = Vec::new();
    for link in links {
        if link.xdp.is_some() {
            found.push(Unlisted::on(&link.ifname, "a program of XDP"));
        }
        if let Some(master) = link.master.as_ref().filter(|name| vrfs.contains(name)) {
            found.push(Unlisted::on(
                &link.ifname,
                &format!("VRF {master}, which has routes of its own,"),
            ));
        }
    }
    found
}

/// Whether filters of tc drop, redirect or run a program: libvirt's own change checksums, or limit rates.
fn decides(filters: &Value) -> bool {
    let of = |filter: &Value| {
        let options = &filter["options"];
        let actions = options["actions"].as_array();
        let mut actions = actions.into_iter().flatten();
        filter["kind"] == "bpf"
            || actions.any(|action| {
                let kind = action["kind"].as_str().unwrap_or_default();
                let drops = ["drop", "shot"].map(Value::from);
                ["mirred", "bpf"].contains(&kind)
                    || kind == "gact" && drops.contains(&action["control_action"]["type"])
            })
    };
    let mut filters = filters.as_array().into_iter().flatten();
    filters.any(of)
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_xdp_and_a_vrf_are_found() {
        let text = r#"[{"ifname": "eth0", "xdp": {"mode": 1, "prog": {"id": 7}}, "linkinfo": {"info_kind": "veth"}},
            {"ifname": "br0", "master": "blue", "linkinfo": {"info_kind": "bridge"}},
            {"ifname": "vnet0", "master": "br0"}, {"ifname": "blue", "linkinfo": {"info_kind": "vrf"}}]"#;
        let links: Vec<Link> = serde_json::from_str(text).expect("JSON");
        let expected = [
            Unlisted::on("eth0", "a program of XDP"),
            Unlisted::on("br0", "VRF blue, which has routes of its own,"),
        ];
        assert_eq!(of_links(&links), expected);
    }

    #[test]
    fn filters_that_stop_nothing_are_no_doubt() {
        let of = |kind: &str, action: &str| {
            let text = format!(
                r#"[{{"protocol": "ip", "kind": "{kind}"}}, {{"protocol": "ip", "kind": "{kind}", "options": {{"actions": [{action}]}}}}]"#
            );
            decides(&serde_json::from_str(&text).expect("JSON"))
        };
        let csum = r#"{"order": 1, "kind": "csum", "control_action": {"type": "pass"}}"#;
        let gact = r#"{"order": 1, "kind": "gact", "control_action": {"type": "drop"}}"#;
        let mirred = r#"{"order": 1, "kind": "mirred", "mirred_action": "redirect"}"#;
        assert!(!of("u32", csum));
        assert!(of("u32", gact));
        assert!(of("u32", mirred));
        assert!(of("bpf", ""));
        assert!(!decides(&Value::Array(Vec::new())));
    }
}
