//! Addresses as iptables prints them, so that rules are compared as text.

use ipnet::IpNet;
use std::net::IpAddr;

/// A network as iptables prints it.
pub(crate) fn network(net: IpNet) -> String {
    let net = net.trunc();
    format!("{}/{}", address(net.addr()), net.prefix_len())
}

/// An address as iptables prints it: in IPv6 as inet_ntop(3) of glibc, which writes those of which 32
/// bits are left as IPv4.
pub(crate) fn address(address: IpAddr) -> String {
    match address {
        IpAddr::V6(address) => match address.segments() {
            [0, 0, 0, 0, 0, 0, high, _] if high != 0 => {
                let [.., a, b, c, d] = address.octets();
                format!("::{a}.{b}.{c}.{d}")
            }
            _ => address.to_string(),
        },
        IpAddr::V4(address) => address.to_string(),
    }
}
