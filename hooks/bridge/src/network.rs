//! Gives libvirt the network of a bridge, by virsh.

use portero_system::programs::run;
use portero_system::{Deadline, SystemError};
use std::time::Duration;

/// Longest time virsh may take.
const VIRSH: Duration = Duration::from_secs(60);

/// What virsh is told; it reads the XML from its stdin, which has this name wherever there is /proc.
const DEFINE: [&str; 5] = [
    "-q",
    "-c",
    "qemu:///system",
    "net-define",
    "/proc/self/fd/0",
];

/// Defines a network in libvirt's system instance. Not for hooks: libvirt would wait for itself.
///
/// # Errors
/// [`SystemError`] when virsh is not there, does not end in time, or libvirt refuses.
pub fn define_network(xml: &str) -> Result<(), SystemError> {
    run("virsh", &DEFINE, xml, Deadline::after(VIRSH))
}
