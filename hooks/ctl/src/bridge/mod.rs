//! `portero bridge`: shows, makes, keeps and removes bridges of this host.

mod confirm;
mod status;

use crate::args::{BridgeCommand, Made, Wanted};
use crate::exit::{DONE, FAILED, WOULD_CHANGE};
use crate::terminal::{self, Colors};
use confirm::Decision;
use portero_bridge::{
    define_network, host_files, made_bridges, nics, Bridges, ChangeError, Confirmation, Stage, Wish,
};
use portero_host_bridge::{plan, Bridge, BridgeError, BridgePlan, Stp};
use portero_libvirt::InterfaceName;
use portero_system::{FileError, Log, LogSink, Paths, SystemError};
use portero_xml::NAMESPACE;
use quick_xml::escape::escape;
use similar::TextDiff;
use std::io::{self, IsTerminal};
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
    /// clap gives one.
    #[error("no bridge is named, expected --bridge NAME")]
    NoName,
    /// Nobody has kept it.
    #[error("nobody confirmed {bridge}, or its gateway stopped answering: it is rolled back")]
    NotConfirmed {
        /// The bridge.
        bridge: String,
    },
    /// libvirt does not take the network.
    #[error("libvirt does not define the network: {source}")]
    Network {
        /// Why not.
        source: SystemError,
    },
}

/// Does what a command says; gives what to print and the exit status.
pub(crate) fn run(command: &BridgeCommand, colors: Colors) -> Result<(String, u8), Error> {
    let paths = Paths::default();
    let mut log = Log::new(LogSink::System);
    let mut bridges = Bridges::new(&paths, &mut log);
    let named = |made: &Made| made.bridge().cloned().ok_or(Error::NoName);
    let text = match command {
        BridgeCommand::Plan(wanted)
        | BridgeCommand::Apply {
            wanted,
            dry_run: true,
            ..
        } => {
            let (_, plan) = planned(&paths, wanted)?;
            let is_done = plan.changes.is_empty();
            return Ok((diff(&plan), if is_done { DONE } else { WOULD_CHANGE }));
        }
        BridgeCommand::Apply {
            wanted,
            timeout,
            yes,
            accept,
            ..
        } => {
            let confirmation = match yes {
                true => Confirmation::Verified,
                false => Confirmation::Within(Duration::from_secs(*timeout)),
            };
            let wish = Wish {
                confirmation,
                accepted: accept.clone(),
            };
            return apply(&paths, bridges, wanted, &wish);
        }
        BridgeCommand::Status { json } => status::show(&paths, *json, colors)?,
        BridgeCommand::Confirm(made) => {
            let bridge = named(made)?;
            bridges.confirm(&bridge)?;
            format!("{bridge} stays\n")
        }
        BridgeCommand::Rollback(made) => {
            let bridge = named(made)?;
            let back = bridges.rollback(&bridge)?;
            format!("{bridge} is rolled back{back}\n")
        }
        BridgeCommand::Remove(made) => {
            let bridge = named(made)?;
            let back = bridges.remove(&bridge)?;
            format!("{bridge} is removed, and the files are as they were before it{back}\n")
        }
        BridgeCommand::Network { made, name, define } => {
            let bridge = named(made)?;
            let nics = bridges.nics(&bridge)?;
            let name = name.as_deref().unwrap_or(bridge.as_str());
            let xml = network_xml(name, &bridge, nics.first().map(String::as_str));
            if *define {
                define_network(&xml).map_err(|source| Error::Network { source })?;
                format!("network '{name}' is defined\n")
            } else {
                xml
            }
        }
        BridgeCommand::Guard(made) => {
            bridges.guard(&named(made)?)?;
            String::new()
        }
        BridgeCommand::Recover => {
            bridges.recover()?;
            String::new()
        }
    };
    Ok((text, DONE))
}

/// Makes a bridge; on a terminal shows the steps and asks whether it stays.
fn apply(
    paths: &Paths,
    bridges: Bridges<'_>,
    wanted: &Wanted,
    wish: &Wish,
) -> Result<(String, u8), Error> {
    let name = &wanted.bridge;
    let nics: Vec<&str> = wanted.nics.iter().map(|nic| nic.as_str()).collect();
    let mut known = made_bridges(paths)?.into_iter();
    if known.any(|one| one.name == *name && one.nics == nics && one.stage == Stage::Confirmed) {
        return Ok((
            format!("{name} is there already, with {}\n", nics.join(", ")),
            DONE,
        ));
    }
    let is_asked = io::stdin().is_terminal()
        && io::stderr().is_terminal()
        && wish.confirmation != Confirmation::Verified;
    let mut bridges = match is_asked {
        true => bridges.telling(|step| eprintln!("  {step}")),
        false => bridges,
    };
    let (bridge, plan) = planned(paths, wanted)?;
    let addresses = bridges.apply(&bridge, &plan, wish)?;
    let has = match addresses.as_slice() {
        [] => String::new(),
        addresses => format!(" and has {}", addresses.join(", ")),
    };
    let mut text = format!("{name} is up with {}{has}\n", nics.join(", "));
    let guests = format!("For guests on it: portero bridge network {name} --define\n");
    match wish.confirmation {
        Confirmation::Verified => text += &guests,
        Confirmation::Within(time) if !is_asked => {
            text += &format!(
                "It is rolled back in {} s unless you say: portero bridge confirm {name}\n",
                time.as_secs()
            );
        }
        Confirmation::Within(_) => {
            eprint!("{text}");
            text = match confirm::ask(paths, &mut bridges, name)? {
                Decision::Kept => format!("{name} stays\n{guests}"),
                Decision::RolledBack => return Ok((format!("{name} is rolled back\n"), FAILED)),
                Decision::Over => {
                    return Err(Error::NotConfirmed {
                        bridge: name.to_string(),
                    })
                }
            };
        }
    }
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
