//! What checks look at, and what they find.

use crate::everybody::RULES;
use crate::stopped::{self, Host};
use portero_bridge::{made_bridges, MadeBridge};
use portero_engine::{ApplyError, BanSetState, Engine};
use portero_inventory::{
    foreign_rules_during, ActiveNetwork, Backends, ConfigProblem, Daemon, Denial, DesiredForwards,
    HookLink, HostFacts, ObjectState, OwnerStatus, Snapshot,
};
use portero_inventory::{Avc, KernelLog, Packages, WatchService};
use portero_model::{Family, NftSet, Owner};
use portero_system::{Deadline, Paths};
use portero_trace::{Rules, Settings};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::SystemTime;
use uuid::Uuid;

/// What checks look at.
#[derive(Default)]
pub(super) struct Facts {
    /// Active networks.
    pub(super) networks: Vec<ActiveNetwork>,
    /// Everybody who has rules, or waits for them.
    pub(super) owners: Vec<OwnerStatus>,
    /// The host itself.
    pub(super) host: HostFacts,
    /// The sets that are ban lists of forwards, and how each is followed.
    pub(super) ban_sets: BTreeMap<NftSet, BanSetState>,
    /// What everybody wants.
    pub(super) desired: Vec<DesiredForwards>,
    /// Forwards that are active and that nothing can come of: whose, and why.
    pub(super) vain: Vec<(Owner, String)>,
    /// What is written and cannot be used.
    pub(super) config_problems: Vec<ConfigProblem>,
    /// Guests that have ended and of which something is left.
    pub(super) ended_guests: BTreeSet<Uuid>,
    /// Bridges of which somebody has to decide.
    pub(super) bridges: Vec<MadeBridge>,
    /// Daemons of libvirt's that neither run nor are started when they are asked.
    pub(super) absent_daemons: Vec<&'static str>,
    /// Interfaces whose IPv6 default route goes when the host passes IPv6 packets on.
    pub(super) advertised: Vec<String>,
    /// Whether docker runs.
    pub(super) has_docker: bool,
    /// Which firewall is used by whom.
    pub(super) backends: Backends,
    /// libvirt's daemons.
    pub(super) daemons: Vec<Daemon>,
    /// Our hooks.
    pub(super) hook_links: Vec<HookLink>,
    /// Everybody's rules.
    pub(super) rules: Rules,
    /// What other firewalls are told.
    pub(super) settings: Settings,
    /// Interfaces by which others reach the host.
    pub(super) outer: Vec<String>,
    /// What AppArmor has denied.
    pub(super) denials: Vec<Denial>,
    /// What SELinux has denied.
    pub(super) avcs: Vec<Avc>,
    /// When a hook was put where it is, or given its label, last.
    pub(super) labelled_since: Option<SystemTime>,
    /// Whether SELinux is in force, and nothing of what it denies could be read.
    pub(super) are_avcs_unread: bool,
    /// What installs packages.
    pub(super) packages: Packages,
    /// portero-watch, where systemd is to run it.
    pub(super) watch: Option<WatchService>,
    /// When the administrator has changed AppArmor's profiles of what was denied last, by their files.
    pub(super) profiles_since: BTreeMap<String, SystemTime>,
}

impl Facts {
    pub(super) fn gather(engine: &mut Engine<'_>) -> Result<Self, ApplyError> {
        let paths = Paths::default();
        let mut snapshot = Snapshot::take(engine)?;
        let networks = snapshot.networks();
        let (owners, host) = (snapshot.owners()?, snapshot.host_facts());
        let (desired, backends) = (snapshot.desired_forwards()?, snapshot.backends());
        let config_problems = snapshot.config_problems(&desired)?;
        let ended_guests = snapshot.ended_guests()?;
        drop(snapshot);
        let ban_sets = engine.ban_set_states(Deadline::after(RULES))?;
        let mut vain = Vec::new();
        for one in desired.iter().filter(|one| one.state != ObjectState::Off) {
            let forwards = one.written.as_deref().unwrap_or_default();
            let notices = engine.notices(forwards).into_iter();
            vain.extend(notices.map(|notice| (one.owner.clone(), notice)));
        }
        let outer = stopped::outer(&networks);
        let deadline = Deadline::after(RULES);
        let (rules, log) = foreign_rules_during(&Family::ALL, deadline, || KernelLog::read(&paths));
        let denials = log.denials();
        let local = paths.etc.join("apparmor.d/local");
        let profiles = denials.iter().map(Denial::profile_file);
        let profiles_since = profiles.filter_map(|file| {
            let changed = std::fs::metadata(local.join(&file)).and_then(|file| file.modified());
            Some((file, changed.ok()?))
        });
        let enforce = std::fs::read_to_string("/sys/fs/selinux/enforce");
        let is_enforcing = enforce.is_ok_and(|enforce| enforce.trim() == "1");
        Ok(Self {
            owners,
            ban_sets,
            host,
            desired,
            vain,
            config_problems,
            ended_guests,
            // What cannot be read is told where somebody changes it.
            bridges: made_bridges(&paths).unwrap_or_default(),
            absent_daemons: portero_inventory::absent_daemons(&paths),
            advertised: portero_inventory::advertised_uplinks(),
            has_docker: portero_inventory::runs_docker(),
            backends,
            daemons: portero_inventory::daemons(),
            hook_links: portero_inventory::hook_links(&paths),
            rules,
            settings: portero_inventory::settings(&paths),
            profiles_since: profiles_since.collect(),
            denials,
            avcs: log.avcs(),
            are_avcs_unread: is_enforcing && log.is_incomplete(),
            labelled_since: portero_inventory::changed(Path::new("/usr/bin/portero-network-hook")),
            packages: Packages::of_host(&paths),
            watch: portero_inventory::watch_service(&paths),
            outer,
            networks,
        })
    }

    /// The host with everybody's rules.
    pub(super) fn others(&self) -> Host<'_> {
        Host {
            networks: &self.networks,
            facts: &self.host,
            outer: &self.outer,
            rules: &self.rules,
        }
    }
}

/// What a check finds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// What is wrong, in one line.
    pub(crate) finding: String,
    /// The command that mends it, or what to do.
    pub(crate) mend: String,
}
