//! Metrics against what really happened, and against what reads them: promtool, node_exporter, and Python's strict reader of
//! OpenMetrics.

use portero_docs::{project, read};
use portero_lab::{
    enter, run_scenarios, wait_until, Backend, DomainXml, From, Lab, NetworkXml, Options, Program,
    Proto, Scenario, HOST_V4, OUTSIDE_V4,
};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;
use Proto::Tcp;

const WEB: &str = "192.168.50.10";
const WEB_MAC: &str = "52:54:00:00:50:10";

const AGENT: &str = env!("CARGO_BIN_EXE_portero-lab-agent");

/// Where node_exporter looks.
const FOLDER: &str = "/var/lib/prometheus/node-exporter";
const EXPORTER: &str = "127.0.0.1:9100";

const FORWARD: [&str; 2] = ["domain=\"web\"", "ports=\"8080\""];
const CLAUSE: [&str; 3] = ["network=\"lan\"", "clause=\"out 1\"", "verdict=\"reject\""];

/// Somebody else's counter of what is forwarded from the same port.
const WITNESS: &str = "table ip witness { chain way { type filter hook forward priority -150 ; \
    meta l4proto tcp ct original proto-dst 8080 counter ; } ; }";

struct World {
    lab: Lab,
    /// What tests/prometheus has unpacked.
    prometheus: PathBuf,
}

const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "a forward counts what was sent, and nothing when nothing is",
        run: forward,
    },
    Scenario {
        name: "a clause of a policy counts what matched it, and nothing else",
        run: clause,
    },
    Scenario {
        name: "a file is replaced as a whole, and nothing but a file",
        run: file,
    },
    Scenario {
        name: "what is missing and waits, what portero-watch did, and the page names all of it",
        run: watched,
    },
    Scenario {
        name: "promtool understands each query of the dashboard, and the alerts",
        run: queries,
    },
];

fn main() -> ExitCode {
    enter();
    let prometheus = Path::new(AGENT).ancestors().nth(2);
    let prometheus = prometheus.expect("cargo's folder").join("prometheus");
    let lab = Lab::boot(&Options::from_environment(AGENT));
    assert!(
        prometheus.join("usr/bin/promtool").exists(),
        "{} has no promtool: run tests/prometheus",
        prometheus.display()
    );
    lab.start_network(&NetworkXml {
        name: "lan",
        mode: "nat",
        number: 50,
        reservations: &[(WEB_MAC, 10)],
        portero: "<portero:policy><portero:rule action='reject' direction='out'><portero:tcp dstportstart='53'/>\
            </portero:rule></portero:policy>",
    });
    lab.define(&DomainXml {
        name: "web",
        nics: &[("lan", WEB_MAC)],
        v6: None,
        portero: "<portero:portForward proto='tcp'><portero:range start='8080' to='80'/></portero:portForward>",
    });
    lab.virsh(&["start", "web"]);
    lab.wait_guest(WEB);
    let mut world = World { lab, prometheus };
    run_scenarios(&mut world, SCENARIOS, |world| {
        println!("--- rules\n{}", world.lab.rules());
        println!("--- metrics\n{}", world.metrics("prometheus"));
        println!("--- log\n{}", world.lab.log().join("\n"));
    })
}

impl World {
    fn metrics(&self, format: &str) -> String {
        self.lab.must("portero", &["status", "--format", format])
    }

    /// A number as it is now.
    fn number(&self, name: &str, labels: &[&str]) -> Option<u64> {
        number(&self.metrics("prometheus"), name, labels)
    }

    /// Expects promtool to find nothing to say.
    fn promtool(&self, words: &str) {
        let promtool = self.prometheus.join("usr/bin/promtool");
        let ran = self
            .lab
            .run("sh", &["-c", &format!("{} {words}", promtool.display())]);
        assert!(ran.ok, "promtool {words}: {ran:?}");
    }
}

/// The number with these labels, if there is one.
fn number(text: &str, name: &str, labels: &[&str]) -> Option<u64> {
    let is_it = |line: &&str| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|label| line.contains(label))
    };
    let lines: Vec<&str> = text.lines().filter(is_it).collect();
    assert!(lines.len() < 2, "{lines:?}");
    let (_, number) = lines.first()?.rsplit_once(' ')?;
    Some(number.parse().expect("a number"))
}

/// The names of portero's metrics in a text.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|one: char| !one.is_ascii_alphanumeric() && one != '_');
    words.filter(|word| word.starts_with("portero_")).collect()
}

