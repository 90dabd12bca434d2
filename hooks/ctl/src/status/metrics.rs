//! `portero status --format`: what is counted, as text for Prometheus.

use super::row::ForwardState;
use super::value::counted_forwards;
use crate::exit::DONE;
use portero_engine::{ApplyError, Engine, Watched};
use portero_inventory::{OwnerStatus, Snapshot};
use portero_libvirt::Driver;
use portero_model::{Counters, ForwardCounter, Owner, OwnerKind, Ruleset};
use portero_system::{files, FileError};
use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::fs;
use std::path::Path;

/// A text format of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum MetricsFormat {
    /// Prometheus' text format, for node_exporter's textfile collector
    Prometheus,
    /// OpenMetrics 1.0
    Openmetrics,
}

/// How a number changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It grows, or begins again.
    Counter,
    /// It is what it is now.
    Gauge,
}

/// What metrics of one name are.
struct Family {
    /// Without the `_total` of a counter.
    name: &'static str,
    kind: Kind,
    /// What is counted, if the name ends in that.
    unit: &'static str,
    help: &'static str,
}

const FORWARD_BYTES: Family = Family {
    name: "portero_forward_bytes",
    kind: Kind::Counter,
    unit: "bytes",
    help: "Bytes that passed through the host by a forward, both ways.",
};
const FORWARD_PACKETS: Family = Family {
    name: "portero_forward_packets",
    kind: Kind::Counter,
    unit: "packets",
    help: "Packets that passed through the host by a forward, both ways.",
};
const FORWARD_CONNECTIONS: Family = Family {
    name: "portero_forward_connections",
    kind: Kind::Counter,
    unit: "connections",
    help: "Connections that a forward has sent to a guest; only iptables counts them.",
};
const FORWARDS: Family = Family {
    name: "portero_forwards",
    kind: Kind::Gauge,
    unit: "",
    help: "Forwards by their state.",
};
const RULE_BYTES: Family = Family {
    name: "portero_policy_rule_bytes",
    kind: Kind::Counter,
    unit: "bytes",
    help: "Bytes of the packets that matched a clause of a policy.",
};
const RULE_PACKETS: Family = Family {
    name: "portero_policy_rule_packets",
    kind: Kind::Counter,
    unit: "packets",
    help: "Packets that matched a clause of a policy.",
};
const POLICIES: Family = Family {
    name: "portero_policies",
    kind: Kind::Gauge,
    unit: "",
    help: "Policies of active networks by their state.",
};
const COMPARISONS: Family = Family {
    name: "portero_watch_comparisons",
    kind: Kind::Counter,
    unit: "comparisons",
    help: "Comparisons of all rules that portero-watch has made since boot.",
};
const RESTORES: Family = Family {
    name: "portero_watch_restores",
    kind: Kind::Counter,
    unit: "restores",
    help: "Comparisons of portero-watch that restored rules which somebody had removed.",
};
const LAST_COMPARISON: Family = Family {
    name: "portero_watch_last_comparison_timestamp_seconds",
    kind: Kind::Gauge,
    unit: "seconds",
    help: "When portero-watch last compared all rules.",
};
const ERRORS: Family = Family {
    name: "portero_watch_errors",
    kind: Kind::Counter,
    unit: "errors",
    help: "Errors of portero-watch since boot by their kind; one that stays counts with each comparison.",
};
const LAST_ERROR: Family = Family {
    name: "portero_watch_last_error_timestamp_seconds",
    kind: Kind::Gauge,
    unit: "seconds",
    help: "When portero-watch last had an error of this kind.",
};

/// What a host has counted.
pub(super) struct Counted<'a> {
    pub(super) owners: &'a [OwnerStatus],
    /// Of each owner's forwards that lead to a guest, in their order.
    pub(super) forwards: &'a [Vec<ForwardCounter>],
    /// Of policies, each with the rules of its network.
    pub(super) policies: &'a [(&'a Ruleset, Counters)],
    /// Nothing if portero-watch has not run.
    pub(super) watched: Option<&'a Watched>,
}

/// Prints the metrics, or writes them to a file.
pub(crate) fn tell_metrics(
    format: MetricsFormat,
    output: Option<&Path>,
    engine: &mut Engine<'_>,
) -> Result<(String, u8), ApplyError> {
    let mut snapshot = Snapshot::take(engine)?;
    let owners = snapshot.owners()?;
    let forwards = snapshot.forward_counters(&owners)?;
    let rulesets = owners.iter().map(|owner| &owner.record.ruleset);
    let rulesets: Vec<&Ruleset> = rulesets.filter(|one| one.policy.is_some()).collect();
    let rules = match rulesets.is_empty() {
        true => Vec::new(),
        false => snapshot.rule_counters(&rulesets)?,
    };
    // Events of libvirt's wait for it.
    drop(snapshot);
    let policies: Vec<(&Ruleset, Counters)> = rulesets.into_iter().zip(rules).collect();
    let text = print(
        &Counted {
            owners: &owners,
            forwards: &forwards,
            policies: &policies,
            watched: engine.state.watched()?.as_ref(),
        },
        format,
    );
    let Some(path) = output else {
        return Ok((text, DONE));
    };
    replace(path, &text)?;
    Ok((String::new(), DONE))
}

/// Writes a file that everybody may read, as a whole or not at all.
fn replace(path: &Path, text: &str) -> Result<(), FileError> {
    // A device or a pipe would be replaced too.
    if let Ok(found) = fs::symlink_metadata(path) {
        files::check_regular(path, &found)?;
    }
    files::write_as(path, text.as_bytes(), &files::Ownership::of_root(0o644))
}

