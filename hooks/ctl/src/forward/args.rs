//! What can be said to `portero forward`.

use super::everybody::written_ports;
use super::spec::{Excluded, Target, Targets};
use crate::candidates::{candidates, interfaces, objects};
use clap::{Args, Subcommand, ValueEnum};
use clap_complete::ArgValueCandidates;
use ipnet::IpNet;
use portero_libvirt::{InterfaceName, ObjectName};
use portero_model::OwnerKind;
use portero_port_forward::{network, SourceTarget, WrittenSource};
use std::ffi::OsString;
use std::net::IpAddr;

/// Forward ports of the host to a domain, at once, in its configuration or both
///
/// The forwards are in the domain's metadata, as virsh metadata shows and sets it. The flags --live, --config, --current and
/// --persistent mean what they mean in virsh.
#[derive(Debug, Args)]
pub(crate) struct ForwardArgs {
    /// URI of the libvirt to connect to, as of virsh
    #[arg(short = 'c', long = "connect", value_name = "URI", global = true)]
    pub(crate) connect: Option<String>,
    /// What to do
    #[command(subcommand)]
    pub(crate) command: ForwardCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ForwardCommand {
    /// Forward ports to a domain
    Add(AddArgs),
    /// Remove forwards of a domain
    #[command(
        visible_alias = "rm",
        mut_arg("targets", |targets| targets
            .required(false)
            .required_unless_present("all")
            .conflicts_with("all")
            .add(forwarded_ports()))
    )]
    Remove(RemoveArgs),
    /// List the forwards of all domains and networks, also of those that are off; or those in one domain's metadata
    ///
    /// IN: the forward is live, in the configuration for the next start, or both. WRITTEN: the file of /etc/portero, or the
    /// object whose metadata has it. STATE: what it does now, and why it waits. Only root can list all.
    ///
    /// With DOMAIN, portero asks libvirt, and lists the domain's metadata in the form that 'add' takes.
    #[command(visible_alias = "ls")]
    List(ListArgs),
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    #[command(flatten)]
    pub(crate) forward: WhichForward,
    #[command(flatten)]
    pub(crate) affected: Affected,
    /// Ports of a whole address that do not lead to the guest, as 22 or 5000-5010/tcp,udp; may be repeated
    #[arg(long, value_name = "PORTS")]
    pub(crate) exclude: Vec<Excluded>,
    /// Reserve the address of an interface that has no DHCP reservation; default: ask on a terminal, and do not elsewhere
    #[arg(long, value_name = "WHETHER")]
    pub(crate) reserve: Option<Reserve>,
    /// Change nothing: check, and print what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print JSON for programs: whether anything changes, and the forwards before and after
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    #[command(flatten)]
    pub(crate) forward: WhichForward,
    #[command(flatten)]
    pub(crate) affected: Affected,
    /// All forwards that the domain's metadata has
    #[arg(long, conflicts_with_all = ["sources", "dev", "masquerade", "symmetric", "network", "guest"])]
    pub(crate) all: bool,
    /// Take a forward that is not there for removed
    #[arg(long)]
    pub(crate) ignore_missing: bool,
    /// Change nothing: print what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print JSON for programs: whether anything changes, and the forwards before and after
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Name, ID or UUID of the domain; default: all domains and networks
    #[arg(value_name = "DOMAIN", add = objects(OwnerKind::Domain))]
    pub(crate) domain: Option<String>,
    /// Of its configuration
    #[arg(long)]
    pub(crate) config: bool,
    /// Of the running domain
    #[arg(long, conflicts_with = "config")]
    pub(crate) live: bool,
    /// Of the running domain, or of its configuration when it does not run; the default
    #[arg(long, conflicts_with_all = ["config", "live"])]
    pub(crate) current: bool,
    /// Print JSON for programs
    #[arg(long)]
    pub(crate) json: bool,
}

