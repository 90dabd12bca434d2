//! What domains and networks want forwarded, those that do not run included, and why they cannot
//! have it. For `portero explain`.

use crate::check::check_alone;
use crate::engine::Engine;
use crate::ApplyError;
use portero_firewall::Firewall;
use portero_libvirt::{Domain, Event, Network, NetworkOperation, QemuOperation, Status};
use portero_model::{Owner, OwnerKind};
use portero_port_forward::{plan_network, Forward};
use portero_system::files;
use portero_xml::Element;
use std::collections::HashSet;
use std::path::Path;

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
    pub life: ObjectState,
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

impl Engine<'_> {
    /// What every domain and network wants forwarded, those without a wish included.
    ///
    /// # Errors
    /// [`ApplyError`] when libvirt's folders cannot be read.
    pub fn desired_forwards(&mut self) -> Result<Vec<DesiredForwards>, ApplyError> {
        let mut wishes = self.domain_wishes()?;
        wishes.extend(self.network_wishes()?);
        Ok(wishes)
    }

    /// Why an object cannot have what it wants; nothing when it can.
    pub fn refusal(&mut self, wish: &DesiredForwards) -> Option<ApplyError> {
        match &wish.object {
            Object::Domain(domain) => match self.check_domain(domain) {
                Ok(held) => held,
                Err(error) => Some(error),
            },
            Object::Network(network) => self.check_network(network).err(),
        }
    }

    /// Which firewall is used by whom.
    ///
    /// # Errors
    /// [`ApplyError`] when the kernel does not tell.
    pub fn backends(&mut self) -> Result<Backends, ApplyError> {
        let (config, deadline) = self.configure_or_default();
        Ok(Backends {
            configured: config.firewall.named(),
            told: crate::config::libvirt_firewall(&self.paths),
            libvirt: self.system.detect_backend(deadline)?.libvirt,
        })
    }

    fn check_network(&mut self, network: &Network) -> Result<(), ApplyError> {
        let forwards = self.network_forwards(network)?;
        let (config, deadline) = self.configure()?;
        let _lock = self.state.lock(deadline)?;
        check_alone(&config, &forwards)?;
        let owner = Owner::new(OwnerKind::Network, network.uuid, &network.name);
        plan_network(owner.clone(), &forwards, network)?;
        let old = self.state.record(OwnerKind::Network, network.uuid)?;
        self.check(&config, &owner, &forwards, old.as_ref())
    }

    fn domain_wishes(&mut self) -> Result<Vec<DesiredForwards>, ApplyError> {
        let active = self.paths.libvirt_domains.clone();
        let defined = self.paths.libvirt.join("qemu");
        let told: HashSet<_> = self
            .state
            .all_ports()?
            .iter()
            .map(|port| port.owner)
            .collect();
        let mut wishes: Vec<DesiredForwards> = Vec::new();
        for name in files::names(&active, ".xml")? {
            let Some(file) = files::read(&active.join(name))? else {
                continue;
            };
            let Some(status) = Status::read(&file, OwnerKind::Domain.name()) else {
                continue;
            };
            let runs = status
                .process
                .is_some_and(|one| self.system.has_process(one));
            let event = Event::domain(QemuOperation::Started, status.object.as_bytes());
            if let (true, Ok(Event::Domain { domain, .. })) = (runs, event) {
                let life = if is_paused(&file) {
                    ObjectState::Paused
                } else {
                    ObjectState::Running
                };
                wishes.push(DesiredForwards {
                    owner: Owner::new(OwnerKind::Domain, domain.uuid, &domain.name),
                    life,
                    written: self.domain_forwards(&domain),
                    from_next_start: Vec::new(),
                    was_told: told.contains(&domain.uuid),
                    object: Object::Domain(domain),
                });
            }
        }
        for name in files::names(&defined, ".xml")? {
            let domain = element(&defined.join(name))?.map(|root| Domain::from_element(&root));
            let Some(Ok(domain)) = domain else { continue };
            let written = self.domain_forwards(&domain);
            match wishes.iter_mut().find(|one| one.owner.uuid == domain.uuid) {
                Some(wish) => wish.add_later(written),
                None => wishes.push(DesiredForwards {
                    owner: Owner::new(OwnerKind::Domain, domain.uuid, &domain.name),
                    life: ObjectState::Off,
                    written,
                    from_next_start: Vec::new(),
                    was_told: false,
                    object: Object::Domain(domain),
                }),
            }
        }
        Ok(wishes)
    }

    fn network_wishes(&mut self) -> Result<Vec<DesiredForwards>, ApplyError> {
        let active = self.paths.libvirt_networks.clone();
        let defined = self.paths.libvirt.join("qemu/networks");
        let mut wishes: Vec<DesiredForwards> = Vec::new();
        for name in files::names(&active, ".xml")? {
            let Some(file) = files::read(&active.join(name))? else {
                continue;
            };
            let Some(status) = Status::read(&file, OwnerKind::Network.name()) else {
                continue;
            };
            let stdin = format!("<hookData>\n{}\n</hookData>\n", status.object);
            let event = Event::network(NetworkOperation::Started, stdin.as_bytes());
            if let Ok(Event::Network { network, .. }) = event {
                wishes.push(self.network_wish(network, ObjectState::Running));
            }
        }
        for name in files::names(&defined, ".xml")? {
            let root = element(&defined.join(name))?;
            let network = root.map(|root| Network::from_definition(&root));
            let Some(Ok(network)) = network else { continue };
            let wish = self.network_wish(network, ObjectState::Off);
            match wishes
                .iter_mut()
                .find(|one| one.owner.uuid == wish.owner.uuid)
            {
                Some(known) => known.add_later(wish.written),
                None => wishes.push(wish),
            }
        }
        Ok(wishes)
    }

    fn network_wish(&self, network: Network, life: ObjectState) -> DesiredForwards {
        DesiredForwards {
            owner: Owner::new(OwnerKind::Network, network.uuid, &network.name),
            life,
            written: self.network_forwards(&network),
            from_next_start: Vec::new(),
            was_told: true,
            object: Object::Network(network),
        }
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

/// Whether the file of a domain says that it is paused.
fn is_paused(file: &[u8]) -> bool {
    let text = String::from_utf8_lossy(file);
    let root = text.find("<domstatus").map(|start| &text[start..]);
    let root = root.and_then(|text| text.split('>').next());
    root.is_some_and(|root| root.contains("state='paused'"))
}

fn element(path: &Path) -> Result<Option<Element>, ApplyError> {
    let file = files::read(path)?;
    Ok(file.and_then(|file| Element::parse(&file).ok()))
}
