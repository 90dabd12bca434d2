//! Firewalls that run on the machine as their packages start them, beside libvirt's nftables: what `portero
//! explain` says of a port is what becomes of a packet from outside, and the command that it names opens the port.

use crate::world::{Served, World, BOX, BOX_PORT};
use portero_lab::{Scenario, GIVEN};

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "docker beside guests",
        run: docker,
    },
    Scenario {
        name: "ufw beside guests",
        run: ufw,
    },
    Scenario {
        name: "firewalld on nftables beside guests",
        run: |world| firewalld(world, "nftables"),
    },
    Scenario {
        name: "firewalld on iptables beside guests",
        run: |world| firewalld(world, "iptables"),
    },
    Scenario {
        name: "docker beside guests whose libvirt is on iptables",
        run: |world| on_iptables(world, docker),
    },
    Scenario {
        name: "ufw beside guests whose libvirt is on iptables",
        run: |world| on_iptables(world, ufw),
    },
    Scenario {
        name: "firewalld on nftables beside guests whose libvirt is on iptables",
        run: |world| on_iptables(world, |world| firewalld(world, "nftables")),
    },
    Scenario {
        name: "firewalld on iptables beside guests whose libvirt is on iptables",
        run: |world| on_iptables(world, |world| firewalld(world, "iptables")),
    },
];

/// What docker's own container is reached by.
const SHOP: Served = (8090, "shop tcp 80");

/// What neither libvirt nor portero knows of, and others lead to: a firewall stops it unless somebody allows it.
const POD: Served = (8099, "pod tcp 80");

/// A program of the machine's own.
const OWN: Served = (9000, "host tcp 9000");

/// firewalld's settings.
const FIREWALLD: &str = "/etc/firewalld/firewalld.conf";

/// What `firewall-cmd --reload` does, which waits half a minute only: with iptables firewalld calls it once for each rule.
const RELOAD: &str =
    "busctl --timeout=500 call org.fedoraproject.FirewallD1 /org/fedoraproject/FirewallD1 \
     org.fedoraproject.FirewallD1 reload";

/// Where a firewall stops the forward, explain names the command that opens it, and the command does.
fn is_opened(world: &World, when: &str) {
    let explained = world.explains(BOX_PORT);
    if explained.reached {
        println!("  {when}: served");
        return;
    }
    println!("  {when}: {}", explained.mend);
    assert_eq!(explained.fails, "firewalls", "{when}");
    world.vm.must(&explained.mend);
    world.serves(BOX_PORT);
    let explained = world.explains(BOX_PORT);
    assert!(explained.reached, "{when}");
}

/// Whatever was in the firewalls goes, and libvirt and portero begin anew with their own.
fn begin_anew(world: &World) {
    world
        .vm
        .must("nft flush ruleset && systemctl restart libvirtd && virsh list");
    world.serves(BOX_PORT);
}

/// The control: a port of the host's that is led to a machine on a bridge of its own.
fn begin_pod(world: &World) {
    world.vm.must(&format!(
        "ip netns add pod && ip link add pod0 type veth peer name eth0 netns pod && ip link set pod0 up && \
         ip address add 192.168.77.1/24 dev pod0 && ip -n pod link set lo up && \
         ip -n pod address add 192.168.77.2/24 dev eth0 && ip -n pod link set eth0 up && \
         ip -n pod route add default via 192.168.77.1 && \
         systemd-run -q --unit lab-pod ip netns exec pod {GIVEN}/agent serve pod && \
         iptables -t nat -A PREROUTING -p tcp --dport {} -j DNAT --to-destination 192.168.77.2:80",
        POD.0
    ));
    world.serves(POD);
}

fn end_pod(world: &World) {
    world
        .vm
        .must("systemctl stop lab-pod && ip netns delete pod");
}