fn forward(world: &mut World) {
    let lab = &world.lab;
    lab.must("nft", &[WITNESS]);
    let witness = || -> [Option<u64>; 2] {
        let json = lab.must("nft", &["-j", "list", "table", "ip", "witness"]);
        let json: Value = serde_json::from_str(&json).expect("JSON");
        let all = json["nftables"].as_array().expect("objects");
        let rule = all.iter().find_map(|one| one.get("rule")).expect("a rule");
        let counter = rule["expr"].as_array().expect("expressions").iter();
        let counter = counter
            .filter_map(|one| one.get("counter"))
            .next()
            .expect("a counter");
        ["packets", "bytes"].map(|word| counter[word].as_u64())
    };
    let counted = || {
        let text = world.metrics("prometheus");
        ["packets", "bytes"]
            .map(|word| number(&text, &format!("portero_forward_{word}_total"), &FORWARD))
    };
    assert_eq!((witness(), counted()), ([Some(0); 2], [Some(0); 2]));
    for round in 1..=3_u64 {
        lab.answers(From::Outside, Tcp, HOST_V4, 8080, "web tcp 80");
        // The connection's last packets come after its answer.
        wait_until(Duration::from_secs(30), "packets are not counted", || {
            let before = witness();
            sleep(Duration::from_millis(500));
            before == witness() && before == counted()
        });
        assert!(witness() >= [Some(6 * round), Some(240 * round)]);
        let connections = world.number("portero_forward_connections_total", &FORWARD);
        // nftables does not count them.
        let expected = (lab.backend() == Backend::Iptables).then_some(round);
        assert_eq!(connections, expected);
        // The controls: who is refused, who asks the guest itself, and nobody.
        let before = counted();
        lab.refuses(From::Outside, Tcp, HOST_V4, 8081);
        lab.answers(From::Host, Tcp, WEB, 80, "web tcp 80");
        sleep(Duration::from_secs(1));
        assert_eq!(counted(), before);
    }
    lab.must("nft", &["delete table ip witness"]);
}

fn clause(world: &mut World) {
    let lab = &world.lab;
    let counted = || {
        let text = world.metrics("prometheus");
        ["packets", "bytes"].map(|word| {
            let name = format!("portero_policy_rule_{word}_total");
            number(&text, &name, &CLAUSE).expect("a counter")
        })
    };
    let before = counted();
    // The control: another port.
    lab.answers(From::Guest(WEB), Tcp, OUTSIDE_V4, 80, "outside tcp 80");
    assert_eq!(counted(), before);
    lab.refuses(From::Guest(WEB), Tcp, OUTSIDE_V4, 53);
    let [packets, bytes] = counted();
    assert!(packets > before[0], "{packets} packets");
    // A packet that opens a connection has 40 bytes at least, and options.
    assert!(bytes - before[1] >= 40 * (packets - before[0]), "{bytes}");
    let shown = lab.must("portero", &["policy", "show", "lan", "--json"]);
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    let clauses = shown[0]["clauses"].as_array().expect("clauses");
    let text = world.metrics("prometheus");
    for clause in clauses {
        let label = format!("clause={}", clause["clause"]);
        let packets = number(&text, "portero_policy_rule_packets_total", &[&label]);
        assert_eq!(packets, clause["packets"].as_u64(), "{label}");
    }
}

