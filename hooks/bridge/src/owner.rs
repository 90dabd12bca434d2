//! Asks the programs that bring interfaces up whether they have a NIC.

use crate::error::Result;
use portero_host_bridge::{read_networkctl, read_nmcli, NicOwner, Says};
use portero_system::programs::{find_program, read};
use portero_system::{Deadline, Paths, SystemError};
use std::path::Path;
use std::time::Duration;

/// Longest time for an answer.
const ANSWER: Duration = Duration::from_secs(5);

/// What an owner says of a NIC.
pub(super) fn says(paths: &Paths, owner: NicOwner, nic: &str) -> Result<Says> {
    let ask = |program: &str, words: &[&str]| {
        let answer = read(program, words, Deadline::after(ANSWER))?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    Ok(match owner {
        NicOwner::NetworkManager => {
            match ask("nmcli", &["-g", "GENERAL.STATE", "device", "show", nic]) {
                Ok(answer) => read_nmcli(&answer),
                Err(SystemError::NoProgram { .. }) => Says::IsAbsent,
                Err(SystemError::Failed { message, .. })
                    // Without a bus it cannot say so itself.
                    if message.contains("is not running") || !Path::new("/run/NetworkManager").exists() =>
                {
                    Says::IsAbsent
                }
                Err(SystemError::Failed { message, .. }) if message.contains("not found") => {
                    Says::LeavesAlone(message)
                }
                Err(error) => return Err(error.into()),
            }
        }
        NicOwner::Networkd => match ask("networkctl", &["list", "--no-legend", "--no-pager"]) {
            Ok(answer) => read_networkctl(&answer, nic),
            Err(SystemError::NoProgram { .. }) => Says::IsAbsent,
            Err(error) => return Err(error.into()),
        },
        // It has no daemon, but a record of what it brought up.
        NicOwner::Ifupdown => match ask("ifquery", &["--state", nic]) {
            Err(SystemError::Failed { message, .. }) if message == "exit status: 1" => {
                Says::IsIdle(format!("ifquery --state {nic} finds nothing"))
            }
            Err(error @ SystemError::Hung { .. }) => return Err(error.into()),
            // ifupdown's relatives have another way to say it, or none.
            _ => Says::Has,
        },
        NicOwner::NetworkScripts => {
            let folder = paths.etc.join("sysconfig/network-scripts");
            let ifup = find_program("ifup").map(|path| path.canonicalize());
            // RHEL 8 and later can have one of NetworkManager's in its place.
            let is_of_scripts = matches!(ifup, Ok(Ok(path)) if !path.ends_with("nm-ifup"));
            match folder.join("network-functions").exists() && is_of_scripts {
                true => Says::Has,
                false => Says::IsAbsent,
            }
        }
    })
}
