//! `portero bridge`: shows, makes, keeps and takes away bridges of this host.

use crate::args::{BridgeCommand, Made, Wanted};
use crate::exit::{DONE, WOULD_CHANGE};
use crate::terminal;
use portero_bridge::{define_network, host_files, nics, Bridges, ChangeError, Confirmation};
use portero_host_bridge::{plan, Bridge, BridgeError, BridgePlan, Stp};
use portero_libvirt::InterfaceName;
use portero_system::{FileError, Log, LogSink, Paths, SystemError};
use portero_xml::NAMESPACE;
use quick_xml::escape::escape;
use similar::TextDiff;
use std::time::Duration;

/// Why a command about a bridge failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The NICs or their files are not fit for it.
    #[error(transparent)]
    Bridge(#[from] BridgeError),
    /// It cannot be made or taken away.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// libvirt does not take the network.
    #[error("libvirt does not define the network: {source}")]
    Network {
        /// Why not.
        source: SystemError,
    },
}

/// Does what a command says; gives what to print and the exit status.
pub(crate) fn run(command: &BridgeCommand) -> Result<(String, u8), Error> {
    let paths = Paths::default();
    let mut log = Log::new(LogSink::Syslog {
        program: "portero-bridge".to_owned(),
    });
    let mut bridges = Bridges::new(&paths, &mut log);
    let text = match command {
        BridgeCommand::Plan(wanted) => {
            let (_, plan) = planned(&paths, wanted)?;
            let is_done = plan.changes.is_empty();
            return Ok((diff(&plan), if is_done { DONE } else { WOULD_CHANGE }));
        }
        BridgeCommand::Apply {
            wanted,
            timeout,
            yes,
        } => {
            let confirmation = match yes {
                true => Confirmation::Verified,
                false => Confirmation::Within(Duration::from_secs(*timeout)),
            };
            let (bridge, plan) = planned(&paths, wanted)?;
            let addresses = bridges.apply(&bridge, &plan, confirmation)?;
            applied(wanted, &addresses, confirmation)
        }
        BridgeCommand::Confirm(Made { bridge }) => {
            bridges.confirm(bridge)?;
            format!("{bridge} stays\n")
        }
        BridgeCommand::Rollback(Made { bridge }) => {
            let back = bridges.rollback(bridge)?;
            format!("{bridge} is taken back{back}\n")
        }
        BridgeCommand::Remove(Made { bridge }) => {
            let back = bridges.remove(bridge)?;
            format!("{bridge} is removed, and the files are as they were before it{back}\n")
        }
        BridgeCommand::Network {
            bridge,
            name,
            define,
        } => {
            let nics = bridges.nics(bridge)?;
            let name = name.as_deref().unwrap_or(bridge.as_str());
            let xml = network_xml(name, bridge, nics.first().map(String::as_str));
            if *define {
                define_network(&xml).map_err(|source| Error::Network { source })?;
                format!("network '{name}' is defined\n")
            } else {
                xml
            }
        }
        BridgeCommand::Guard(Made { bridge }) => {
            bridges.guard(bridge)?;
            String::new()
        }
        BridgeCommand::Recover => {
            bridges.recover()?;
            String::new()
        }
    };
    Ok((text, DONE))
}

/// What would change; what the administrator should know goes to stderr.
fn planned(paths: &Paths, wanted: &Wanted) -> Result<(Bridge, BridgePlan), Error> {
    let bridge = Bridge {
        name: wanted.bridge.clone(),
        nics: wanted.nics.clone(),
        stp: if wanted.stp { Stp::On } else { Stp::Off },
    };
    let files = host_files(paths)?;
    let plan = plan(&bridge, wanted.renderer, &files, &nics(&bridge.nics))?;
    for warning in &plan.warnings {
        terminal::warning(warning);
    }
    Ok((bridge, plan))
}

/// What to know once a bridge is there.
fn applied(wanted: &Wanted, addresses: &[String], confirmation: Confirmation) -> String {
    let name = &wanted.bridge;
    let nics: Vec<&str> = wanted.nics.iter().map(|nic| nic.as_str()).collect();
    let has = match addresses {
        [] => String::new(),
        addresses => format!(" and has {}", addresses.join(", ")),
    };
    let then = match confirmation {
        Confirmation::Verified => String::new(),
        Confirmation::Within(time) => format!(
            "It is taken back in {} s unless you say: portero bridge confirm --bridge {name}\n",
            time.as_secs()
        ),
    };
    format!("{name} is up with {}{has}\n{then}", nics.join(", "))
}

/// The XML of the libvirt network of a bridge; with a NIC it says what the bridge is made of.
fn network_xml(name: &str, bridge: &InterfaceName, nic: Option<&str>) -> String {
    let metadata = nic.map(|nic| {
        format!(
            "  <metadata>\n    <portero:network xmlns:portero='{NAMESPACE}'>\n      \
             <portero:hostBridge nic='{}'/>\n    </portero:network>\n  </metadata>\n",
            escape(nic)
        )
    });
    format!(
        "<network>\n  <name>{}</name>\n{}  <forward mode='bridge'/>\n  <bridge name='{}'/>\n</network>\n",
        escape(name),
        metadata.unwrap_or_default(),
        escape(bridge.as_str())
    )
}

/// The plan as a unified diff that patch(1) takes.
pub(crate) fn diff(plan: &BridgePlan) -> String {
    let mut text = String::new();
    for change in &plan.changes {
        let path = format!("etc/{}", change.path);
        let side = |content: &Option<String>, start: &str| match content {
            Some(_) => format!("{start}/{path}"),
            None => "/dev/null".to_owned(),
        };
        let (old, new) = (side(&change.before, "a"), side(&change.after, "b"));
        let before = change.before.as_deref().unwrap_or_default();
        let after = change.after.as_deref().unwrap_or_default();
        let diff = TextDiff::from_lines(before, after);
        text += &diff.unified_diff().header(&old, &new).to_string();
    }
    text
}
