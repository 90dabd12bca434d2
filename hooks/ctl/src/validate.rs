//! `portero validate`: says of files whether portero understands them, before libvirt or a hook
//! reads them. What it says is what the planners say.

use crate::exit::{DONE, FAILED};
use crate::{input, terminal};
use portero_engine::{ApplyError, Config};
use portero_host_bridge::HostBridge;
use portero_libvirt::{Domain, Network};
use portero_model::{Origin, Owner, OwnerKind};
use portero_port_forward::{check_own, parse, plan_network, ErrorKind, Forward, ForwardError};
use portero_routed_policy::{compile, Context, Group, WrittenPolicy};
use portero_xml::{Element, Problem, NAMESPACE};
use std::path::{Path, PathBuf};

/// Why a file is not valid; each is one line.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// It cannot be read, is no XML, or is no portero.toml.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// A forward is wrong.
    #[error(transparent)]
    Forward(#[from] ForwardError),
    /// Another element is wrong.
    #[error("{origin}, {source}")]
    Element {
        /// The file.
        origin: Origin,
        /// The element and what is wrong with it.
        source: Problem,
    },
}

/// What there is to say of a valid file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    /// Something for portero.
    Something,
    /// Nothing for portero.
    Nothing,
}

/// Checks files; gives what to print and the exit status.
pub(crate) fn run(files: &[PathBuf]) -> (String, u8) {
    let (mut text, mut code) = (String::new(), DONE);
    for path in files {
        let name = input::name(path);
        match check(path) {
            Ok(Content::Something) => text += &format!("{name}: valid\n"),
            Ok(Content::Nothing) => {
                text += &format!("{name}: valid, but there is nothing of portero's in it\n");
            }
            Err(error) => {
                terminal::error(error);
                code = FAILED;
            }
        }
    }
    (text, code)
}

fn check(path: &Path) -> Result<Content, Error> {
    let content = input::read(path).map_err(ApplyError::from)?;
    let name = input::name(path);
    if path.extension().is_some_and(|end| end == "toml") {
        Config::parse(path, &content)?;
        return Ok(Content::Something);
    }
    let root = Element::parse(&content).map_err(|source| ApplyError::FileXml {
        path: name.clone().into(),
        source,
    })?;
    let origin = Origin::File(name);
    let at = blame(&origin);
    let is_named = root.child("name").is_some();
    match (root.namespace(), root.name()) {
        (None, "domain") if is_named => {
            check_domain(&Domain::from_definition(&root).map_err(at)?, &origin)
        }
        (None, "network") if is_named => {
            check_network(&Network::from_definition(&root).map_err(at)?, &origin)
        }
        (_, "domain") => {
            forwards(&root, OwnerKind::Domain, &origin)?;
            Ok(Content::Something)
        }
        (_, "network") => {
            forwards(&root, OwnerKind::Network, &origin)?;
            HostBridge::read(&root).map_err(at)?;
            WrittenPolicy::find_in(&root).map_err(at)?;
            Ok(Content::Something)
        }
        (_, "group") => {
            Group::read(&root).map_err(at)?;
            Ok(Content::Something)
        }
        _ => Err(at(root.problem(format!(
            "expected <domain> or <network> of libvirt's, or <domain>, <network> or <group> of \
             namespace '{NAMESPACE}'"
        )))),
    }
}

/// Says in which file something is wrong.
fn blame(origin: &Origin) -> impl Fn(Problem) -> Error + Copy + '_ {
    |source| Error::Element {
        origin: origin.clone(),
        source,
    }
}

/// The forwards in an element of portero's, each of them and all together.
fn forwards(root: &Element, kind: OwnerKind, origin: &Origin) -> Result<Vec<Forward>, Error> {
    let forwards = parse(root, kind, origin)?;
    check_own(&forwards)?;
    Ok(forwards)
}

/// A domain as libvirt has it, with what portero finds in its metadata.
fn check_domain(domain: &Domain, origin: &Origin) -> Result<Content, Error> {
    let at = blame(origin);
    let Some(element) = domain.metadata().map_err(at)? else {
        return Ok(Content::Nothing);
    };
    // Metadata of a domain may have less than a file of the administrator's.
    let metadata = Origin::Metadata(Owner::from(domain));
    parse(&element, OwnerKind::Domain, &metadata).map_err(|error| ForwardError {
        origin: origin.clone(),
        ..error
    })?;
    let forwards = forwards(&element, OwnerKind::Domain, origin)?;
    for forward in &forwards {
        let mut nics = domain.nics.iter().filter(|nic| nic.network.is_some());
        let interface = forward.interface;
        if let Some(mac) = interface.filter(|mac| !nics.any(|nic| nic.mac == *mac)) {
            let reason = format!("the domain has no interface {mac} on a virtual network");
            terminal::warning(forward.error(ErrorKind::Invalid, reason));
        }
    }
    Ok(Content::Something)
}

/// A network as libvirt has it, with what portero finds in its metadata, and whether this network
/// can have it.
fn check_network(network: &Network, origin: &Origin) -> Result<Content, Error> {
    let at = blame(origin);
    let Some(element) = network.metadata().map_err(at)? else {
        return Ok(Content::Nothing);
    };
    let forwards = forwards(&element, OwnerKind::Network, origin)?;
    let owner = Owner::from(network);
    plan_network(owner, &forwards, network)?;
    if let Some(wanted) = HostBridge::read(&element).map_err(at)? {
        wanted.bridge_of(network).map_err(at)?;
    }
    if let Some(policy) = WrittenPolicy::find_in(&element).map_err(at)? {
        // Groups are files of their own, and other networks are as they are when it is applied.
        let context = Context {
            networks: std::slice::from_ref(network),
            groups: &|_| Ok(Group::default()),
        };
        compile(network, &policy, &context).map_err(at)?;
    }
    Ok(Content::Something)
}
