//! Where portero reads and writes.

use portero_libvirt::{Driver, InterfaceName};
use std::path::{Path, PathBuf};

/// The folders portero works in. A hook never takes them from its environment or arguments.
#[derive(Debug, Clone)]
pub struct Paths {
    /// portero's state; lives as long as the host's firewall, that is until the next boot.
    pub state: PathBuf,
    /// What has to outlive a boot: bridges that were made, and the files that were there before.
    pub bridges: PathBuf,
    /// The administrator's configuration.
    pub config: PathBuf,
    /// libvirt's configuration.
    pub libvirt: PathBuf,
    /// Where libvirt keeps its state, [`Paths::running_domains`] among it.
    pub libvirt_state: PathBuf,
    /// Where libvirt keeps the active networks, `NAME.xml` (`stateDir` of its network driver).
    pub libvirt_networks: PathBuf,
    /// The host's configuration, network files among it.
    pub etc: PathBuf,
    /// libvirt's lease files, `BRIDGE.status`.
    pub leases: PathBuf,
}

impl Default for Paths {
    fn default() -> Self {
        Self::below(Path::new("/"))
    }
}

impl Paths {
    /// Where a driver of libvirt's keeps its running domains, `NAME.xml` (its `stateDir`); not there before it has
    /// started once.
    #[must_use]
    pub fn running_domains(&self, driver: Driver) -> PathBuf {
        self.libvirt_state.join(driver.name())
    }

    /// Where a driver of libvirt's keeps the definitions of its domains, `NAME.xml` (its `configDir`).
    #[must_use]
    pub fn defined_domains(&self, driver: Driver) -> PathBuf {
        self.libvirt.join(driver.name())
    }

    /// What is kept of a bridge that portero has made.
    #[must_use]
    pub fn bridge_record(&self, bridge: &InterfaceName) -> PathBuf {
        self.bridges.join(bridge.as_str()).join("record.json")
    }

    /// The folders below a root, which is another one in tests.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        Self {
            state: root.join("run/portero"),
            bridges: root.join("var/lib/portero/bridges"),
            config: root.join("etc/portero"),
            libvirt: root.join("etc/libvirt"),
            libvirt_state: root.join("run/libvirt"),
            libvirt_networks: root.join("run/libvirt/network"),
            etc: root.join("etc"),
            leases: root.join("var/lib/libvirt/dnsmasq"),
        }
    }
}
