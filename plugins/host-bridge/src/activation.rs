//! The commands that make the running host follow its files, and those that roll it back.

use crate::Renderer;
use std::fmt;

/// The program that brings the host's interfaces up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// Debian's ifupdown with bridge-utils.
    Ifupdown,
    /// The scripts of the network service.
    Initscripts,
    /// NetworkManager.
    NetworkManager,
    /// systemd-networkd.
    Networkd,
    /// netplan, which passes on to one of the last two.
    Netplan,
}

/// Whether a command may fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It must not: all is rolled back.
    Fatal,
    /// It says that there was nothing to do.
    Expected,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Run a program.
    Run(Command),
    /// Take the bridge's interface away, where it still is.
    DeleteBridge,
    /// The same once all before it was done: whoever has made the bridge makes it again otherwise.
    DeleteForgottenBridge,
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(command) => write!(
                formatter,
                "{} {}",
                command.program,
                command.arguments.join(" ")
            ),
            Self::DeleteBridge | Self::DeleteForgottenBridge => {
                formatter.write_str("delete the bridge where it still is")
            }
        }
    }
}

/// A command with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The program's name.
    pub program: &'static str,
    /// What it is told.
    pub arguments: Vec<String>,
    /// Whether it may fail.
    pub failure: Failure,
}

/// What is done on one way, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Steps {
    /// While the files are still as they were.
    pub before_files: Vec<Step>,
    /// When the files are as they shall be.
    pub after_files: Vec<Step>,
}

impl Steps {
    /// All of them once the files are as they shall be.
    fn after_files(after_files: Vec<Step>) -> Self {
        Self {
            before_files: Vec::new(),
            after_files,
        }
    }
}

/// The manager of a format's files; those of ifcfg can be NetworkManager's instead.
impl From<Renderer> for Manager {
    fn from(renderer: Renderer) -> Self {
        match renderer {
            Renderer::Keyfile => Self::NetworkManager,
            Renderer::Networkd => Self::Networkd,
            Renderer::Netplan => Self::Netplan,
            Renderer::Ifupdown => Self::Ifupdown,
            Renderer::Ifcfg => Self::Initscripts,
        }
    }
}

impl Manager {
    /// Programs that have to be there.
    #[must_use]
    pub fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Ifupdown => &["ip", "ifup", "ifdown", "brctl"],
            Self::Initscripts => &["ip", "ifup", "ifdown"],
            Self::NetworkManager => &["ip", "nmcli"],
            Self::Networkd => &["ip", "networkctl"],
            Self::Netplan => &["ip", "netplan"],
        }
    }

    /// The way from the NIC to the bridge.
    #[must_use]
    pub fn to_bridge(self, bridge: &str, nics: &[&str]) -> Steps {
        match self {
            Self::Ifupdown | Self::Initscripts => Steps {
                before_files: each("ifdown", &[], nics, Failure::Expected),
                after_files: [
                    each("ifup", &[], nics, Failure::Expected),
                    each("ifup", self.force(), &[bridge], Failure::Fatal),
                ]
                .concat(),
            },
            Self::NetworkManager => {
                let reload = step("nmcli", &["connection", "reload"], Failure::Fatal);
                let connect = each("nmcli", CONNECT, nics, Failure::Fatal);
                Steps::after_files([vec![reload], connect].concat())
            }
            Self::Networkd => {
                Steps::after_files(vec![step("networkctl", &["reload"], Failure::Fatal)])
            }
            Self::Netplan => Steps::after_files(vec![step("netplan", &["apply"], Failure::Fatal)]),
        }
    }

    /// The way back from wherever the first one has come to.
    #[must_use]
    pub fn to_nic(self, bridge: &str, nics: &[&str]) -> Steps {
        let force = self.force();
        match self {
            Self::Ifupdown | Self::Initscripts => Steps {
                before_files: [
                    each("ifdown", force, &[bridge], Failure::Expected),
                    each("ifdown", force, nics, Failure::Expected),
                    vec![Step::DeleteBridge],
                ]
                .concat(),
                after_files: each("ifup", force, nics, Failure::Fatal),
            },
            Self::NetworkManager => {
                let reload = step("nmcli", &["connection", "reload"], Failure::Fatal);
                let connect = each("nmcli", CONNECT_BACK, nics, Failure::Fatal);
                let reload = vec![reload, Step::DeleteForgottenBridge];
                Steps::after_files([reload, connect].concat())
            }
            Self::Networkd => {
                let reload = step("networkctl", &["reload"], Failure::Fatal);
                let configure = each("networkctl", &["reconfigure"], nics, Failure::Fatal);
                Steps::after_files([vec![reload, Step::DeleteBridge], configure].concat())
            }
            Self::Netplan => {
                let apply = |failure| step("netplan", &["apply"], failure);
                let (first, second) = (apply(Failure::Expected), apply(Failure::Fatal));
                Steps::after_files(vec![first, Step::DeleteBridge, second])
            }
        }
    }

    /// ifupdown believes its own record of what is up, which can be wrong after a command that failed;
    /// initscripts keep none.
    fn force(self) -> &'static [&'static str] {
        match self {
            Self::Ifupdown => &["--force"],
            _ => &[],
        }
    }

    /// What a boot needs after files were restored before any interface came up.
    #[must_use]
    pub fn at_boot(self) -> Option<Step> {
        (self == Self::Netplan).then(|| step("netplan", &["generate"], Failure::Fatal))
    }
}

/// Brings up the profile that is the best for a device; a port's brings its bridge up too. It waits
/// for less than it is given, so that it says itself what it waited for.
const CONNECT: &[&str] = &["--wait", "9", "device", "connect"];

/// The same on the way back.
const CONNECT_BACK: &[&str] = &["--wait", "4", "device", "connect"];

/// The same command for each interface, whose name is its last argument.
fn each(
    program: &'static str,
    arguments: &[&str],
    interfaces: &[&str],
    failure: Failure,
) -> Vec<Step> {
    let with = |name: &&str| step(program, &[arguments, &[*name]].concat(), failure);
    interfaces.iter().map(with).collect()
}

fn step(program: &'static str, arguments: &[&str], failure: Failure) -> Step {
    Step::Run(Command {
        program,
        arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
        failure,
    })
}
