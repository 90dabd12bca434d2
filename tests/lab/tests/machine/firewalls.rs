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
];

/// What docker's own container is reached by.
const SHOP: Served = (8090, "shop tcp 80");

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

fn docker(world: &mut World) {
    world.has_portero();
    world.serves(BOX_PORT);
    world.refuses(SHOP);
    world.vm.must("systemctl start docker");
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
    world.vm.must(
        "docker rm -f shop && systemctl stop docker docker.socket containerd && ip link delete docker0",
    );
    begin_anew(world);
}

fn ufw(world: &mut World) {
    world.has_portero();
    world.serves(BOX_PORT);
    world.vm.must("ufw allow 22/tcp && ufw --force enable");
    is_opened(world, "ufw after libvirt");
    world.vm.must("systemctl restart libvirtd && virsh list");
    is_opened(world, "libvirt after ufw");
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
    world.refuses(BOX_PORT);
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
