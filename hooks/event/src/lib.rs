//! Turns what libvirt passes to a hook (argv and the XML on stdin) into a typed [`Event`].
//!
//! Everything here is pure: no file, no process, no clock. The operations are those of
//! <https://libvirt.org/hooks.html>; operations libvirt may add later are kept as `Unknown`.

mod domain;
mod event;
mod names;
mod network;
mod operation;
mod plain;
mod status;
mod xml;

pub use domain::{Domain, Nic};
pub use event::{Event, EventError, HookArguments};
pub use names::{InterfaceName, MacAddress, NameError, ObjectName};
pub use network::{Duid, ForwardMode, Network, NetworkPort, Reservation, Subnet};
pub use operation::{DaemonOperation, NetworkOperation, QemuOperation};
pub use plain::{is_misleading, Plain};
pub use status::Status;
pub use xml::{Element, Problem, XmlError, INPUT_LIMIT};

/// The namespace of portero's own elements in libvirt's `<metadata>` and in /etc/portero.
pub const NAMESPACE: &str = "urn:portero:1";

/// What every version of portero's namespace starts with.
const NAMESPACE_FAMILY: &str = "urn:portero:";

/// The `portero` element inside an object's `<metadata>`, if there is one.
///
/// # Errors
/// [`Problem`] when the element is of another version of the namespace, or is not called `expected`.
fn own_metadata(object: &Element, expected: &'static str) -> Result<Option<Element>, Problem> {
    let Some(metadata) = object.child("metadata") else {
        return Ok(None);
    };
    let mut found = None;
    for element in metadata.children() {
        let Some(namespace) = element.namespace() else {
            continue;
        };
        if !namespace.starts_with(NAMESPACE_FAMILY) {
            continue;
        }
        check_root(element, expected)?;
        found = Some(element.clone());
    }
    Ok(found)
}

/// Checks that `element` is the root that portero expects: its name and its namespace.
///
/// # Errors
/// [`Problem`] naming what was found and what was expected.
pub fn check_root(element: &Element, expected: &'static str) -> Result<(), Problem> {
    if element.namespace() != Some(NAMESPACE) {
        return Err(element.problem(format!(
            "namespace '{}' is not known, expected '{NAMESPACE}'",
            element.namespace().unwrap_or("")
        )));
    }
    if element.name() != expected {
        return Err(element.problem(format!("expected <{expected}> here")));
    }
    Ok(())
}
