//! The libvirt network of a bridge of the host.

use portero_event::{InterfaceName, NAMESPACE};
use quick_xml::escape::escape;
use std::io::Write;
use std::process::{Command, Stdio};
use tempfile::NamedTempFile;

/// Where virsh is; the caller's PATH is never asked.
const VIRSH: &str = "/usr/bin/virsh";

/// Why a network cannot be defined.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// virsh cannot be run.
    #[error("cannot run {VIRSH}: {source}")]
    Spawn {
        /// The system's reason.
        source: std::io::Error,
    },
    /// libvirt refused.
    #[error("libvirt does not define the network: {message}")]
    Refused {
        /// What virsh said.
        message: String,
    },
}

/// The network's XML; with a NIC it says what the bridge is made of.
pub(crate) fn xml(name: &str, bridge: &InterfaceName, nic: Option<&str>) -> String {
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

/// Defines the network in libvirt's system instance.
pub(crate) fn define(xml: &str) -> Result<(), Error> {
    let failed = |source| Error::Spawn { source };
    let mut file = NamedTempFile::new().map_err(failed)?;
    file.write_all(xml.as_bytes()).map_err(failed)?;
    let output = Command::new(VIRSH)
        .args(["-q", "-c", "qemu:///system", "net-define"])
        .arg(file.path())
        .env_clear()
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = message.lines().map(str::trim).collect();
    Err(Error::Refused {
        message: lines.join(" ").trim().to_owned(),
    })
}
