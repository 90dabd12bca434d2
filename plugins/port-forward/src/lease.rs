//! Reads libvirt's lease files, /var/lib/libvirt/dnsmasq/BRIDGE.status
//! (written by src/network/leaseshelper.c).

use portero_libvirt::MacAddress;
use serde::Deserialize;
use std::net::IpAddr;

/// An address that dnsmasq has given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The guest's MAC address.
    pub mac: MacAddress,
    /// The address.
    pub address: IpAddr,
    /// When it ends, in seconds since 1970; 0 means never.
    pub expiry: u64,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "ip-address")]
    address: Option<IpAddr>,
    #[serde(rename = "mac-address")]
    mac: Option<String>,
    #[serde(rename = "expiry-time", default)]
    expiry: u64,
}

/// The leases of a file that have not ended at `now` (seconds since 1970).
///
/// An empty file holds none; entries that are not complete are passed over.
///
/// # Errors
/// When the file is not a JSON list of objects.
pub fn parse_leases(json: &[u8], now: u64) -> Result<Vec<Lease>, serde_json::Error> {
    if json.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    let entries: Vec<Entry> = serde_json::from_slice(json)?;
    Ok(entries
        .into_iter()
        .filter_map(|entry| {
            Some(Lease {
                mac: entry.mac?.parse().ok()?,
                address: entry.address?,
                expiry: entry.expiry,
            })
        })
        .filter(|lease| lease.expiry == 0 || lease.expiry > now)
        .collect())
}
