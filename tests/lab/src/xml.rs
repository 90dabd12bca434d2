//! XML of networks and domains, short enough to read in a test.

use std::fmt::Write;

/// A network.
#[derive(Debug, Clone, Copy)]
pub struct NetworkXml<'a> {
    /// Its name; its bridge is called `br-NAME`.
    pub name: &'a str,
    /// `nat`, `route`, `open`, or empty for an isolated network.
    pub mode: &'a str,
    /// Third octet of 192.168.X.0/24, and last part of fd00:X::/64.
    pub number: u8,
    /// DHCP reservations: MAC address and last octet.
    pub reservations: &'a [(&'a str, u8)],
    /// What stands in `<portero:network>`; nothing when empty.
    pub portero: &'a str,
}

/// A domain.
#[derive(Debug, Clone, Copy)]
pub struct DomainXml<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its interfaces: network and MAC address.
    pub nics: &'a [(&'a str, &'a str)],
    /// Number of the first network and last part of the guest's IPv6 address there. Such a guest
    /// tries to get out by the host's address also where DHCP tells of no way.
    pub v6: Option<(u8, u8)>,
    /// What stands in `<portero:domain>`; nothing when empty.
    pub portero: &'a str,
}

pub(crate) fn metadata(kind: &str, content: &str) -> String {
    if content.is_empty() {
        return String::new();
    }
    format!(
        "<metadata><portero:{kind} xmlns:portero='urn:portero:1'>{content}</portero:{kind}></metadata>"
    )
}

/// The same name is the same object, so that it can be defined anew.
pub(crate) fn uuid_of(name: &str) -> String {
    let mut uuid = [b'_'; 8];
    for (to, from) in uuid.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    let uuid: String = uuid.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("00000000-0000-4000-{}-{}", &uuid[..4], &uuid[4..])
}

/// The XML of a network. Its bridge has the same MAC address on all hosts, so that a guest that moves
/// finds its router where it was.
#[must_use]
pub fn network(network: &NetworkXml<'_>) -> String {
    let NetworkXml {
        name, mode, number, ..
    } = network;
    let forward = match *mode {
        "" => String::new(),
        mode => format!("<forward mode='{mode}'/>"),
    };
    let mut hosts = String::new();
    for (mac, octet) in network.reservations {
        write!(hosts, "<host mac='{mac}' ip='192.168.{number}.{octet}'/>").expect("a string");
    }
    format!(
        "<network><name>{name}</name><uuid>{}</uuid>{}{forward}<bridge name='br-{name}' stp='off' delay='0'/>\
         <mac address='52:54:00:ff:{number:02x}:01'/>\
         <ip address='192.168.{number}.1' netmask='255.255.255.0'><dhcp>\
         <range start='192.168.{number}.100' end='192.168.{number}.200'/>{hosts}</dhcp></ip>\
         <ip family='ipv6' address='fd00:{number}::1' prefix='64'/></network>",
        uuid_of(name),
        metadata("network", network.portero)
    )
}

/// The interfaces of a domain, with what else stands in each.
pub(crate) fn interfaces(domain: &DomainXml<'_>, inside: &str) -> String {
    let mut nics = String::new();
    for (network, mac) in domain.nics {
        write!(
            nics,
            "<interface type='network'><mac address='{mac}'/><source network='{network}'/>{inside}</interface>"
        )
        .expect("a string");
    }
    nics
}

/// What runs a guest's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Processor {
    /// QEMU emulates one.
    Emulated,
    /// The host's own, by KVM.
    Hosts,
}

/// What the guests' kernel is told: to leave out what takes an emulated processor long and a guest of the lab needs not.
const CMDLINE: &str =
    "console=ttyS0 quiet panic=1 mitigations=off no_timer_check cryptomgr.notests \
     initcall_blacklist=init_kprobe_trace,load_system_certificate_list";

/// The XML of a domain that boots `kernel` and `initrd` on a processor and logs its console to `console`.
#[must_use]
pub fn domain(
    domain: &DomainXml<'_>,
    processor: Processor,
    (kernel, initrd): (&str, &str),
    console: &str,
) -> String {
    // Where virtualization is emulated a guest falls down in one of ten boots; as on a real host it gets up again.
    let (kind, cpu, at_reset) = match processor {
        Processor::Emulated => ("qemu", "", "destroy"),
        Processor::Hosts => ("kvm", "<cpu mode='host-passthrough'/>", "restart"),
    };
    let name = domain.name;
    let uuid = uuid_of(name);
    let nics = interfaces(domain, "<model type='virtio'/>");
    let v6 = domain.v6.map_or(String::new(), |(number, last)| {
        format!(" lab.v6=fd00:{number}::{last} lab.gw6=fd00:{number}::1 lab.gw4=192.168.{number}.1")
    });
    format!(
        "<domain type='{kind}'><name>{name}</name><uuid>{uuid}</uuid>{}<memory unit='MiB'>128</memory><vcpu>1</vcpu>\
         <os><type arch='x86_64' machine='pc'>hvm</type><kernel>{kernel}</kernel>\
         <initrd>{initrd}</initrd>\
         <cmdline>{CMDLINE} lab.name={name}{v6}</cmdline></os>\
         <features><acpi/></features>{cpu}<on_crash>destroy</on_crash><on_reboot>{at_reset}</on_reboot>\
         <devices>{nics}<serial type='file'><source path='{console}'/></serial>\
         <controller type='usb' model='none'/><memballoon model='none'/></devices></domain>",
        metadata("domain", domain.portero)
    )
}