/// A forward of a domain.
#[derive(Debug, Args)]
pub(crate) struct WhichForward {
    /// Name, ID or UUID of the domain
    #[arg(value_name = "DOMAIN", add = objects(OwnerKind::Domain))]
    pub(crate) domain: String,
    /// [ADDRESS:]PORTS[:GUESTPORTS][/PROTOCOLS], as 443, 8080:80, 8000-8010 or 53/tcp,udp; an IPv6 address in brackets.
    /// Default: GUESTPORTS are PORTS, PROTOCOLS is tcp. An IPv4 address alone forwards all of that address. May be repeated
    #[arg(value_name = "FORWARD", required = true)]
    pub(super) targets: Vec<Targets>,
    /// Who may use it: an address or a network, or group:NAME of /etc/portero/groups; with ! before it an exception; may be repeated
    #[arg(long = "source", value_name = "CIDR", value_parser = source)]
    pub(crate) sources: Vec<WrittenSource>,
    /// Interface of the host that packets arrive at
    #[arg(long, value_name = "INTERFACE", add = interfaces())]
    pub(crate) dev: Option<InterfaceName>,
    /// Show the guest the host's address instead of the client's, for a guest whose default route is not this host
    #[arg(long)]
    pub(crate) masquerade: bool,
    /// Send the guest's answers out by the uplink that the connection came in by, on hosts with a routing table for each uplink
    #[arg(long)]
    pub(crate) symmetric: bool,
    /// Virtual network of the domain's interface, if it has several
    #[arg(long, value_name = "NETWORK", add = objects(OwnerKind::Network))]
    pub(crate) network: Option<String>,
    /// The guest's address, if DHCP does not give it
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) guest: Option<IpAddr>,
}

/// The ports that a domain forwards, which is named before on the same line.
fn forwarded_ports() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let domain = domain_of(std::env::args_os());
        candidates(domain.map(|name| written_ports(&name)).unwrap_or_default())
    })
}

/// The word behind `remove` in the line that is completed.
fn domain_of(words: impl Iterator<Item = OsString>) -> Option<ObjectName> {
    let mut words = words.skip_while(|word| word != "remove" && word != "rm");
    words.next()?;
    let name = words.find(|word| !word.to_string_lossy().starts_with('-'))?;
    name.to_str()?.parse().ok()
}

/// `198.51.100.0/24`, `group:office`, `!198.51.100.7`.
fn source(text: &str) -> Result<WrittenSource, String> {
    let (is_negated, whom) = match text.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let target = match whom.strip_prefix("group:") {
        Some(name) => SourceTarget::Group(
            name.parse()
                .map_err(|error: portero_libvirt::NameError| error.to_string())?,
        ),
        None => SourceTarget::Net(network(whom)?),
    };
    Ok(WrittenSource { target, is_negated })
}

impl WhichForward {
    /// The forwards that are named, in their order.
    pub(crate) fn targets(&self) -> impl Iterator<Item = Target> + '_ {
        self.targets
            .iter()
            .flat_map(|targets| targets.0.iter().copied())
    }

    /// The first option that is given and that a whole address does not have.
    pub(crate) fn option_of_ports(&self) -> Option<&'static str> {
        let options = [
            (!self.sources.is_empty(), "--source"),
            (self.dev.is_some(), "--dev"),
            (self.masquerade, "--masquerade"),
            (self.symmetric, "--symmetric"),
        ];
        let mut given = options.iter().filter(|(is_given, _)| *is_given);
        given.next().map(|(_, name)| *name)
    }

    /// The one network that the attribute `source` has, and what stands in elements: a single network is written as ever.
    pub(crate) fn written_sources(&self) -> (Option<IpNet>, &[WrittenSource]) {
        match self.sources.as_slice() {
            [WrittenSource {
                target: SourceTarget::Net(net),
                is_negated: false,
            }] => (Some(*net), &[]),
            others => (None, others),
        }
    }
}