fn file(world: &mut World) {
    let lab = &world.lab;
    fs::create_dir_all(FOLDER).expect("its folder");
    let path = format!("{FOLDER}/portero.prom");
    let write = |format: &str, path: &str| {
        let words = ["status", "--format", format, "--output", path];
        lab.run("portero", &words)
    };
    let written = write("prometheus", &path);
    assert!(written.ok && written.stdout.is_empty(), "{written:?}");
    let mode = fs::metadata(&path).expect("the file").mode() & 0o7777;
    assert_eq!(mode, 0o644, "{mode:o}");
    let text = fs::read_to_string(&path).expect("the file");
    assert_eq!(names(&text), names(&world.metrics("prometheus")));
    let entries = || fs::read_dir(FOLDER).expect("its folder").count();
    assert_eq!(entries(), 1, "nothing is left beside it");

    // Who has it open keeps what it was.
    let before = fs::File::open(&path).expect("the file");
    let written = write("openmetrics", &path);
    assert!(written.ok, "{written:?}");
    let old = std::io::read_to_string(before).expect("what it was");
    assert_eq!(old, text);
    assert_ne!(fs::read_to_string(&path).expect("the file"), text);
    // What is no file, and where there is no folder.
    let refused = write("prometheus", "/dev/null");
    assert!(!refused.ok && refused.stderr.contains("is not a regular file"));
    let null = fs::metadata("/dev/null").expect("a device");
    assert!(null.file_type().is_char_device());
    let refused = write("prometheus", "/nonexistent/portero.prom");
    assert!(
        !refused.ok && refused.stderr.contains("/nonexistent"),
        "{refused:?}"
    );

    // promtool takes the one form and, as the page says, not the other; Python's reader the other and not the one.
    let promtool = format!("check metrics <{path}");
    let refused = lab.run(
        "sh",
        &[
            "-c",
            &format!("{}/usr/bin/promtool {promtool}", world.prometheus.display()),
        ],
    );
    assert!(
        !refused.ok && refused.stderr.contains("no help text"),
        "{refused:?}"
    );
    let packages = world.prometheus.join("usr/lib/python3/dist-packages");
    let script = "import sys
sys.path.insert(0, sys.argv[1])
from prometheus_client.openmetrics.parser import text_string_to_metric_families as families
for family in families(open(sys.argv[2]).read()):
    for sample in family.samples: print(sample.name, family.type)";
    let strict = || {
        let words = ["-c", script, &packages.to_string_lossy(), &path];
        lab.run("python3", &words)
    };
    let families = strict();
    assert!(families.ok, "{families:?}");
    assert!(families
        .stdout
        .contains("portero_forward_bytes_total counter\n"));
    assert_eq!(names(&families.stdout), names(&text));
    assert!(write("prometheus", &path).ok);
    assert!(!strict().ok, "the control");
    world.promtool(&promtool);

    // node_exporter hands on each number with its type.
    let exporter = world.prometheus.join("usr/bin/prometheus-node-exporter");
    let listen = format!("--web.listen-address={EXPORTER}");
    let folder = format!("--collector.textfile.directory={FOLDER}");
    let words = [
        "--collector.disable-defaults",
        "--collector.textfile",
        &listen,
        &folder,
    ];
    let exporter = lab.start(&exporter.to_string_lossy(), &words);
    let url = format!("http://{EXPORTER}/metrics");
    wait_until(
        Duration::from_secs(30),
        "node_exporter serves nothing",
        || lab.run("curl", &["-sf", &url]).ok,
    );
    let served = lab.must("curl", &["-sf", &url]);
    assert!(
        served.contains("\nnode_textfile_scrape_error 0\n"),
        "{served}"
    );
    let text = fs::read_to_string(&path).expect("the file");
    let is_type = |line: &&str| line.starts_with("# TYPE") || line.starts_with("# HELP");
    for line in text.lines().filter(is_type) {
        assert!(served.lines().any(|one| one == line), "{line}\n{served}");
    }
    for (name, labels) in [
        ("portero_forward_bytes_total", &FORWARD[..]),
        ("portero_policy_rule_packets_total", &CLAUSE),
        ("portero_forwards", &["state=\"active\""]),
    ] {
        assert_eq!(number(&served, name, labels), number(&text, name, labels));
    }
    drop(exporter);
    fs::remove_file(&path).expect("the file");
}

