//! Which program brings a bridge up: the one that has its NIC up now, since another one's commands would end in a host
//! without its address.

use crate::activation::Manager;
use crate::owner::{NicOwner, Says};
use crate::plan::BridgePlan;
use crate::renderer::Renderer;
use portero_xml::Sanitised;

/// Why the program that would be called is not the right one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OwnerError {
    /// It leaves the NIC alone.
    #[error(
        "{owner} does not have {nic} up ({}), although its files configure {nic}",
        Sanitised(word)
    )]
    LeavesAlone {
        /// The program.
        owner: NicOwner,
        /// The NIC.
        nic: String,
        /// What it says of the NIC.
        word: String,
    },
    /// It does not run.
    #[error("{owner} does not run, although its files configure {nic}")]
    IsAbsent {
        /// The program.
        owner: NicOwner,
        /// The NIC.
        nic: String,
    },
    /// Nobody can bring it up by its file.
    #[error("the scripts of the network service are not installed, and {nic} is configured by an ifcfg file {why}")]
    NoScripts {
        /// The NIC.
        nic: String,
        /// Why no other program takes it.
        why: &'static str,
    },
    /// Its file is nobody's: networkd has it up by another one.
    #[error("systemd-networkd has {nic} up, by a file that is not in /etc, and nobody reads the ifcfg file of {nic}: copy the file that 'networkctl status {nic}' names to /etc/systemd/network and remove the ifcfg file")]
    Networkd {
        /// The NIC.
        nic: String,
    },
    /// Another program has it up too, and would do with it what its own files say.
    #[error("{owner} and {other} both have {nic} up; make {other} leave it alone first")]
    Two {
        /// The program whose files configure it.
        owner: NicOwner,
        /// The other one.
        other: NicOwner,
        /// The NIC.
        nic: String,
    },
    /// One NIC is NetworkManager's, another is not.
    #[error("{kept} is kept from NetworkManager (NM_CONTROLLED) and {other} is not; all NICs of a bridge need the same program")]
    Mixed {
        /// The NIC that is kept from it.
        kept: String,
        /// One that is not.
        other: String,
    },
}

/// Why the network scripts are the only ones left.
const KEPT: &str = "that keeps it from NetworkManager (NM_CONTROLLED)";
const STOPPED: &str = "and NetworkManager does not run";

impl Manager {
    /// The manager that has the NICs of a plan up; `ask` says what an owner says of a NIC.
    ///
    /// # Errors
    /// [`OwnerError`] when it is not the one whose files configure them; what `ask` fails with.
    pub fn choose<E: From<OwnerError>>(
        plan: &BridgePlan,
        mut ask: impl FnMut(NicOwner, &str) -> Result<Says, E>,
    ) -> Result<Self, E> {
        let owner = match plan.renderer {
            Renderer::Keyfile => NicOwner::NetworkManager,
            Renderer::Networkd => NicOwner::Networkd,
            Renderer::Ifupdown => NicOwner::Ifupdown,
            Renderer::Netplan => match plan.owners.first() {
                Some((_, Some(owner))) => *owner,
                // Its default can be set where netplan's files of /etc do not say it.
                Some((nic, None)) if ask(NicOwner::NetworkManager, nic)? == Says::Has => {
                    NicOwner::NetworkManager
                }
                _ => NicOwner::Networkd,
            },
            Renderer::Ifcfg => return choose_for_ifcfg(plan, &mut ask),
        };
        expect_all(plan, owner, &mut ask)?;
        Ok(Self::from(plan.renderer))
    }
}

/// ifcfg files are NetworkManager's where it runs, unless they say that they are not.
fn choose_for_ifcfg<E: From<OwnerError>>(
    plan: &BridgePlan,
    ask: &mut impl FnMut(NicOwner, &str) -> Result<Says, E>,
) -> Result<Manager, E> {
    let find = |scripts: bool| {
        let mut owners = plan.owners.iter();
        let found = owners.find(|(_, owner)| (*owner == Some(NicOwner::NetworkScripts)) == scripts);
        found.map(|(nic, _)| nic.as_str())
    };
    let why = match (find(true), find(false)) {
        (Some(_), None) => KEPT,
        (kept, other) => {
            let nic = other.or(kept).unwrap_or_default();
            match (ask(NicOwner::NetworkManager, nic)?, kept) {
                (Says::IsAbsent, _) => STOPPED,
                (_, None) => {
                    expect_all(plan, NicOwner::NetworkManager, ask)?;
                    return Ok(Manager::NetworkManager);
                }
                (_, Some(kept)) => {
                    let (kept, other) = (kept.to_owned(), nic.to_owned());
                    return Err(E::from(OwnerError::Mixed { kept, other }));
                }
            }
        }
    };
    for (nic, _) in &plan.owners {
        if ask(NicOwner::NetworkScripts, nic)? != Says::Has {
            let is_networkd = matches!(ask(NicOwner::Networkd, nic), Ok(Says::Has));
            let nic = nic.clone();
            return Err(E::from(match is_networkd {
                true => OwnerError::Networkd { nic },
                false => OwnerError::NoScripts { nic, why },
            }));
        }
    }
    expect_no_other(plan, NicOwner::NetworkScripts, ask)?;
    Ok(Manager::Initscripts)
}

