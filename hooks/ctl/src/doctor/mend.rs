//! Commands that mend what was found, as a shell takes them.

use portero_inventory::ActiveNetwork;
use portero_trace::word;
use portero_xml::NAMESPACE;

/// What brings the firewall to what is wanted.
pub(super) const SYNC: &str = "portero sync";

/// Gives a network the policy that says no more than libvirt does, and so closes what libvirt leaves
/// open without saying it.
pub(super) fn plain_policy(network: &ActiveNetwork) -> String {
    if let Ok(Some(_)) = &network.written {
        return SYNC.to_owned();
    }
    let file = network.file.display().to_string();
    if network.has_file {
        return format!("write <portero:policy/> into {file}, then {SYNC}");
    }
    let policy = format!("<network xmlns=\"{NAMESPACE}\"><policy/></network>");
    format!("echo {} > {} && {SYNC}", word(&policy), word(&file))
}
