//! What domains and networks want forwarded, those that do not run included, and why they cannot
//! have it. For `portero explain`.

use crate::Snapshot;
use portero_engine::{libvirt_firewall, ApplyError};
use portero_firewall::Firewall;
use portero_libvirt::{Domain, Driver, Network};
use portero_model::{Family, Owner};
use portero_port_forward::{Forward, Missing};
use portero_system::files;
use portero_xml::Element;
use std::collections::HashSet;
use std::net::IpAddr;

/// Whether an object is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectState {
    /// It runs.
    Running,
    /// It is there and does nothing (`virsh suspend`).
    Paused,
    /// It is shut off, or a network that is not active.
    Off,
}

/// A domain or a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// A domain.
    Domain(Domain),
    /// A network.
    Network(Network),
}

/// What an object wants forwarded.
#[derive(Debug)]
pub struct DesiredForwards {
    /// Who.
    pub owner: Owner,
    /// Whether it is active.
    pub state: ObjectState,
    /// What is written for it now, in its metadata and its file.
    pub written: Result<Vec<Forward>, ApplyError>,
    /// What will be written from its next start on, where that is more.
    pub from_next_start: Vec<Forward>,
    /// What of `written` it has no more from its next start on: of what runs, what is in no configuration.
    pub ends_with_it: Vec<Forward>,
    /// What is wrong with what is written from its next start on, where that is not the same as now.
    pub wrong_from_next_start: Option<ApplyError>,
    /// Whether a hook has told portero of its interfaces since it started.
    pub was_told: bool,
    /// The object.
    pub object: Object,
}

/// Which firewall is used by whom.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backends {
    /// What portero.toml says, if not `auto`.
    pub configured: Option<Firewall>,
    /// What network.conf tells libvirt, if anything.
    pub told: Option<Firewall>,
    /// Where libvirt has its rules; nothing when it has none.
    pub libvirt: Option<Firewall>,
}

impl Snapshot<'_, '_> {
    /// What every domain and network wants forwarded, those that want nothing included.
    ///
    /// # Errors
    /// [`ApplyError`] when libvirt's folders cannot be read.
    pub fn desired_forwards(&mut self) -> Result<Vec<DesiredForwards>, ApplyError> {
        let mut desired = self.desired_by_domains()?;
        desired.extend(self.desired_by_networks()?);
        Ok(desired)
    }

    /// Why an object cannot have what it wants; nothing when it can.
    pub fn refusal(&mut self, desired: &DesiredForwards) -> Option<ApplyError> {
        // A hook refuses everything while portero.toml is wrong.
        if let Err(error) = self.engine.configure() {
            return Some(error);
        }
        let (engine, config) = (&mut self.engine, &self.config);
        match &desired.object {
            Object::Domain(domain) => engine.domain_conflict(config, domain).unwrap_or_else(Some),
            Object::Network(network) => engine.check_network(config, network).err(),
        }
    }

    /// Where a forward of somebody's would lead now, in a family or in any, or what is missing; nothing when it cannot be
    /// found out. A network's forwards name their guest.
    #[must_use]
    pub fn find_guest(
        &self,
        desired: &DesiredForwards,
        forward: &Forward,
        family: Option<Family>,
    ) -> Option<Result<Vec<IpAddr>, Missing>> {
        match &desired.object {
            Object::Domain(domain) => self.engine.find_guest(domain, forward, family).ok(),
            Object::Network(_) => None,
        }
    }

    /// Which firewall is used by whom.
    #[must_use]
    pub fn backends(&self) -> Backends {
        Backends {
            configured: self.config.firewall.named(),
            told: libvirt_firewall(&self.engine.paths),
            libvirt: self.choice.libvirt,
        }
    }

    fn desired_by_domains(&mut self) -> Result<Vec<DesiredForwards>, ApplyError> {
        let ports = self.engine.state.all_ports()?;
        let told: HashSet<_> = ports.iter().map(|port| port.owner).collect();
        let mut all: Vec<DesiredForwards> = Vec::new();
        for driver in Driver::ALL {
            for running in self.engine.running_domains(driver)? {
                let state = if running.is_paused {
                    ObjectState::Paused
                } else {
                    ObjectState::Running
                };
                let was_told = told.contains(&running.domain.uuid);
                all.push(self.desired(Object::Domain(running.domain), state, was_told));
            }
            let defined = self.engine.paths.defined_domains(driver);
            for name in files::names(&defined, ".xml")? {
                let file = files::read(&defined.join(name))?;
                if let Some(domain) = file.and_then(|file| Domain::read(&file)) {
                    let defined = self.desired(Object::Domain(domain), ObjectState::Off, false);
                    add(&mut all, defined);
                }
            }
        }
        Ok(all)
    }

    fn desired(&self, object: Object, state: ObjectState, was_told: bool) -> DesiredForwards {
        let (owner, written) = match &object {
            Object::Domain(domain) => (domain.into(), self.engine.domain_forwards(domain)),
            Object::Network(network) => (network.into(), self.engine.network_forwards(network)),
        };
        let ends_with_it = match (&written, state) {
            (Ok(written), ObjectState::Running | ObjectState::Paused) => written.clone(),
            _ => Vec::new(),
        };
        DesiredForwards {
            owner,
            state,
            written,
            from_next_start: Vec::new(),
            ends_with_it,
            wrong_from_next_start: None,
            was_told,
            object,
        }
    }

    fn desired_by_networks(&self) -> Result<Vec<DesiredForwards>, ApplyError> {
        let defined = self.engine.paths.libvirt.join("qemu/networks");
        let active = self.networks.iter().cloned().map(Object::Network);
        let active = active.map(|network| self.desired(network, ObjectState::Running, true));
        let mut all: Vec<DesiredForwards> = active.collect();
        for name in files::names(&defined, ".xml")? {
            let file = files::read(&defined.join(name))?;
            let root = file.and_then(|file| Element::parse(&file).ok());
            let network = root.and_then(|root| Network::from_definition(&root).ok());
            if let Some(network) = network {
                let defined = self.desired(Object::Network(network), ObjectState::Off, true);
                add(&mut all, defined);
            }
        }
        Ok(all)
    }
}

/// Adds what is defined to what is active.
fn add(all: &mut Vec<DesiredForwards>, defined: DesiredForwards) {
    let mut active = all.iter_mut();
    let Some(active) = active.find(|one| one.owner.uuid == defined.owner.uuid) else {
        return all.push(defined);
    };
    // What the configuration asks for and the running object does not.
    let now = active.written.as_deref().unwrap_or_default();
    let is_news = |error: &ApplyError| {
        let known = active.written.as_ref().err();
        known.is_none_or(|known| known.to_string() != error.to_string())
    };
    let (mut later, wrong) = match defined.written {
        Ok(later) => (later, None),
        Err(error) => (Vec::new(), Some(error).filter(is_news)),
    };
    if wrong.is_none() {
        active
            .ends_with_it
            .retain(|forward| !later.iter().any(|known| same(known, forward)));
    }
    later.retain(|forward| !now.iter().any(|known| same(known, forward)));
    active.from_next_start = later;
    active.wrong_from_next_start = wrong;
}

/// Whether two forwards ask for the same, wherever they are written.
fn same(one: &Forward, other: &Forward) -> bool {
    let here = |forward: &Forward| Forward {
        line: 0,
        ..forward.clone()
    };
    here(one) == here(other)
}
