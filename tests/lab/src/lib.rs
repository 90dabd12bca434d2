//! A private libvirt with real guests and an outside world.
//!
//! The program that uses the lab runs itself anew in namespaces of its own (mount, network, PID):
//! its network namespace is the virtual host, with `eth0` leading to a second namespace, `outside`.
//! Nothing of the machine is touched, and everything ends with the program.

mod container;
mod crowd;
mod daemons;
mod enter;
mod guest;
mod host;
mod lab;
mod machine;
mod package;
mod probe;
mod program;
mod recorded;
mod root;
mod rules;
mod scenario;
mod second;
mod settings;
mod talk;
mod urgent;
mod vm;
mod wait;
mod xml;

pub use container::{container, mount_cgroups};
pub use daemons::Driver;
pub use enter::enter;
pub use lab::{take_root, Backend, Lab, Options};
pub use machine::Machine;
pub use package::find_package;
pub use probe::{From, Proto};
pub use program::{Program, Ran};
pub use recorded::Event;
pub use rules::sorted;
pub use scenario::{run_scenarios, Scenario};
pub use second::{Second, SECOND_V4, SECOND_V6};
pub use settings::Settings;
pub use talk::Talk;
pub use urgent::Urgent;
pub use vm::{Vm, GIVEN, INTERFACES};
pub use wait::{limit_by_load, wait_until};
pub use xml::{domain, network, DomainXml, NetworkXml, Processor};

/// The host's IPv4 address towards the outside.
pub const HOST_V4: &str = "203.0.113.1";
/// The host's IPv6 address towards the outside.
pub const HOST_V6: &str = "2001:db8:113::1";
/// The IPv4 address of the machine outside.
pub const OUTSIDE_V4: &str = "203.0.113.2";
/// The IPv6 address of the machine outside.
pub const OUTSIDE_V6: &str = "2001:db8:113::2";