/// Everything that was counted; what was not counted is left out.
pub(super) fn print(counted: &Counted<'_>, format: MetricsFormat) -> String {
    let mut metrics = Metrics::default();
    metrics.add_forwards(counted);
    metrics.add_policies(counted);
    if let Some(watched) = counted.watched {
        metrics.add_watched(watched);
    }
    metrics.print(format)
}

/// Numbers of families, each by its labels.
#[derive(Default)]
struct Metrics(BTreeMap<&'static str, (Family, BTreeMap<String, u64>)>);

impl Metrics {
    /// Adds a number; those of the same labels are one, since Prometheus refuses a second.
    fn add(&mut self, family: Family, labels: &Labels, number: u64) {
        let family = self
            .0
            .entry(family.name)
            .or_insert((family, BTreeMap::new()));
        *family.1.entry(labels.0.clone()).or_default() += number;
    }

    fn add_forwards(&mut self, counted: &Counted<'_>) {
        for state in ForwardState::NAMES {
            self.add(FORWARDS, &Labels::default().with("state", state), 0);
        }
        for forward in counted_forwards(counted.owners, counted.forwards) {
            let row = &forward.row;
            let state = Labels::default().with("state", row.state.name());
            self.add(FORWARDS, &state, 1);
            let claim = &row.claim;
            let (guest, guest_ports) = row.guest.unzip();
            let labels = Labels::of(&row.owner)
                .with("protocol", claim.protocol)
                .with_some("address", claim.address)
                .with_some("dev", claim.dev.as_ref())
                .with_some("source", claim.source)
                .with("ports", claim.ports)
                .with_some("guest", guest)
                .with_some("guest_ports", guest_ports);
            let numbers = [
                (FORWARD_BYTES, forward.bytes),
                (FORWARD_PACKETS, forward.packets),
                (FORWARD_CONNECTIONS, forward.connections),
            ];
            for (family, number) in numbers {
                if let Some(number) = number {
                    self.add(family, &labels, number);
                }
            }
        }
    }

    fn add_policies(&mut self, counted: &Counted<'_>) {
        let has_policy = |owner: &&OwnerStatus| owner.record.ruleset.policy.is_some();
        let (active, missing): (Vec<_>, Vec<_>) = counted
            .owners
            .iter()
            .filter(has_policy)
            .partition(|owner| owner.is_in_firewall);
        for (state, owners) in [("active", active), ("missing", missing)] {
            let state = Labels::default().with("state", state);
            self.add(POLICIES, &state, owners.len() as u64);
        }
        for (ruleset, counters) in counted.policies {
            let rules = ruleset
                .policy
                .iter()
                .flat_map(|policy| policy.rules.values());
            for rule in rules.flatten() {
                let Some(counter) = counters.get(&rule.name) else {
                    continue;
                };
                let labels = Labels::of(&ruleset.owner)
                    .with("clause", rule.name)
                    .with("verdict", rule.verdict);
                self.add(RULE_BYTES, &labels, counter.bytes);
                self.add(RULE_PACKETS, &labels, counter.packets);
            }
        }
    }

    fn add_watched(&mut self, watched: &Watched) {
        let none = Labels::default();
        self.add(COMPARISONS, &none, watched.comparisons);
        self.add(RESTORES, &none, watched.restores);
        if let Some(time) = watched.last_comparison {
            self.add(LAST_COMPARISON, &none, time);
        }
        for (kind, errors) in &watched.errors {
            let kind = Labels::default().with("kind", kind);
            self.add(ERRORS, &kind, errors.count);
            self.add(LAST_ERROR, &kind, errors.last);
        }
    }

    fn print(&self, format: MetricsFormat) -> String {
        let mut text = String::new();
        for (family, numbers) in self.0.values() {
            let (kind, end) = match family.kind {
                Kind::Counter => ("counter", "_total"),
                Kind::Gauge => ("gauge", ""),
            };
            let Family {
                name, unit, help, ..
            } = family;
            let sample = format!("{name}{end}");
            // In OpenMetrics a counter's family has another name than its samples.
            let header = match format {
                MetricsFormat::Prometheus => {
                    format!("# HELP {sample} {help}\n# TYPE {sample} {kind}\n")
                }
                MetricsFormat::Openmetrics => {
                    let unit = match unit.is_empty() {
                        true => String::new(),
                        false => format!("# UNIT {name} {unit}\n"),
                    };
                    format!("# TYPE {name} {kind}\n{unit}# HELP {name} {help}\n")
                }
            };
            text += &header;
            for (labels, number) in numbers {
                let _ = match labels.is_empty() {
                    true => writeln!(text, "{sample} {number}"),
                    false => writeln!(text, "{sample}{{{labels}}} {number}"),
                };
            }
        }
        if format == MetricsFormat::Openmetrics {
            text += "# EOF\n";
        }
        text
    }
}

/// `domain="web",protocol="tcp"`.
#[derive(Default)]
struct Labels(String);

impl Labels {
    fn of(owner: &Owner) -> Self {
        let kind = match owner.kind {
            OwnerKind::Domain => "domain",
            OwnerKind::Network => "network",
        };
        Self::default()
            .with(kind, &owner.name)
            .with_some("driver", owner.driver.map(Driver::name))
    }

    fn with(mut self, name: &str, value: impl Display) -> Self {
        let value = value.to_string();
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        let value = value.replace('\n', "\\n");
        if !self.0.is_empty() {
            self.0.push(',');
        }
        let _ = write!(self.0, "{name}=\"{value}\"");
        self
    }

    fn with_some(self, name: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }
}
