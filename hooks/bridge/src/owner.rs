//! Asks the programs that bring interfaces up whether they have a NIC.

use crate::error::ChangeError;
use portero_host_bridge::{read_networkctl, read_nmcli, Owner, Says};
use portero_system::programs::{find_program, read};
use portero_system::{Deadline, Paths, SystemError};
use std::path::Path;
use std::time::Duration;

/// Longest time for an answer.
const ANSWER: Duration = Duration::from_secs(5);

/// What an owner says of a NIC.
pub(super) fn says(paths: &Paths, owner: Owner, nic: &str) -> Result<Says, ChangeError> {
    let ask = |program: &str, words: &[&str]| {
        let answer = read(program, words, Deadline::after(ANSWER))?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    Ok(match owner {
        Owner::NetworkManager => {
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
        Owner::Networkd => match ask("networkctl", &["list", "--no-legend", "--no-pager"]) {
            Ok(answer) => read_networkctl(&answer, nic),
            Err(SystemError::NoProgram { .. }) => Says::IsAbsent,
            Err(error) => return Err(error.into()),
        },
        // It has no daemon, but a record of what it brought up.
        Owner::Ifupdown => match ask("ifquery", &["--state", nic]) {
            Err(SystemError::Failed { message, .. }) if message == "exit status: 1" => {
                Says::IsIdle(format!("ifquery --state {nic} finds nothing"))
            }
            Err(error @ SystemError::Hung { .. }) => return Err(error.into()),
            // ifupdown's relatives have another way to say it, or none.
            _ => Says::Has,
        },
        Owner::NetworkScripts => {
            let folder = paths.etc.join("sysconfig/network-scripts");
            let ifup = find_program("ifup").and_then(|path| {
                path.canonicalize().map_err(|source| SystemError::File {
                    path: path.display().to_string(),
                    source,
                })
            });
            // RHEL 8 and later can have one of NetworkManager's in its place.
            let is_of_scripts = ifup.is_ok_and(|path| !path.ends_with("nm-ifup"));
            match folder.join("network-functions").exists() && is_of_scripts {
                true => Says::Has,
                false => Says::IsAbsent,
            }
        }
    })
}