/// The first NIC's addresses go to the bridge, so it has to be up by this program. A further one need
/// not have been configured at all.
fn expect_all<E: From<OwnerError>>(
    plan: &BridgePlan,
    owner: NicOwner,
    ask: &mut impl FnMut(NicOwner, &str) -> Result<Says, E>,
) -> Result<(), E> {
    for (index, (nic, _)) in plan.owners.iter().enumerate() {
        let said = ask(owner, nic)?;
        let nic = nic.clone();
        match said {
            Says::Has => {}
            Says::IsIdle(_) if index > 0 => {}
            Says::IsIdle(word) | Says::LeavesAlone(word) => {
                return Err(E::from(OwnerError::LeavesAlone { owner, nic, word }));
            }
            Says::IsAbsent => return Err(E::from(OwnerError::IsAbsent { owner, nic })),
        }
    }
    expect_no_other(plan, owner, ask)
}

/// Daemons that take NICs besides the program whose files configure them. One that cannot be asked takes none.
fn expect_no_other<E: From<OwnerError>>(
    plan: &BridgePlan,
    owner: NicOwner,
    ask: &mut impl FnMut(NicOwner, &str) -> Result<Says, E>,
) -> Result<(), E> {
    for other in [NicOwner::NetworkManager, NicOwner::Networkd] {
        for (nic, _) in plan.owners.iter().filter(|_| other != owner) {
            if matches!(ask(other, nic), Ok(Says::Has)) {
                let nic = nic.clone();
                return Err(E::from(OwnerError::Two { owner, other, nic }));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{BridgePlan, Manager, NicOwner, OwnerError, Renderer, Says};

    fn plan(renderer: Renderer, owners: &[(&str, Option<NicOwner>)]) -> BridgePlan {
        BridgePlan {
            renderer,
            changes: Vec::new(),
            warnings: Vec::new(),
            owners: owners
                .iter()
                .map(|(nic, owner)| ((*nic).to_owned(), *owner))
                .collect(),
        }
    }

    fn choose(plan: &BridgePlan, said: &[(NicOwner, &str, Says)]) -> Result<Manager, OwnerError> {
        Manager::choose(plan, |owner, nic| {
            let mut said = said.iter().filter(|(of, on, _)| *of == owner && *on == nic);
            Ok(said
                .next()
                .map_or(Says::IsAbsent, |(_, _, says)| says.clone()))
        })
    }

    fn unmanaged() -> Says {
        Says::LeavesAlone("unmanaged".to_owned())
    }

    #[test]
    fn ifcfg_files_are_of_whoever_takes_them() {
        use NicOwner::{NetworkManager, NetworkScripts};
        let free = plan(Renderer::Ifcfg, &[("eth0", None)]);
        let kept = plan(Renderer::Ifcfg, &[("eth0", Some(NetworkScripts))]);
        let mixed = plan(
            Renderer::Ifcfg,
            &[("eth0", Some(NetworkScripts)), ("eth1", None)],
        );
        let manager = (NetworkManager, "eth0", Says::Has);
        let of_other = (NetworkManager, "eth1", Says::Has);
        let scripts = (NetworkScripts, "eth0", Says::Has);
        let other_scripts = (NetworkScripts, "eth1", Says::Has);
        for (plan, said, expected) in [
            (&free, vec![manager.clone()], Ok(Manager::NetworkManager)),
            (&free, vec![manager.clone(), scripts.clone()], Ok(Manager::NetworkManager)),
            (&free, vec![scripts.clone()], Ok(Manager::Initscripts)),
            (&free, vec![], Err("the scripts of the network service are not installed, and eth0 is configured by an ifcfg file and NetworkManager does not run")),
            (&free, vec![(NetworkManager, "eth0", unmanaged()), scripts.clone()], Err("NetworkManager does not have eth0 up (unmanaged), although its files configure eth0")),
            (&kept, vec![(NetworkManager, "eth0", unmanaged()), scripts.clone()], Ok(Manager::Initscripts)),
            (&kept, vec![manager.clone(), scripts.clone()], Err("the network service and NetworkManager both have eth0 up; make NetworkManager leave it alone first")),
            (&free, vec![(NicOwner::Networkd, "eth0", Says::Has)], Err("systemd-networkd has eth0 up, by a file that is not in /etc, and nobody reads the ifcfg file of eth0: copy the file that 'networkctl status eth0' names to /etc/systemd/network and remove the ifcfg file")),
            (&kept, vec![manager.clone()], Err("the scripts of the network service are not installed, and eth0 is configured by an ifcfg file that keeps it from NetworkManager (NM_CONTROLLED)")),
            (&mixed, vec![of_other, scripts.clone()], Err("eth0 is kept from NetworkManager (NM_CONTROLLED) and eth1 is not; all NICs of a bridge need the same program")),
            (&mixed, vec![scripts, other_scripts], Ok(Manager::Initscripts)),
        ] {
            let chosen = choose(plan, &said).map_err(|error| error.to_string());
            assert_eq!(chosen, expected.map_err(str::to_owned), "{plan:?} {said:?}");
        }
    }

    #[test]
    fn other_files_are_of_one_program_that_has_to_have_every_nic() {
        use NicOwner::{Ifupdown, NetworkManager, Networkd};
        let nics: &[(&str, Option<NicOwner>)] = &[("eth0", None), ("eth1", None)];
        for (renderer, owner, manager) in [
            (Renderer::Keyfile, NetworkManager, Manager::NetworkManager),
            (Renderer::Networkd, Networkd, Manager::Networkd),
            (Renderer::Ifupdown, Ifupdown, Manager::Ifupdown),
            (Renderer::Netplan, Networkd, Manager::Netplan),
            (Renderer::Netplan, NetworkManager, Manager::Netplan),
        ] {
            let plan = plan(renderer, nics);
            let first = (owner, "eth0", Says::Has);
            let has_both = [first.clone(), (owner, "eth1", Says::Has)];
            assert_eq!(choose(&plan, &has_both), Ok(manager));
            let idle = || Says::IsIdle("disconnected".to_owned());
            let has_first = [first.clone(), (owner, "eth1", idle())];
            assert_eq!(choose(&plan, &has_first), Ok(manager));
            let has_second = [(owner, "eth0", idle()), (owner, "eth1", Says::Has)];
            assert!(
                choose(&plan, &has_second).is_err(),
                "{renderer}: it has not brought eth0 up"
            );
            assert!(choose(&plan, &[]).is_err(), "{renderer}: nobody has them");
            assert!(
                choose(&plan, &has_both[..1]).is_err(),
                "{renderer}: nobody has eth1"
            );
            let left = [first, (owner, "eth1", unmanaged())];
            assert!(
                choose(&plan, &left).is_err(),
                "{renderer}: eth1 is unmanaged"
            );
        }
    }

    #[test]
    fn a_nic_is_one_programs() {
        use NicOwner::{Ifupdown, NetworkManager, Networkd};
        for (renderer, owner, other) in [
            (Renderer::Keyfile, NetworkManager, Networkd),
            (Renderer::Networkd, Networkd, NetworkManager),
            (Renderer::Ifupdown, Ifupdown, NetworkManager),
            (Renderer::Ifupdown, Ifupdown, Networkd),
        ] {
            let plan = plan(renderer, &[("eth0", None)]);
            let said = |says: Says| [(owner, "eth0", Says::Has), (other, "eth0", says)];
            let two = OwnerError::Two {
                owner,
                other,
                nic: "eth0".to_owned(),
            };
            assert_eq!(choose(&plan, &said(Says::Has)), Err(two));
            assert!(choose(&plan, &said(unmanaged())).is_ok());
        }
    }

    #[test]
    fn netplan_is_held_to_the_program_that_it_names() {
        let plan = plan(Renderer::Netplan, &[("eth0", Some(NicOwner::Networkd))]);
        let other = [(NicOwner::NetworkManager, "eth0", Says::Has)];
        let error = choose(&plan, &other).map_err(|error| error.to_string());
        let expected = "systemd-networkd does not run, although its files configure eth0";
        assert_eq!(error, Err(expected.to_owned()));
    }
}