fn watched(world: &mut World) {
    let lab = &world.lab;
    let state = |state: &str| {
        let label = format!("state=\"{state}\"");
        ["portero_forwards", "portero_policies"].map(|name| world.number(name, &[&label]))
    };
    assert_eq!(state("active"), [Some(1); 2]);
    assert_eq!(state("missing"), [Some(0); 2]);
    // What was not counted is left out.
    assert_eq!(world.number("portero_watch_comparisons_total", &[]), None);
    flush(lab);
    assert_eq!(state("missing"), [Some(1); 2]);
    lab.must("portero", &["sync"]);
    assert_eq!(state("active"), [Some(1); 2]);
    // Whoever compares by hand is not portero-watch.
    assert_eq!(world.number("portero_watch_comparisons_total", &[]), None);

    let wait_for = |what: &str, is_so: &dyn Fn(&str) -> bool| {
        wait_until(Duration::from_secs(60), what, || {
            is_so(&world.metrics("prometheus"))
        });
    };
    let comparisons = |text: &str| number(text, "portero_watch_comparisons_total", &[]);
    let restores = |text: &str| number(text, "portero_watch_restores_total", &[]);
    let watch = Program::start("portero-watch", &[]);
    wait_for("portero-watch counts nothing", &|text| {
        comparisons(text) >= Some(1)
    });
    // The control: nothing happens, and nothing is counted.
    let calm = || {
        sleep(Duration::from_secs(3));
        world.metrics("prometheus")
    };
    let before = calm();
    assert_eq!(calm(), before);
    assert_eq!(restores(&before), Some(0));
    assert!(!names(&before).contains("portero_watch_errors_total"));
    let date = || -> u64 {
        let seconds = lab.must("date", &["+%s"]);
        seconds.trim().parse().expect("seconds")
    };
    let begin = date();
    flush(lab);
    wait_for("nothing was restored", &|text| restores(text) == Some(1));
    let after = world.metrics("prometheus");
    assert!(comparisons(&after) > comparisons(&before));
    assert_eq!(
        number(&after, "portero_forwards", &["state=\"active\""]),
        Some(1)
    );
    let last = number(
        &after,
        "portero_watch_last_comparison_timestamp_seconds",
        &[],
    );
    assert!(Some(begin) <= last && last <= Some(date()), "{last:?}");

    // An error has its kind, in the metrics and in the log.
    let own = "/etc/portero/networks/lan.xml";
    fs::write(
        own,
        "<portero:network xmlns:portero='urn:portero:1'><portero:policy/></portero:network>",
    )
    .expect("a file");
    let kind = ["kind=\"policy\""];
    let errors = |text: &str| number(text, "portero_watch_errors_total", &kind);
    wait_for("no error is counted", &|text| errors(text) >= Some(1));
    let last = world.number("portero_watch_last_error_timestamp_seconds", &kind);
    assert!(Some(begin) <= last && last <= Some(date()), "{last:?}");
    fs::remove_file(own).expect("the file");
    let all = calm();
    // Started again, it counts on.
    drop(watch);
    let watch = Program::start("portero-watch", &[]);
    wait_for("it does not count on", &|text| {
        comparisons(text) > comparisons(&all)
    });
    assert_eq!(errors(&world.metrics("prometheus")), errors(&all));
    drop(watch);

    lab.define(&DomainXml {
        name: "late",
        nics: &[("lan", "52:54:00:00:50:71")],
        v6: None,
        portero: "<portero:portForward proto='tcp'><portero:range start='8071' to='80'/></portero:portForward>",
    });
    lab.virsh(&["start", "late"]);
    assert_eq!(state("pending")[0], Some(1));
    for verb in ["destroy", "undefine"] {
        lab.virsh(&[verb, "late"]);
    }
    assert_eq!(state("pending")[0], Some(0));

    // By now there is everything that can be counted, and the page names it.
    let text = world.metrics("prometheus");
    let mut printed = names(&text);
    if lab.backend() == Backend::Nftables {
        assert!(printed.insert("portero_forward_connections_total"));
    }
    let page = read("docs/guide/metrics.md").expect("the page");
    assert_eq!(names(&page), printed);
}

/// Removes portero's rules; those of forwards are counted in libvirt's tables.
fn flush(lab: &Lab) {
    if lab.backend() == Backend::Nftables {
        for table in ["portero", "portero_policy"] {
            lab.must("nft", &["delete", "table", "inet", table]);
        }
        return;
    }
    for program in ["iptables", "ip6tables"] {
        for table in ["filter", "nat", "mangle"] {
            lab.must(program, &["-t", table, "-F"]);
        }
    }
}

fn queries(world: &mut World) {
    let alerts = project().join("docs/examples/prometheus-portero.yml");
    world.promtool(&format!("check rules {}", alerts.display()));
    // Each query of the dashboard as a rule, with what Grafana puts for its variables.
    let dashboard = read("docs/examples/grafana-portero.json").expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&dashboard).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array());
    let rules: Vec<Value> = targets
        .flatten()
        .zip(0..)
        .map(|(target, number)| {
            let query = target["expr"].as_str().expect("a query");
            let query = query.replace("$__rate_interval", "5m");
            let query = query.replace("$instance", ".*");
            assert!(!query.contains('$'), "{query}");
            serde_json::json!({"record": format!("query:{number}"), "expr": query})
        })
        .collect();
    assert!(rules.len() >= panels.len(), "a panel has no query");
    // JSON is YAML.
    let check = |rules: &[Value]| {
        let group = serde_json::json!({"groups": [{"name": "dashboard", "rules": rules}]});
        world.lab.file("rules.yml", &group.to_string())
    };
    world.promtool(&format!("check rules {}", check(&rules)));
    let wrong =
        serde_json::json!({"record": "query:wrong", "expr": "sum by (rate(portero_forwards)"});
    let promtool = world.prometheus.join("usr/bin/promtool");
    let path = check(&[wrong]);
    let refused = world
        .lab
        .run(&promtool.to_string_lossy(), &["check", "rules", &path]);
    assert!(!refused.ok, "the control: {refused:?}");
}
