//! Plans a bridge in /etc/network/interfaces.

use crate::bridge::{Bridge, HostFiles, Nic};
use crate::{BridgeError, Plan};

/// The path of the file that configures the NIC.
pub(crate) fn owner(_files: &HostFiles, _nic: &Nic) -> Option<String> {
    None
}

/// Plans the bridge.
pub(crate) fn plan(
    bridge: &Bridge,
    _files: &HostFiles,
    _nics: &[Nic],
) -> Result<Plan, BridgeError> {
    Err(BridgeError::NoFile {
        nic: bridge.nics[0].to_string(),
    })
}
