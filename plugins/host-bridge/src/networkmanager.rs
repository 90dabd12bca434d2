//! What NetworkManager takes by the type or by the name of an interface where no file says it.

use crate::format::Draft;
use std::hash::Hasher;

/// Types of interfaces, as far as a bridge can be made of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Device {
    Ethernet,
    Bond,
    Team,
    Vlan,
}

/// A version of IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ip {
    V4,
    V6,
}

/// The metric of the routes of the first NIC: a bridge's default is 425 (nm_device_get_route_metric_default).
pub(crate) fn route_metric(draft: &Draft<'_>, device: Device, ip: Ip) -> String {
    let default = match device {
        Device::Ethernet => 100,
        Device::Bond => 300,
        Device::Team => 350,
        Device::Vlan => 400,
    };
    let state = &draft.nics[0].state;
    let metric = match ip {
        Ip::V4 => state.metric,
        Ip::V6 => state.metric_v6,
    };
    metric.unwrap_or(default).to_string()
}

/// The number that stands for an interface of this name in a DHCP identity (`dhcp-iaid=ifname`,
/// nm_utils_create_dhcp_iaid).
pub(crate) fn iaid(name: &str) -> String {
    const KEY: [u64; 2] = [0xee03_4afe_c28c_1180, 0x0914_3936_6f0c_d63e];
    #[allow(
        deprecated,
        reason = "it is SipHash 2-4, which no other of std is promised to be"
    )]
    let mut hasher = std::hash::SipHasher::new_with_keys(KEY[0], KEY[1]);
    hasher.write(name.as_bytes());
    let hash = hasher.finish().to_be_bytes();
    let half = |from: usize| {
        u32::from_be_bytes([hash[from], hash[from + 1], hash[from + 2], hash[from + 3]])
    };
    (half(0) ^ half(4)).to_string()
}

#[cfg(test)]
mod tests {
    use super::iaid;

    /// The identities `ff:9f:6e:85:24:...` and `ff:b5:5e:67:ff:...` of interfaces with these names.
    #[test]
    fn the_number_of_a_name() {
        assert_eq!(iaid("ens160"), 0x9f6e_8524_u32.to_string());
        assert_eq!(iaid("ens3"), 0xb55e_67ff_u32.to_string());
    }
}
