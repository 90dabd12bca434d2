//! Takes over what libvirt keeps of active domains and networks in its own state: it has the metadata
//! that was changed while they run, of which no hook is told.

use crate::engine::{Engine, LibvirtRules};
use crate::state::{OutdatedPort, PortState, RecordedPort};
use crate::{ApplyError, Phase, Record};
use portero_libvirt::{Domain, Driver, MacAddress, ObjectName, Status};
use portero_model::{Owner, OwnerKind};
use portero_system::{active_networks, files, FileError};
use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use uuid::Uuid;

/// A domain as libvirt has saved it while it runs.
pub struct Running {
    /// The domain.
    pub domain: Domain,
    /// Whether it is paused (`virsh suspend`).
    pub is_paused: bool,
    /// Its element.
    xml: Vec<u8>,
    /// When that was saved.
    saved: SystemTime,
}

/// The domains that run, of the drivers that tell.
#[derive(Default)]
struct ActiveDomains {
    running: Vec<Running>,
    told: Vec<Driver>,
}

impl ActiveDomains {
    fn has(&self, uuid: Uuid) -> bool {
        self.running.iter().any(|one| one.domain.uuid == uuid)
    }
}

impl Engine<'_> {
    /// Gives a running domain what it asks for now, if libvirt may have saved that it asks for something else.
    ///
    /// # Errors
    /// As [`Engine::reconcile_domain`].
    pub fn follow_domain(&mut self, driver: Driver, name: &ObjectName) -> Result<(), ApplyError> {
        // libvirt saves a domain for many reasons: none but that is worth the lock.
        match self.running_domain(&self.status_path(driver, name))? {
            Some(Running { domain, saved, .. })
                if !self.is_known(&domain)? || !self.unplugged(&domain, saved)?.is_empty() =>
            {
                self.reconcile_domain(driver, name).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Gives a running domain what it asks for now; gives what it has then.
    ///
    /// # Errors
    /// [`ApplyError::Keeps`] when it cannot have what it asks for; others when it cannot be given.
    pub fn reconcile_domain(
        &mut self,
        driver: Driver,
        name: &ObjectName,
    ) -> Result<Option<Record>, ApplyError> {
        let (config, deadline) = self.configure()?;
        let _lock = self.state.lock(deadline)?;
        // One that is gone by now was told to the hook, which waits for the lock or had it.
        let Some(running) = self.running_domain(&self.status_path(driver, name))? else {
            return Ok(None);
        };
        let domain = &running.domain;
        let is_unplugged = self.forget_unplugged(domain, running.saved)?;
        let old = self.state.record(OwnerKind::Domain, domain.uuid)?;
        if self.is_known(domain)? && !is_unplugged {
            return Ok(old);
        }
        self.refresh_networks()?;
        self.take_over(&running)?;
        let record = self
            .domain_forwards(domain)
            .and_then(|forwards| self.domain_record(&config, domain, &forwards, old.as_ref()))
            .map_err(|source| keeps(domain, source))?;
        self.apply(&config, record, LibvirtRules::Standing, deadline)?;
        Ok(self.state.record(OwnerKind::Domain, domain.uuid)?)
    }

    fn status_path(&self, driver: Driver, name: &ObjectName) -> PathBuf {
        self.paths
            .running_domains(driver)
            .join(format!("{name}.xml"))
    }

    /// Takes over what libvirt says of all active domains and networks.
    pub(crate) fn refresh(&mut self) -> Result<(), ApplyError> {
        self.refresh_networks()?;
        self.refresh_domains()
    }

    /// Takes over what libvirt says of all active networks.
    ///
    /// # Errors
    /// [`ApplyError`] when files cannot be read or written.
    pub fn refresh_networks(&self) -> Result<(), ApplyError> {
        if !self.paths.libvirt_networks.is_dir() {
            return Ok(());
        }
        let mut active = HashSet::new();
        for (network, xml) in active_networks(&self.paths)? {
            self.state
                .put_object(OwnerKind::Network, network.uuid, &xml)?;
            active.insert(network.uuid);
        }
        let is_active = |uuid: Uuid| active.contains(&uuid);
        Ok(self.state.forget_others(OwnerKind::Network, is_active)?)
    }

    fn refresh_domains(&mut self) -> Result<(), ApplyError> {
        let active = self.active_domains()?;
        for running in &active.running {
            self.forget_unplugged(&running.domain, running.saved)?;
            if !self.is_known(&running.domain)? {
                self.take_over(running)?;
            }
        }
        let is_active = |uuid: Uuid| self.may_be_active(&active, uuid);
        self.state.forget_others(OwnerKind::Domain, is_active)?;
        for owner in self.left_ports(&active)? {
            // What antispoof knows of them goes with them.
            self.state.mark_dirty()?;
            self.state.remove_ports(owner)?;
        }
        Ok(())
    }

    fn active_domains(&mut self) -> Result<ActiveDomains, ApplyError> {
        let mut active = ActiveDomains::default();
        for driver in Driver::ALL {
            if self.paths.running_domains(driver).is_dir() {
                active.told.push(driver);
            }
            active.running.extend(self.running_domains(driver)?);
        }
        Ok(active)
    }

    /// Whether a domain whose XML is kept runs. A driver that keeps nothing here says nothing of its domains.
    fn may_be_active(&self, active: &ActiveDomains, uuid: Uuid) -> bool {
        let is_told = |domain: Domain| active.told.contains(&domain.driver);
        active.has(uuid)
            || !(self.state.domain(uuid)).is_ok_and(|domain| domain.is_none_or(is_told))
    }

    /// Guests that have ended and of which something is left, since no hook was told: [`Engine::sync`] clears it.
    ///
    /// # Errors
    /// [`ApplyError`] when files cannot be read.
    pub fn ended_guests(&mut self) -> Result<BTreeSet<Uuid>, ApplyError> {
        let active = self.active_domains()?;
        let is_active = |uuid: Uuid| self.may_be_active(&active, uuid);
        let mut ended: BTreeSet<Uuid> = self
            .state
            .others(OwnerKind::Domain, is_active)?
            .into_iter()
            .collect();
        ended.extend(self.left_ports(&active)?);
        Ok(ended)
    }

    /// Guests of which libvirt has kept that they run, and whose process is not there any more: nobody has told the hook since.
    pub(crate) fn dead_guests(&mut self) -> Result<Vec<Uuid>, ApplyError> {
        let mut dead = Vec::new();
        for record in self.all_records()? {
            let owner = &record.ruleset.owner;
            if owner.kind != OwnerKind::Domain || record.phase != Phase::Active {
                continue;
            }
            let driver = owner.driver.unwrap_or(Driver::Qemu);
            let folder = self.paths.running_domains(driver);
            let Some(file) = files::read(&folder.join(format!("{}.xml", owner.name)))? else {
                continue;
            };
            let status = Status::read(&file, OwnerKind::Domain.name());
            let is_dead = status.is_some_and(|status| {
                let domain = Domain::read(status.object.as_bytes());
                domain.is_some_and(|domain| domain.uuid == owner.uuid)
                    && status
                        .process
                        .is_some_and(|process| !self.system.has_process(process))
            });
            if is_dead {
                dead.push(owner.uuid);
            }
        }
        Ok(dead)
    }

    /// Domains of which libvirt has no interface any more that is recorded, unless they may be just starting.
    fn left_ports(&self, active: &ActiveDomains) -> Result<Vec<Uuid>, ApplyError> {
        let mut left = Vec::new();
        for owner in self.state.port_owners()? {
            if active.has(owner) || !self.state.are_ports_old(owner) {
                continue;
            }
            let ports = self.state.ports(owner)?;
            if ports.iter().all(|port| self.is_port_gone(port)) {
                left.push(owner);
            }
        }
        Ok(left)
    }

    /// Whether libvirt has an interface no more, by what it keeps of the ports of active networks
    /// (`virNetworkObjGetPortStatusDir` in src/conf/virnetworkobj.c). Where it keeps nothing, as of a network that is
    /// not active under its guests, nothing is known.
    #[must_use]
    pub fn is_port_gone(&self, port: &RecordedPort) -> bool {
        let network = self.state.network(port.network).ok().flatten();
        network.is_some_and(|network| {
            let folder = self.paths.libvirt_networks.join(network.name.as_str());
            let ports = folder.join("ports");
            ports.is_dir() && !ports.join(format!("{}.xml", port.uuid)).exists()
        })
    }

    /// The running domains of a driver, in the order of their names; none where it keeps none.
    ///
    /// # Errors
    /// [`ApplyError`] when files cannot be read.
    pub fn running_domains(&mut self, driver: Driver) -> Result<Vec<Running>, ApplyError> {
        let folder = self.paths.running_domains(driver);
        let mut domains = Vec::new();
        for name in files::names(&folder, ".xml")? {
            domains.extend(self.running_domain(&folder.join(name))?);
        }
        Ok(domains)
    }

    /// The domain in a status file of libvirt's; nothing when its process does not run. libvirt tells
    /// the hook `stopped` first and removes the file then.
    ///
    /// # Errors
    /// [`ApplyError`] when the file cannot be read.
    pub(crate) fn running_domain(&mut self, path: &Path) -> Result<Option<Running>, ApplyError> {
        let Some((file, saved)) = files::read_dated(path)? else {
            return Ok(None);
        };
        let running = Status::read(&file, OwnerKind::Domain.name()).filter(|status| {
            let process = status.process;
            process.is_some_and(|process| self.system.has_process(process))
        });
        Ok(running.and_then(|status| {
            let xml = status.object.as_bytes();
            Some(Running {
                domain: Domain::read(xml)?,
                is_paused: status.is_paused,
                xml: xml.to_owned(),
                saved,
            })
        }))
    }

    /// What is recorded of interfaces that libvirt had taken from a running guest by the time of which
    /// this is known of it, without a hook that lived to note it.
    fn unplugged(
        &self,
        domain: &Domain,
        known: SystemTime,
    ) -> Result<Vec<OutdatedPort>, FileError> {
        let has: HashSet<MacAddress> = domain.nics.iter().map(|nic| nic.mac).collect();
        self.state.outdated_ports(domain.uuid, &has, known)
    }

    /// Forgets that; says whether there was any.
    pub(crate) fn forget_unplugged(
        &self,
        domain: &Domain,
        known: SystemTime,
    ) -> Result<bool, FileError> {
        let unplugged = self.unplugged(domain, known)?;
        if unplugged
            .iter()
            .any(|port| port.state == PortState::Attached)
        {
            // Nothing else would say that its rules are to go.
            self.state.mark_dirty()?;
        }
        for port in &unplugged {
            files::remove(&port.path)?;
        }
        Ok(!unplugged.is_empty())
    }

    /// Whether a running domain asks for nothing else than it did before. One that is just starting
    /// is the hooks'.
    fn is_known(&self, domain: &Domain) -> Result<bool, ApplyError> {
        if self.state.phase(OwnerKind::Domain, domain.uuid)? == Some(Phase::Prepared) {
            return Ok(true);
        }
        Ok(match self.state.domain(domain.uuid)? {
            Some(known) => {
                known.metadata() == domain.metadata() && interfaces(&known).eq(interfaces(domain))
            }
            None => !self.asks_for_anything(domain),
        })
    }

    fn asks_for_anything(&self, domain: &Domain) -> bool {
        // What is wrong is said when it is planned.
        self.domain_elements(domain)
            .map_or(true, |elements| !elements.is_empty())
    }

    /// Keeps what a running domain asks for; of one that asks for nothing, nothing is kept.
    fn take_over(&self, running: &Running) -> Result<(), FileError> {
        let Running { domain, xml, .. } = running;
        if self.asks_for_anything(domain) {
            self.state.put_object(OwnerKind::Domain, domain.uuid, xml)
        } else {
            self.state.remove_object(OwnerKind::Domain, domain.uuid)
        }
    }
}

/// What of a domain's interfaces says where its forwards lead.
fn interfaces(domain: &Domain) -> impl Iterator<Item = (MacAddress, Option<&str>)> {
    domain
        .nics
        .iter()
        .map(|nic| (nic.mac, nic.network.as_deref()))
}

fn keeps(domain: &Domain, source: ApplyError) -> ApplyError {
    ApplyError::Keeps {
        owner: Owner::from(domain),
        source: Box::new(source),
    }
}
