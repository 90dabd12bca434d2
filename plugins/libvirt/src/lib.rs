//! What libvirt passes to a hook and keeps in its state: arguments, XML on stdin and status files, as typed values.
//!
//! Everything here is pure: no file, no process, no clock. The operations are those of
//! <https://libvirt.org/hooks.html>; operations that libvirt may add later are kept as `Unknown`.

mod domain;
mod driver;
mod event;
mod hook;
mod names;
mod network;
mod operation;
mod port;
mod status;

pub use domain::{Domain, Nic, NicKind};
pub use driver::Driver;
pub use event::{Event, EventError, HookArguments};
pub use hook::{Hook, OnFailure};
pub use names::{InterfaceName, MacAddress, NameError, ObjectName};
pub use network::{Duid, ForwardMode, Network, NetworkPort, Reservation, Subnet};
pub use operation::{DaemonOperation, DomainOperation, NetworkOperation};
pub use port::PortSettings;
pub use status::Status;