fn docker(world: &mut World) {
    world.has_portero();
    world.serves(BOX_PORT);
    world.refuses(SHOP);
    begin_pod(world);
    // Docker has FORWARD drop where it is docker that lets the machine forward, as when it starts first.
    world
        .vm
        .must("sysctl -q -w net.ipv4.ip_forward=0 && systemctl start docker");
    world.refuses(POD);
    world.vm.must(&format!(
        "tar -C {GIVEN}/containers/box -c . | docker import - lab && \
         docker run -d --name shop -p 8090:80 lab /agent serve shop"
    ));
    world.serves(SHOP);
    is_opened(world, "docker after the guest");
    world.serves(SHOP);
    // The guest after docker, whose rules are without what opened the port.
    world
        .vm
        .must("iptables -F DOCKER-USER; iptables -A DOCKER-USER -j RETURN");
    world.vm.must("virsh -c lxc:///system destroy box");
    world.refuses(BOX_PORT);
    world.vm.must("virsh -c lxc:///system start box");
    world.vm.wait_guest(BOX);
    is_opened(world, "the guest after docker");
    world.serves(SHOP);
    world.refuses(POD);
    end_pod(world);
    world.vm.must(
        "docker rm -f shop && systemctl stop docker docker.socket containerd && ip link delete docker0",
    );
    begin_anew(world);
}

fn ufw(world: &mut World) {
    world.has_portero();
    world.serves(BOX_PORT);
    begin_pod(world);
    world.vm.must("ufw allow 22/tcp && ufw --force enable");
    world.refuses(POD);
    is_opened(world, "ufw after libvirt");
    world.vm.must("systemctl restart libvirtd && virsh list");
    is_opened(world, "libvirt after ufw");
    world.refuses(POD);
    end_pod(world);
    world.vm.must("ufw --force reset && ufw disable");
    begin_anew(world);
}

fn firewalld(world: &mut World, backend: &str) {
    world.has_portero();
    world.serves(BOX_PORT);
    world.vm.must(&format!(
        "systemd-run -q --unit lab-own {GIVEN}/agent listen 0.0.0.0:{}; cp -p {FIREWALLD} {FIREWALLD}.lab",
        OWN.0
    ));
    world.serves(OWN);
    set(world, "FirewallBackend", backend);
    world.vm.must("systemctl start firewalld");
    // The control: it stops what nobody has allowed.
    world.refuses(OWN);
    is_opened(world, "firewalld after libvirt");
    world.vm.must("systemctl restart libvirtd && virsh list");
    is_opened(world, "libvirt after firewalld");
    world.vm.must("virsh -c lxc:///system destroy box");
    world.refuses(BOX_PORT);
    world.vm.must("virsh -c lxc:///system start box");
    world.vm.wait_guest(BOX);
    is_opened(world, "the guest after firewalld");
    world.vm.must(RELOAD);
    is_opened(world, "firewalld reloaded");
    // Where it is told to stop what others forward.
    set(world, "StrictForwardPorts", "yes");
    world.vm.must(RELOAD);
    if backend == "nftables" || is_in_nftables(world, "inet portero") {
        world.refuses(BOX_PORT);
    } else {
        // Where both are in iptables' tables, portero's rules come first.
        world.serves(BOX_PORT);
    }
    is_opened(world, "firewalld with StrictForwardPorts");
    world.refuses(OWN);
    world.vm.must(&format!(
        "systemctl stop firewalld lab-own && mv {FIREWALLD}.lab {FIREWALLD}"
    ));
    begin_anew(world);
}

/// Changes a setting of firewalld's, which reads it when it starts or is reloaded.
fn set(world: &World, setting: &str, value: &str) {
    world.vm.must(&format!(
        "sed -i 's/^{setting}=.*/{setting}={value}/' {FIREWALLD} && grep -qx {setting}={value} {FIREWALLD}"
    ));
}

/// A scenario with a libvirt, and a portero, whose rules are in iptables.
pub fn on_iptables(world: &mut World, scenario: fn(&mut World)) {
    world.has_portero();
    has_backend(world, "iptables");
    scenario(world);
    has_backend(world, "nftables");
}

/// Has libvirt take another firewall, and portero follow.
fn has_backend(world: &World, backend: &str) {
    world.vm.must(&format!(
        "sed -i 's/^firewall_backend = .*/firewall_backend = \"{backend}\"/' /etc/libvirt/network.conf && \
         grep -q {backend} /etc/libvirt/network.conf"
    ));
    begin_anew(world);
    for table in ["ip libvirt_network", "inet portero"] {
        assert_eq!(
            is_in_nftables(world, table),
            backend == "nftables",
            "{table}"
        );
    }
}

fn is_in_nftables(world: &World, table: &str) -> bool {
    let listed = format!("nft list tables | grep -qx 'table {table}'");
    world.vm.run(&listed).ok
}
