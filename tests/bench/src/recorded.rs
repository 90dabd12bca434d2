//! The XML that libvirt hands to the hooks, for guests and networks of any size.

use std::fmt::Write as _;

/// The name of the one network all guests are on.
pub const NETWORK: &str = "default";
/// The name of another one.
pub const OTHER_NETWORK: &str = "other";
/// The bridge of the one that all guests are on.
pub const BRIDGE: &str = "virbr0";
/// The address of the bridge.
pub const BRIDGE_ADDRESS: &str = "10.0.0.1";
/// The prefix length of the network: room for thousands of guests.
pub const PREFIX: u8 = 16;

/// A guest that exists only as the XML of its events.
#[derive(Debug, Clone)]
pub struct Guest {
    /// Its number; name, UUID, MAC and address follow from it.
    pub number: u32,
    /// The first of its host ports.
    pub first_port: u32,
    /// How many forwards it has, one port each; none means no portero metadata at all.
    pub forwards: u32,
}

impl Guest {
    /// The only guest there is, with so many forwards.
    #[must_use]
    pub fn alone(forwards: u32) -> Self {
        Self {
            number: forwards,
            first_port: 20_000,
            forwards,
        }
    }

    /// The name of the domain.
    #[must_use]
    pub fn name(&self) -> String {
        format!("guest{}", self.number)
    }

    /// The address that the network's reservation gives it.
    #[must_use]
    pub fn address(&self) -> String {
        let host = self.number + 256;
        format!("10.0.{}.{}", host / 256, host % 256)
    }

    /// Its forwards as pairs of host port and guest port.
    pub fn ports(&self) -> impl Iterator<Item = (u32, u32)> {
        let first = self.first_port;
        // The guest port differs, as it mostly does, so that no range could be joined into one.
        (0..self.forwards).map(move |index| (first + index, 10_000 + index * 2))
    }

    /// The domain XML, as the qemu hook gets it.
    #[must_use]
    pub fn domain_xml(&self) -> String {
        let mut ranges = String::new();
        for (host, guest) in self.ports() {
            let _ = writeln!(
                ranges,
                "        <portero:range start='{host}' to='{guest}'/>"
            );
        }
        let metadata = if ranges.is_empty() {
            String::new()
        } else {
            format!(
                "  <metadata>\n    <portero:domain xmlns:portero='urn:portero:1'>\n      \
                 <portero:portForward proto='tcp'>\n{ranges}      </portero:portForward>\n    \
                 </portero:domain>\n  </metadata>\n"
            )
        };
        format!(
            "<domain type='kvm' id='1'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
{metadata}  <memory unit='KiB'>1048576</memory>
  <vcpu placement='static'>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <interface type='network'>
      <mac address='{mac}'/>
      <source network='{NETWORK}' portid='{port}' bridge='{BRIDGE}'/>
      <target dev='vnet{number}'/>
      <model type='virtio'/>
    </interface>
  </devices>
</domain>
",
            name = self.name(),
            uuid = self.uuid(),
            mac = self.mac(),
            port = self.port_uuid(),
            number = self.number,
        )
    }

    /// The hook data of this guest's port on a network with reservations for `reserved`.
    #[must_use]
    pub fn port_xml(&self, reserved: &[Guest]) -> String {
        format!(
            "<hookData>
{network}<networkport>
  <uuid>{port}</uuid>
  <owner><name>{name}</name><uuid>{uuid}</uuid></owner>
  <mac address='{mac}'/>
</networkport>
</hookData>
",
            network = network_xml(reserved),
            port = self.port_uuid(),
            name = self.name(),
            uuid = self.uuid(),
            mac = self.mac(),
        )
    }

    fn uuid(&self) -> String {
        format!("11111111-1111-4111-8111-{:012x}", self.number)
    }

    fn port_uuid(&self) -> String {
        format!("33333333-3333-4333-8333-{:012x}", self.number)
    }

    fn mac(&self) -> String {
        let number = self.number;
        format!("52:54:00:00:{:02x}:{:02x}", number / 256, number % 256)
    }
}

/// The hook data of the network itself, with reservations for `reserved`.
#[must_use]
pub fn network_data(reserved: &[Guest]) -> String {
    format!("<hookData>\n{}</hookData>\n", network_xml(reserved))
}

/// The hook data of the network as a routed one whose policy has so many rules about addresses: none
/// is the client's but the last.
#[must_use]
pub fn policy_network_data(rules: u32) -> String {
    let mut text = String::new();
    let others = (1..rules).map(|number| format!("198.18.{}.{}", number / 200, number % 200 + 1));
    for address in others.chain(["203.0.113.2".to_owned()]) {
        let _ = writeln!(
            text,
            "<portero:rule action='accept' direction='in'><portero:peer address='{address}'/>\
             <portero:udp dstportstart='5000'/></portero:rule>"
        );
    }
    let policy = format!(
        "<name>{NETWORK}</name><metadata><portero:network xmlns:portero='urn:portero:1'>\
         <portero:policy><portero:default in='reject'/>{text}</portero:policy></portero:network>\
         </metadata>"
    );
    network_data(&[])
        .replace(&format!("<name>{NETWORK}</name>"), &policy)
        .replace("mode='nat'", "mode='route'")
}

/// The same of another network.
#[must_use]
pub fn other_policy_network_data(rules: u32) -> String {
    [
        (NETWORK, OTHER_NETWORK),
        ("22222222-2222-", "22222222-3333-"),
        (BRIDGE, "virbr9"),
        (BRIDGE_ADDRESS, "10.9.0.1"),
    ]
    .iter()
    .fold(policy_network_data(rules), |data, (of_one, of_other)| {
        data.replace(&format!("'{of_one}'"), &format!("'{of_other}'"))
            .replace(&format!(">{of_one}"), &format!(">{of_other}"))
    })
}

fn network_xml(reserved: &[Guest]) -> String {
    let mut hosts = String::new();
    for guest in reserved {
        let _ = writeln!(
            hosts,
            "      <host mac='{}' ip='{}'/>",
            guest.mac(),
            guest.address()
        );
    }
    format!(
        "<network>
  <name>{NETWORK}</name>
  <uuid>22222222-2222-4222-8222-222222222222</uuid>
  <forward mode='nat'/>
  <bridge name='{BRIDGE}' stp='on' delay='0'/>
  <ip address='{BRIDGE_ADDRESS}' prefix='{PREFIX}'>
    <dhcp>
      <range start='10.0.0.2' end='10.0.0.254'/>
{hosts}    </dhcp>
  </ip>
</network>
"
    )
}
