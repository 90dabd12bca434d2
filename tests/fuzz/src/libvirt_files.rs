//! The target of what libvirt and its dnsmasq leave in files: leases, whose host names guests choose, and
//! the state of domains and networks.

use crate::one_line::one_line;
use crate::world::{write, World};
use crate::Reached;
use portero_firewall::Firewall;
use portero_libvirt::{Driver, Hook, Status};
use portero_port_forward::parse_leases;
use portero_xml::Element;

/// A guest on the network `lan` that has no reservation.
const DRIFT: &[u8] = b"<domain><name>drift</name><uuid>bbbbbbbb-0000-4000-8000-000000000012</uuid>\
<metadata><p:domain xmlns:p='urn:portero:1'><p:portForward proto='tcp'><p:range start='90'/>\
</p:portForward></p:domain></metadata><devices><interface type='network'>\
<mac address='52:54:00:00:50:12'/><source network='lan'/></interface></devices></domain>";

/// Any bytes as one of these files. The first chooses the firewall, and which.
pub fn libvirt_files(input: &[u8]) -> Reached {
    let Some((choice, file)) = input.split_first() else {
        return Reached::Nothing;
    };
    let firewall = if choice & 1 == 0 {
        Firewall::Iptables
    } else {
        Firewall::Nftables
    };
    match choice / 2 % 3 {
        0 => leases(firewall, file),
        1 => domain(firewall, file),
        _ => network(firewall, file),
    }
}

/// A guest starts that has an address by its lease, or waits for one.
fn leases(firewall: Firewall, file: &[u8]) -> Reached {
    const NOW: u64 = 1_800_000_000;
    let read = parse_leases(file, NOW);
    if let Ok(leases) = &read {
        let mut leases = leases.iter();
        assert!(leases.all(|lease| lease.expiry == 0 || lease.expiry > NOW));
    }
    let mut world = World::new(firewall);
    write(&world.paths().leases.join("br-lan.status"), file);
    let reached = world.hook(Hook::Domain(Driver::Qemu), "start", DRIFT);
    match (read, reached) {
        (Err(error), Reached::Nothing) => {
            one_line(&error);
            Reached::Refused
        }
        (Err(error), reached) => panic!("{reached:?} in spite of {error}"),
        (Ok(_), reached) => reached,
    }
}

/// A domain of this state is followed as portero-watch does, and everything is compared.
fn domain(firewall: Firewall, file: &[u8]) -> Reached {
    let is_read = is_cut_out(file, "domain");
    let mut world = World::new(firewall);
    write(
        &world.paths().running_domains(Driver::Qemu).join("web.xml"),
        file,
    );
    let name = "web".parse().expect("a name");
    let followed = world.engine(|engine| engine.follow_domain(Driver::Qemu, &name));
    world.settle();
    match followed {
        Err(error) => {
            one_line(&error);
            Reached::Refused
        }
        Ok(()) if is_read => Reached::Taken,
        Ok(()) => Reached::Nothing,
    }
}

/// A network of this state is all there is when everything is compared.
fn network(firewall: Firewall, file: &[u8]) -> Reached {
    let is_read = is_cut_out(file, "network");
    let mut world = World::new(firewall);
    write(&world.paths().libvirt_networks.join("new.xml"), file);
    world.settle();
    if is_read {
        Reached::Taken
    } else {
        Reached::Nothing
    }
}

/// Whether an object is found in a file; it has to be a part of it that begins and ends as an element.
fn is_cut_out(file: &[u8], name: &str) -> bool {
    let Some(status) = Status::read(file, name) else {
        return false;
    };
    let object = status.object;
    assert!(object.starts_with(&format!("<{name}")), "{object}");
    assert!(object.ends_with('>'), "{object}");
    assert_ne!(status.process, Some(0));
    Element::parse(object.as_bytes()).is_ok_and(|element| element.name() == name)
}
