//! Whose change of nftables it was, by the names of its table and chain: what others do in their own is no reason to look.

use crate::docker;
use crate::iptables::{Base, Table, CHAIN_PREFIX, LIBVIRT_CHAIN_PREFIX};
use crate::nftables::{LIBVIRT_TABLE, NAME, POLICY_NAME};

/// Whether a change in a table, or in a chain or set of it, may be one of portero's rules, or of what they stand before and
/// behind.
#[must_use]
pub fn concerns(table: &str, within: Option<&str>) -> bool {
    match (table, within) {
        (NAME | POLICY_NAME | LIBVIRT_TABLE, _) => true,
        // As iptables' nftables variant calls them.
        (table, _) if Table::ALL.iter().all(|known| known.name() != table) => false,
        // The table itself came or went.
        (_, None) => true,
        (_, Some(name)) => {
            Base::all().any(|base| base.built_in_chains().contains(&name))
                || name.starts_with(LIBVIRT_CHAIN_PREFIX)
                || name.starts_with(CHAIN_PREFIX)
                || [docker::DOCKER_USER, docker::CHAIN].contains(&name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::concerns;
    use crate::iptables::Base;

    #[test]
    fn what_portero_and_libvirt_have_concerns() {
        for (table, within) in [
            ("portero", Some("v4")),
            ("portero_policy", None),
            ("libvirt_network", Some("guest_input")),
            ("filter", Some("FORWARD")),
            ("filter", Some("LIBVIRT_FWI")),
            ("filter", Some("DOCKER-USER")),
            ("filter", Some("PORTERO_DOCKER")),
            ("nat", Some("PREROUTING")),
            ("nat", None),
        ] {
            assert!(concerns(table, within), "{table} {within:?}");
        }
        for base in Base::all() {
            assert!(concerns(base.table().name(), Some(base.chain())));
        }
    }

    #[test]
    fn what_others_have_does_not() {
        for (table, within) in [
            ("f2b", Some("banned")),
            ("firewalld", None),
            ("filter", Some("DOCKER")),
            ("filter", Some("ufw-user-input")),
            ("nat", Some("KUBE-SERVICES")),
            ("raw", Some("PREROUTING")),
        ] {
            assert!(!concerns(table, within), "{table} {within:?}");
        }
    }
}
