//! From an event to its effects, in an order that a kill at any point cannot harm.

use crate::check::check_alone;
use crate::config::{Config, DockerSettings};
use crate::engine::{Engine, LibvirtRules};
use crate::error::ApplyError;
use crate::state::{Phase, PortState, Record};
use portero_firewall::{Firewall, Script, Tool};
use portero_host_bridge::Activation;
use portero_libvirt::{
    DaemonOperation, Domain, DomainOperation, Event, InterfaceName, Network, NetworkOperation,
    NetworkPort, Nic,
};
use portero_model::{Family, Origin, Owner, OwnerKind, Pending};
use portero_port_forward::{plan_network, Forward, Plan};
use portero_routed_policy::WrittenPolicy;
use portero_system::{Deadline, Severity};
use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant, SystemTime};

/// How long the start of a network waits for a bridge that portero has made, and how often it looks.
const BRIDGE_AT_BOOT: Duration = Duration::from_secs(10);
const LOOK_FOR_BRIDGE: Duration = Duration::from_millis(50);

/// What a network is after an event of it.
#[derive(Debug, Clone, Copy)]
enum Now<'a> {
    /// Active, as libvirt wrote.
    Active(&'a [u8]),
    /// Not active.
    Gone,
}

impl Engine<'_> {
    /// Does what an event asks for; `stdin` is what libvirt wrote.
    ///
    /// # Errors
    /// [`ApplyError`]; whether that may refuse what the user asked for is the caller's to decide.
    pub fn handle(&mut self, event: &Event, stdin: &[u8]) -> Result<(), ApplyError> {
        self.log.set_cause(event.cause());
        match event {
            Event::Domain { operation, domain } => match operation {
                DomainOperation::Prepare => self.prepare(domain, stdin),
                DomainOperation::Start | DomainOperation::Started => {
                    self.follow_domain_taps(domain)?;
                    self.activate(domain, stdin)
                }
                DomainOperation::Reconnect | DomainOperation::Attach => {
                    if !self.state.was_compared_recently() {
                        self.state.mark_dirty()?;
                    }
                    if let Err(error) = self.follow_domain_taps(domain) {
                        self.log_error(&error);
                    }
                    self.activate(domain, stdin)
                }
                DomainOperation::Stopped | DomainOperation::Release => {
                    let networks = self.networks_of(domain.uuid);
                    let removed = self.remove_domain(domain);
                    let standing = LibvirtRules::Standing;
                    let followed = networks.and_then(|of| self.follow_taps(&of, standing));
                    removed.and(followed)
                }
                DomainOperation::Migrate
                | DomainOperation::Restore
                | DomainOperation::Unknown(_) => Ok(()),
            },
            Event::Network {
                operation,
                network,
                port,
            } => match (operation, port) {
                (NetworkOperation::Start, _) => self.start_network(network, stdin),
                (NetworkOperation::Started, _) => {
                    let changed = self.network_changed(network, Now::Active(stdin));
                    // Its guests are back when the rules are.
                    self.reattach(network);
                    changed
                }
                (NetworkOperation::Updated, _) => self.network_changed(network, Now::Active(stdin)),
                (NetworkOperation::Stopped, _) => self.network_changed(network, Now::Gone),
                (NetworkOperation::PortCreated, Some(port)) => {
                    self.port_created(network, port, stdin)
                }
                (NetworkOperation::PortDeleted, Some(port)) => self.port_deleted(network, port),
                _ => Ok(()),
            },
            Event::Daemon { operation } => match operation {
                DaemonOperation::Start | DaemonOperation::Reload => self.daemon_started(),
                DaemonOperation::Shutdown | DaemonOperation::Unknown(_) => Ok(()),
            },
        }
    }

    /// Compares the firewall with what is wanted and mends what differs.
    ///
    /// # Errors
    /// [`ApplyError`].
    pub fn sync(&mut self) -> Result<(), ApplyError> {
        let (config, deadline) = self.configure()?;
        let _lock = self.state.lock(deadline)?;
        self.refresh()?;
        self.reconcile(&config, Vec::new(), LibvirtRules::Standing, deadline)
    }

    /// Takes everything of portero's out of the firewall, as before portero is removed. Guests and
    /// networks go on; the next event of libvirt, or [`Engine::sync`], brings it back.
    ///
    /// # Errors
    /// [`ApplyError`].
    pub fn withdraw(&mut self) -> Result<(), ApplyError> {
        let (config, deadline) = self.configure_or_default();
        let _lock = self.state.lock(deadline)?;
        self.clear(&config, deadline)
    }

    /// What [`Engine::sync`] would commit.
    ///
    /// # Errors
    /// [`ApplyError`].
    pub fn plan(&mut self) -> Result<Vec<Script>, ApplyError> {
        let (config, deadline) = self.configure()?;
        let _lock = self.state.lock(deadline)?;
        self.refresh()?;
        self.preobserve(deadline);
        let old = self.all_records()?;
        let desired = self.desired(&config, Vec::new(), &old)?;
        self.planned_scripts(&config, config.docker, (&old, &desired), deadline)
    }

    /// What [`Engine::withdraw`] would commit.
    ///
    /// # Errors
    /// [`ApplyError`].
    pub fn plan_withdrawal(&mut self) -> Result<Vec<Script>, ApplyError> {
        let (config, deadline) = self.configure_or_default();
        let _lock = self.state.lock(deadline)?;
        let old = self.all_records()?;
        let nobody = DockerSettings::default();
        self.planned_scripts(&config, nobody, (&old, &[]), deadline)
    }

    /// What a firewall would be given for what these owners had and are to have, and the other one, which is left.
    fn planned_scripts(
        &mut self,
        config: &Config,
        docker: DockerSettings,
        (old, desired): (&[Record], &[Record]),
        deadline: Deadline,
    ) -> Result<Vec<Script>, ApplyError> {
        let choice = self.choose(config, deadline)?;
        let (mut scripts, _) =
            self.scripts_with_antispoof(choice.firewall, old, desired, deadline)?;
        if choice.withdraw {
            let (gone, _) = self.scripts(choice.firewall.other(), old, &[], deadline)?;
            scripts.extend(gone);
        }
        scripts.extend(self.planned_bans(desired, deadline)?);
        scripts.extend(self.docker_scripts(docker, choice.firewall, desired, deadline)?);
        Ok(scripts)
    }

    /// Everything that can be said about a guest before it starts; claims its ports.
    fn prepare(&mut self, domain: &Domain, stdin: &[u8]) -> Result<(), ApplyError> {
        let owner = Owner::from(domain);
        let forwards = self.domain_forwards(domain)?;
        let old = self.state.record(OwnerKind::Domain, domain.uuid)?;
        if forwards.is_empty() {
            return match old {
                Some(_) => self.remove_domain(domain),
                None => Ok(()),
            };
        }
        let (config, deadline) = self.configure()?;
        let _lock = self.state.lock(deadline)?;
        self.check_at_start(&config, &owner, &forwards, deadline)?;
        self.log_notices(&owner, forwards.iter(), None);
        let networks = self.state.networks()?;
        let plan = self.plan_domain(domain, &forwards, &networks, None)?;
        self.check_guests(&forwards)?;
        self.state
            .put_object(OwnerKind::Domain, domain.uuid, stdin)?;
        let mut ruleset = plan.ruleset;
        ruleset.rules = old.map(|old| old.ruleset.rules).unwrap_or_default();
        Ok(self.state.put_record(&Record {
            phase: Phase::Prepared,
            ruleset,
            pending: Vec::new(),
            addresses: Vec::new(),
        })?)
    }

    /// A guest is about to run or runs, so its interfaces are there: antispoof has to know them.
    fn follow_domain_taps(&mut self, domain: &Domain) -> Result<(), ApplyError> {
        let networks = self.networks_of(domain.uuid)?;
        self.follow_taps(&networks, LibvirtRules::Standing)
    }

    /// A guest is about to run or runs: its rules shall be there.
    fn activate(&mut self, domain: &Domain, stdin: &[u8]) -> Result<(), ApplyError> {
        let forwards = self.domain_forwards(domain)?;
        if forwards.is_empty() && !self.state.has_record(OwnerKind::Domain, domain.uuid) {
            return self.mend_if_needed();
        }
        let (config, deadline) = self.configure()?;
        let _lock = self.state.lock(deadline)?;
        let old = self.state.record(OwnerKind::Domain, domain.uuid)?;
        if old.as_ref().is_some_and(|old| old.phase == Phase::Prepared) {
            self.prespawn_iptables(&forwards, deadline)?;
        }
        self.forget_unplugged(domain, SystemTime::now())?;
        let record = self.domain_record(&config, domain, &forwards, old.as_ref())?;
        self.state
            .put_object(OwnerKind::Domain, domain.uuid, stdin)?;
        self.apply_after(&config, old, record, LibvirtRules::Standing, deadline)
    }

    /// Forwards are about to come: where they are iptables' rules, its program can start meanwhile.
    fn prespawn_iptables(
        &mut self,
        forwards: &[Forward],
        deadline: Deadline,
    ) -> Result<(), ApplyError> {
        let base = self.state.base()?.filter(|_| self.state.is_clean());
        let is_iptables = base.is_some_and(|base| base.firewall == Firewall::Iptables);
        if is_iptables && forwards.iter().any(|one| one.takes(Family::Ipv4)) {
            let tool = Tool::Restore(Family::Ipv4);
            self.system.prespawn(tool, deadline);
        }
        Ok(())
    }

    /// What a running domain is to be given, checked against everything.
    pub(crate) fn domain_record(
        &mut self,
        config: &Config,
        domain: &Domain,
        forwards: &[Forward],
        old: Option<&Record>,
    ) -> Result<Record, ApplyError> {
        let owner = Owner::from(domain);
        self.check(config, &owner, forwards, old)?;
        self.log_notices(&owner, forwards.iter(), old);
        let networks = self.state.networks()?;
        let plan = self.plan_domain(domain, forwards, &networks, old)?;
        self.record_of(plan, old)
    }

    /// A guest has ended, or never came to run: nothing of it shall stay.
    fn remove_domain(&mut self, domain: &Domain) -> Result<(), ApplyError> {
        self.state.remove_ports(domain.uuid)?;
        let known = self.state.has_object(OwnerKind::Domain, domain.uuid);
        if !known && !self.state.has_record(OwnerKind::Domain, domain.uuid) {
            return self.mend_if_needed();
        }
        let (config, deadline) = self.configure_or_default();
        let _lock = self.state.lock(deadline)?;
        self.state.remove_object(OwnerKind::Domain, domain.uuid)?;
        let owner = Owner::from(domain);
        let old = self.state.record(OwnerKind::Domain, domain.uuid)?;
        let standing = LibvirtRules::Standing;
        self.replace(&config, &owner, (old, None), standing, deadline)
    }

    /// Refuses the start of a network whose bridge on the host is not there.
    fn check_host_bridge(&mut self, network: &Network) -> Result<(), ApplyError> {
        let Some((wanted, origin)) = self.host_bridge(network)? else {
            return Ok(());
        };
        let refused = |source| Err(ApplyError::HostBridge { origin, source });
        let bridge = match wanted.bridge_of(network) {
            Ok(bridge) => bridge,
            Err(problem) => return refused(problem),
        };
        if self.has_bridge_soon(bridge) {
            return Ok(());
        }
        match wanted.activation {
            Activation::ByHand => refused(wanted.missing(bridge)),
            Activation::AtStart => Ok(self.system.make_bridge(bridge, &wanted)?),
        }
    }

    /// Whether a bridge of the host is there. One that portero has made is waited for: at a boot libvirt may start its networks
    /// before the program is done that brings the host's up.
    fn has_bridge_soon(&mut self, bridge: &InterfaceName) -> bool {
        let record = self.paths.bridge_record(bridge);
        let end = Instant::now() + BRIDGE_AT_BOOT;
        loop {
            if self.system.has_bridge(bridge) {
                return true;
            }
            if !record.exists() || Instant::now() > end {
                return false;
            }
            std::thread::sleep(LOOK_FOR_BRIDGE);
        }
    }

    /// Refuses the start of a network whose forwards or policy are wrong or cannot be had. A policy is
    /// in force before the network's bridge is there, so that no packet can come before it.
    fn start_network(&mut self, network: &Network, stdin: &[u8]) -> Result<(), ApplyError> {
        self.check_host_bridge(network)?;
        let forwards = self.network_forwards(network)?;
        let written = self.written_policy(network)?;
        let has_policy = written.is_some();
        let others_have = self.state.base()?.is_some_and(|base| base.policies);
        if forwards.is_empty() && !has_policy && !others_have {
            return Ok(());
        }
        let (config, deadline) = self.configure()?;
        let _lock = self.state.lock(deadline)?;
        let owner = Owner::from(network);
        self.check(&config, &owner, &forwards, None)?;
        plan_network(owner, &forwards, network)?;
        self.check_guests(&forwards)?;
        if !has_policy && !others_have {
            return Ok(());
        }
        self.state
            .put_object(OwnerKind::Network, network.uuid, stdin)?;
        let applied = self.apply_at_start(&config, network, &forwards, written, deadline);
        if applied.is_err() {
            self.state.remove_object(OwnerKind::Network, network.uuid)?;
        }
        applied
    }

    fn apply_at_start(
        &mut self,
        config: &Config,
        network: &Network,
        forwards: &[Forward],
        written: Option<(WrittenPolicy, Origin)>,
        deadline: Deadline,
    ) -> Result<(), ApplyError> {
        let networks = self.state.networks_with(network)?;
        let record = self.network_record(network, forwards, written, &networks, None)?;
        if let Some(policy) = &record.ruleset.policy {
            self.system.check_neighbors(&policy.neighbors, deadline)?;
        }
        if self.concerns_others(network, &networks)? {
            let known = (!record.ruleset.is_empty()).then_some(record);
            let known = known.into_iter().collect();
            return self.reconcile(config, known, LibvirtRules::Coming, deadline);
        }
        self.apply(config, record, LibvirtRules::Coming, deadline)
    }

    /// Whether the policy of another network becomes another one with this network, whose name its rules may have, or has
    /// outlived its network.
    fn concerns_others(&self, network: &Network, networks: &[Network]) -> Result<bool, ApplyError> {
        let mut recorded = self.state.recorded_networks()?;
        recorded.remove(&network.uuid);
        for uuid in recorded {
            let record = self.state.record(OwnerKind::Network, uuid)?;
            let Some(policy) = record.and_then(|record| record.ruleset.policy) else {
                continue;
            };
            let other = networks.iter().find(|other| other.uuid == uuid);
            match other.map(|other| self.compiled_policy(other, networks)) {
                Some(Ok(Some(now))) if now.compiled.policy == policy => {}
                // Whatever is wrong with it is told by the comparison.
                Some(Ok(_) | Err(_)) | None => return Ok(true),
            }
        }
        Ok(false)
    }

    /// A network came, changed or went: its own rules and those of guests on it follow.
    fn network_changed(&mut self, network: &Network, now: Now<'_>) -> Result<(), ApplyError> {
        let (config, deadline) = self.configure_or_default();
        // Not while a comparison may still write what libvirt's file said before.
        let lock = self.state.lock(deadline);
        // Whoever is killed from here on leaves rules of a network that is not so any more.
        self.state.mark_dirty()?;
        match now {
            Now::Active(stdin) => {
                self.state
                    .put_object(OwnerKind::Network, network.uuid, stdin)?;
            }
            Now::Gone => self.state.remove_object(OwnerKind::Network, network.uuid)?,
        }
        let _lock = lock?;
        let is_unconcerned = match (self.network_forwards(network), self.written_policy(network)) {
            (Ok(forwards), Ok(policy)) => forwards.is_empty() && policy.is_none(),
            _ => false,
        };
        let is_alone = !self.state.has_records() && !self.state.has_domains();
        if is_unconcerned && is_alone && !config.docker.guests {
            // libvirt may have made the tables that forwards are accepted in.
            return Ok(());
        }
        self.reconcile(&config, Vec::new(), LibvirtRules::Standing, deadline)
    }

    /// A guest's interface joins a network, at its start or while it runs.
    fn port_created(
        &mut self,
        network: &Network,
        port: &NetworkPort,
        stdin: &[u8],
    ) -> Result<(), ApplyError> {
        self.state
            .put_object(OwnerKind::Network, network.uuid, stdin)?;
        self.state
            .put_port(network.uuid, port, PortState::Attached)?;
        let forwards = self.network_forwards(network)?;
        let known = self
            .state
            .record(OwnerKind::Network, network.uuid)?
            .is_some();
        let written = self.written_policy(network)?;
        if (written.is_some() || !forwards.is_empty()) && !known {
            let (config, deadline) = self.configure()?;
            let _lock = self.state.lock(deadline)?;
            let owner = Owner::from(network);
            self.check(&config, &owner, &forwards, None)?;
            let networks = self.state.networks()?;
            let record = self.network_record(network, &forwards, written, &networks, None)?;
            self.apply(&config, record, LibvirtRules::Coming, deadline)?;
        }
        self.replan_running_domain(port)
    }

    fn port_deleted(&mut self, network: &Network, port: &NetworkPort) -> Result<(), ApplyError> {
        let replanned = if self.is_running(port)? {
            // Whoever is killed from here on leaves rules of an interface that is not there any more.
            self.state.mark_dirty()?;
            self.state
                .put_port(network.uuid, port, PortState::Detached)?;
            self.replan_running_domain(port)
        } else {
            self.state.remove_port(port).map_err(ApplyError::from)
        };
        let followed = self.follow_taps(&BTreeSet::from([network.uuid]), LibvirtRules::Coming);
        replanned.and(followed)
    }

    /// Whether the owner of a port is a running guest with forwards.
    fn is_running(&self, port: &NetworkPort) -> Result<bool, ApplyError> {
        let record = self.state.record(OwnerKind::Domain, port.owner)?;
        Ok(record.is_some_and(|record| record.phase == Phase::Active))
    }

    /// An interface was plugged into or out of a running guest.
    fn replan_running_domain(&mut self, port: &NetworkPort) -> Result<(), ApplyError> {
        if !self.is_running(port)? {
            return Ok(());
        }
        let (config, deadline) = self.configure_or_default();
        let _lock = self.state.lock(deadline)?;
        let Some(domain) = self.state.domain(port.owner)? else {
            return Ok(());
        };
        let forwards = self.domain_forwards(&domain)?;
        check_alone(&config, &forwards)?;
        let networks = self.state.networks()?;
        let old = self.state.record(OwnerKind::Domain, port.owner)?;
        let plan = self.plan_domain(&domain, &forwards, &networks, old.as_ref())?;
        let record = self.record_of(plan, old.as_ref())?;
        // A starting daemon tells of every port again before it inserts its rules, and of every
        // guest after: what has not changed is left for then.
        if old.as_ref() == Some(&record) {
            return Ok(());
        }
        self.apply_after(&config, old, record, LibvirtRules::Coming, deadline)
    }

    /// The daemon starts or reloads: what is missing comes back, and [`Self::daemon_is_ready`] or the first guest it finds
    /// running checks once more, since libvirt inserts its own rules in between.
    fn daemon_started(&mut self) -> Result<(), ApplyError> {
        if !self.state.has_records() && !self.state.has_domains() {
            // libvirt may use another firewall from now on.
            return Ok(self.state.mark_dirty()?);
        }
        let (config, deadline) = self.configure_or_default();
        let _lock = self.state.lock(deadline)?;
        // Whatever fails from here on, the next event compares.
        self.state.mark_dirty()?;
        self.reconcile(&config, Vec::new(), LibvirtRules::Coming, deadline)
    }

    /// A daemon that has started or reloaded has put its own rules in: ours have to stand where they decide.
    ///
    /// # Errors
    /// [`ApplyError`].
    pub fn daemon_is_ready(&mut self) -> Result<(), ApplyError> {
        self.log.set_cause("libvirt started");
        let (config, deadline) = self.configure_or_default();
        let _lock = self.state.lock(deadline)?;
        if !self.state.has_records() && !self.state.has_domains() {
            return Ok(());
        }
        self.reconcile(&config, Vec::new(), LibvirtRules::Standing, deadline)
    }

    /// An event of a guest that has no forwards still mends the others' after a kill or a restart.
    fn mend_if_needed(&mut self) -> Result<(), ApplyError> {
        if self.state.is_clean() || !self.state.has_records() {
            return Ok(());
        }
        let (config, deadline) = self.configure_or_default();
        let _lock = self.state.lock(deadline)?;
        if self.state.is_clean() {
            return Ok(());
        }
        let mended = self.reconcile(&config, Vec::new(), LibvirtRules::Standing, deadline);
        // Somebody else's trouble must not refuse this guest.
        if let Err(error) = mended {
            self.log_error(&error);
        }
        Ok(())
    }

    /// An active owner's record; what has to wait is logged when it is news.
    pub(crate) fn record_of(
        &mut self,
        mut plan: Plan,
        old: Option<&Record>,
    ) -> Result<Record, ApplyError> {
        let symmetric = self.symmetric_rules(&plan.symmetric)?;
        plan.ruleset.rules.extend(symmetric);
        let known: HashSet<&Pending> = old.iter().flat_map(|old| &old.pending).collect();
        let news = plan.pending.iter().filter(|one| !known.contains(one));
        let verb = format!("{}:", plan.ruleset.owner);
        self.log_each(Severity::Warning, &verb, news);
        self.log.step("owner planned");
        Ok(Record {
            phase: Phase::Active,
            ruleset: plan.ruleset,
            pending: plan.pending,
            addresses: plan.addresses,
        })
    }

    /// Puts taps back into the bridge of a network that was stopped and started under its guests.
    fn reattach(&mut self, network: &Network) {
        let Some(bridge) = &network.bridge else {
            return;
        };
        let guests = match self.nics_on(network.uuid) {
            Ok(guests) => guests,
            Err(error) => return self.log.write(Severity::Error, error),
        };
        let (guests, left): (Vec<Nic>, Vec<Nic>) = guests
            .into_iter()
            .partition(|nic| !nic.settings.has_vlan && !nic.settings.has_own_mac_table);
        for nic in left {
            let what = match nic.settings.has_vlan {
                true => "VLANs",
                false => "entries of libvirt's in the bridge's table of MAC addresses",
            };
            let message = format!(
                "network '{}': interface {} is not put back into {bridge}: it had {what}, which went with the bridge; \
                 detach it and attach it again, or start its guest again",
                network.name, nic.mac
            );
            self.log.write(Severity::Warning, message);
        }
        if guests.is_empty() {
            return;
        }
        match self.system.reattach(bridge, &guests) {
            Ok(taps) => {
                for tap in taps {
                    let message = format!("network '{}': {tap} is back in {bridge}", network.name);
                    self.log.write(Severity::Info, message);
                }
            }
            Err(error) => self.log.write(Severity::Error, error),
        }
    }
}