/// Which state of a domain is affected, by virsh's flags.
#[derive(Debug, Args)]
pub(crate) struct Affected {
    /// Affect the next start
    #[arg(long)]
    config: bool,
    /// Affect the running domain
    #[arg(long)]
    live: bool,
    /// Affect the running domain, or its next start when it does not run; the default
    #[arg(long, conflicts_with_all = ["config", "live", "persistent"])]
    current: bool,
    /// Affect the next start, and the running domain if it runs
    #[arg(long)]
    persistent: bool,
}

/// A state of a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AffectedState {
    /// What it has from its next start on.
    Config,
    /// What it has now.
    Live,
}

/// Whether a domain runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activity {
    Running,
    ShutOff,
}

impl Activity {
    /// What `--current` means.
    pub(crate) fn current(self) -> AffectedState {
        match self {
            Self::Running => AffectedState::Live,
            Self::ShutOff => AffectedState::Config,
        }
    }
}

impl Affected {
    /// Whether nobody has said which.
    pub(crate) fn is_default(&self) -> bool {
        !(self.config || self.live || self.current || self.persistent)
    }

    /// The states that are affected, in the order in which they are changed.
    pub(crate) fn targets(&self, activity: Activity) -> Vec<AffectedState> {
        let config = self.config || self.persistent;
        let live = self.live || self.persistent && activity == Activity::Running;
        match (config, live) {
            (false, false) => vec![activity.current()],
            (true, false) => vec![AffectedState::Config],
            (false, true) => vec![AffectedState::Live],
            (true, true) => vec![AffectedState::Config, AffectedState::Live],
        }
    }
}

impl ListArgs {
    /// The state that is listed.
    pub(crate) fn target(&self, activity: Activity) -> AffectedState {
        match (self.config, self.live) {
            (true, _) => AffectedState::Config,
            (_, true) => AffectedState::Live,
            _ => activity.current(),
        }
    }
}

/// Whether to reserve an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Reserve {
    /// Reserve it
    Yes,
    /// Do not
    No,
    /// Ask
    Ask,
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::{domain_of, Activity, Affected, AffectedState};
    use clap::{Args, Command, FromArgMatches};
    use std::ffi::OsString;
    use AffectedState::{Config, Live};

    #[test]
    fn the_domain_is_the_word_behind_remove() {
        let of = |line: &str| {
            let words = line.split(' ').map(OsString::from);
            domain_of(words).map(|name| name.to_string())
        };
        let web = Some("web".to_owned());
        assert_eq!(of("portero -- portero forward remove web 80"), web);
        assert_eq!(of("portero -- portero forward rm --live web"), web);
        assert_eq!(of("portero -- portero forward add web 80"), None);
    }

    fn targets(flags: &[&str], activity: Activity) -> Option<Vec<AffectedState>> {
        let command = Affected::augment_args(Command::new("virsh").no_binary_name(true));
        let matches = command.try_get_matches_from(flags).ok()?;
        let affected = Affected::from_arg_matches(&matches).expect("flags");
        Some(affected.targets(activity))
    }

    /// As virsh(1) has it for attach-device and the like.
    #[test]
    fn flags_mean_what_virsh_means() {
        let cases: [(&[&str], &[AffectedState], &[AffectedState]); 8] = [
            (&[], &[Live], &[Config]),
            (&["--current"], &[Live], &[Config]),
            (&["--live"], &[Live], &[Live]),
            (&["--config"], &[Config], &[Config]),
            (&["--live", "--config"], &[Config, Live], &[Config, Live]),
            (&["--persistent"], &[Config, Live], &[Config]),
            (
                &["--persistent", "--live"],
                &[Config, Live],
                &[Config, Live],
            ),
            (&["--persistent", "--config"], &[Config, Live], &[Config]),
        ];
        for (flags, running, shut_off) in cases {
            assert_eq!(
                targets(flags, Activity::Running).as_deref(),
                Some(running),
                "{flags:?}"
            );
            assert_eq!(
                targets(flags, Activity::ShutOff).as_deref(),
                Some(shut_off),
                "{flags:?}"
            );
        }
        for other in ["--live", "--config", "--persistent"] {
            assert_eq!(targets(&["--current", other], Activity::Running), None);
        }
    }
}
