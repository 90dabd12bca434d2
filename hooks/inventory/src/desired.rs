//! What domains and networks want forwarded, those that do not run included, and why they cannot
//! have it. For `portero explain`.

use crate::Snapshot;
use portero_engine::{libvirt_firewall, ApplyError};
use portero_firewall::Firewall;
use portero_libvirt::{Domain, Network};
use portero_model::Owner;
use portero_port_forward::Forward;
use portero_system::files;
use portero_xml::Element;
use std::collections::HashSet;

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
        let mut desired = self.of_domains()?;
        desired.extend(self.of_networks()?);
        Ok(desired)
    }

    /// Why an object cannot have what it wants; nothing when it can.
    pub fn refusal(&mut self, desired: &DesiredForwards) -> Option<ApplyError> {
        // A hook refuses everything while portero.toml is wrong.
        if let Err(error) = self.engine.configure() {
            return Some(error);
        }
        match &desired.object {
            Object::Domain(domain) => match self.engine.domain_conflict(&self.config, domain) {
                Ok(held) => held,
                Err(error) => Some(error),
            },
            Object::Network(network) => {
                let refused = self.engine.check_network(&self.config, network);
                refused.err()
            }
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

    fn of_domains(&mut self) -> Result<Vec<DesiredForwards>, ApplyError> {
        let active = self.engine.paths.libvirt_domains.clone();
        let defined = self.engine.paths.libvirt.join("qemu");
        let ports = self.engine.state.all_ports()?;
        let told: HashSet<_> = ports.iter().map(|port| port.owner).collect();
        let mut all: Vec<DesiredForwards> = Vec::new();
        for name in files::names(&active, ".xml")? {
            if let Some(running) = self.engine.running_domain(&active.join(name))? {
                let state = if running.is_paused {
                    ObjectState::Paused
                } else {
                    ObjectState::Running
                };
                let was_told = told.contains(&running.domain.uuid);
                all.push(self.of_domain(running.domain, state, was_told));
            }
        }
        for name in files::names(&defined, ".xml")? {
            let file = files::read(&defined.join(name))?;
            if let Some(domain) = file.and_then(|file| Domain::read(&file)) {
                add(&mut all, self.of_domain(domain, ObjectState::Off, false));
            }
        }
        Ok(all)
    }

    fn of_domain(&self, domain: Domain, state: ObjectState, was_told: bool) -> DesiredForwards {
        DesiredForwards {
            owner: Owner::from(&domain),
            state,
            written: self.engine.domain_forwards(&domain),
            from_next_start: Vec::new(),
            was_told,
            object: Object::Domain(domain),
        }
    }

    fn of_networks(&self) -> Result<Vec<DesiredForwards>, ApplyError> {
        let defined = self.engine.paths.libvirt.join("qemu/networks");
        let active = self.networks.iter();
        let mut all: Vec<DesiredForwards> = active
            .map(|network| self.of_network(network.clone(), ObjectState::Running))
            .collect();
        for name in files::names(&defined, ".xml")? {
            let file = files::read(&defined.join(name))?;
            let root = file.and_then(|file| Element::parse(&file).ok());
            let network = root.and_then(|root| Network::from_definition(&root).ok());
            if let Some(network) = network {
                add(&mut all, self.of_network(network, ObjectState::Off));
            }
        }
        Ok(all)
    }

    fn of_network(&self, network: Network, state: ObjectState) -> DesiredForwards {
        DesiredForwards {
            owner: Owner::from(&network),
            state,
            written: self.engine.network_forwards(&network),
            from_next_start: Vec::new(),
            was_told: true,
            object: Object::Network(network),
        }
    }
}

/// Adds what is defined to what is active.
fn add(all: &mut Vec<DesiredForwards>, defined: DesiredForwards) {
    let mut active = all.iter_mut();
    match active.find(|one| one.owner.uuid == defined.owner.uuid) {
        Some(active) => active.add_later(defined.written),
        None => all.push(defined),
    }
}

impl DesiredForwards {
    /// Notes what the configuration asks for and the running object does not.
    fn add_later(&mut self, written: Result<Vec<Forward>, ApplyError>) {
        let now = self.written.as_deref().unwrap_or_default();
        let is_new = |forward: &Forward| !now.iter().any(|known| same(known, forward));
        let later = written.unwrap_or_default().into_iter().filter(is_new);
        self.from_next_start = later.collect();
    }
}

/// Whether two forwards ask for the same, wherever they are written.
fn same(one: &Forward, other: &Forward) -> bool {
    let here = |forward: &Forward| Forward {
        line: 0,
        ..forward.clone()
    };
    here(one) == here(other)
}
