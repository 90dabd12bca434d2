//! Firewalls of others that stop what is forwarded.

use crate::world::World;
use portero_lab::{Backend, Program, Scenario, HOST_V4};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "another table of nftables drops",
        run: table,
    },
    Scenario {
        name: "another table of nftables drops the answers",
        run: answers,
    },
    Scenario {
        name: "docker's policy of FORWARD",
        run: docker,
    },
    Scenario {
        name: "ufw",
        run: ufw,
    },
    Scenario {
        name: "firewalld with StrictForwardPorts",
        run: firewalld,
    },
];

fn table(world: &mut World) {
    let said = world.breaks("firewalls", "nft insert rule inet blocker way ", |world| {
        let rules = "table inet blocker {
            set ports { type inet_service; flags interval; elements = { 22, 80-90 }; }
            chain judge { iifname \"eth0\" tcp dport @ports drop comment \"no web\"; }
            chain way { type filter hook forward priority 5; policy accept;
                ct state vmap { established : accept, related : accept, invalid : drop }
                meta nfproto ipv4 ip daddr 192.168.50.0/24 jump judge; }
        }";
        let file = world.lab.file("blocker.nft", rules);
        world.lab.must("nft", &["-f", &file]);
        assert!(world.finding("firewalls", "table inet blocker").is_some());
    });
    assert!(
        said.ends_with("ct original proto-dst 8080 accept"),
        "{said}"
    );
    let said = world.finding("firewalls", "").expect("found");
    assert_eq!(
        said,
        "nft insert rule inet blocker way ct status dnat accept"
    );
    world.mend(&said);
    assert_eq!(world.finding("firewalls", ""), None);
    world.lab.must("nft", &["delete table inet blocker"]);
}

fn answers(world: &mut World) {
    world.breaks("firewalls", "nft insert rule ip mute forward ", |world| {
        let rules = "table ip mute {
                chain forward {
                    type filter hook forward priority 0; policy accept;
                    iifname { \"br-lan\", \"br-other\" } tcp sport 80 counter drop
                }
            }";
        let file = world.lab.file("mute.nft", rules);
        world.lab.must("nft", &["-f", &file]);
    });
    world.lab.must("nft", &["delete table ip mute"]);
}

/// Runs a script of commands.
fn script(world: &World, lines: &[&str]) {
    world.lab.must("sh", &["-ec", &lines.join("\n")]);
}

fn docker(world: &mut World) {
    let chains = [
        "iptables -N DOCKER-USER",
        "iptables -N DOCKER",
        "iptables -A DOCKER-USER -j RETURN",
        "iptables -A FORWARD -i docker0 ! -o docker0 -j ACCEPT",
        "iptables -I FORWARD -o docker0 -j DOCKER",
        "iptables -I FORWARD -j DOCKER-USER",
        "iptables -P FORWARD DROP",
    ];
    let is_iptables = world.lab.backend() == Backend::Iptables;
    if is_iptables {
        // What libvirt and portero accept in iptables passes before its policy is asked.
        script(world, &chains);
        world.serves();
    }
    let said = world.breaks("firewalls", "iptables -I DOCKER-USER -p tcp ", |world| {
        if is_iptables {
            // As docker's manual has it for what published ports are reached by.
            script(
                world,
                &["iptables -I DOCKER-USER -i eth0 ! -s 192.0.2.0/24 -j DROP"],
            );
            let packet = world.explain_with(&["203.0.113.1:8080", "--from", "203.0.113.2"]);
            packet.fails("firewalls", "iptables -I DOCKER-USER");
            script(world, &["iptables -R DOCKER-USER 1 -i eth0 -j DROP"]);
        } else {
            script(world, &chains);
        }
        assert!(world.finding("firewalls", "docker's iptables").is_some());
    });
    assert!(said.ends_with("--ctorigdstport 8080 -j ACCEPT"), "{said}");
    let said = world
        .finding("firewalls", "docker's iptables")
        .expect("found");
    assert_eq!(
        said,
        "iptables -I DOCKER-USER -m conntrack --ctstate DNAT -j ACCEPT"
    );
    world.mend(&said);
    assert_eq!(world.finding("firewalls", ""), None);
    script(
        world,
        &[
            "iptables -P FORWARD ACCEPT",
            "iptables -D FORWARD -j DOCKER-USER",
            "iptables -D FORWARD -o docker0 -j DOCKER",
            "iptables -D FORWARD -i docker0 ! -o docker0 -j ACCEPT",
            "iptables -F DOCKER-USER",
            "iptables -X DOCKER-USER",
            "iptables -X DOCKER",
        ],
    );
}

/// What `ufw route allow` does to the rules.
const UFW: &str = "#!/bin/sh
[ \"$1 $2 $3\" = 'route allow proto' ] || exit 1
exec iptables -A ufw-user-forward -p \"$4\" -d \"$6\" --dport \"$8\" -j ACCEPT
";

fn ufw(world: &mut World) {
    fs::write("/usr/sbin/ufw", UFW).expect("ufw");
    fs::set_permissions("/usr/sbin/ufw", fs::Permissions::from_mode(0o755)).expect("chmod");
    let said = world.breaks("firewalls", "ufw route allow proto tcp to ", |world| {
        script(
            world,
            &[
                "for chain in before user after; do iptables -N ufw-$chain-forward; done",
                "iptables -A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
                "iptables -A ufw-before-forward -p icmp -j ACCEPT",
                "iptables -A ufw-before-forward -j ufw-user-forward",
                "iptables -A ufw-after-forward -m limit --limit 3/min -j LOG --log-prefix '[UFW BLOCK] '",
                "iptables -A ufw-after-forward -i eth0 -j DROP",
                "iptables -I FORWARD -j ufw-after-forward",
                "iptables -I FORWARD -j ufw-before-forward",
            ],
        );
        assert!(world.finding("firewalls", "ufw's iptables").is_some());
    });
    assert_eq!(said, "ufw route allow proto tcp to 192.168.50.10 port 80");
    script(
        world,
        &[
            "iptables -D FORWARD -j ufw-before-forward",
            "iptables -D FORWARD -j ufw-after-forward",
            "for chain in before user after; do iptables -F ufw-$chain-forward; done",
            "for chain in before user after; do iptables -X ufw-$chain-forward; done",
        ],
    );
    fs::remove_file("/usr/sbin/ufw").expect("ufw");
}

/// Whether this firewalld knows StrictForwardPorts (2.3 and later).
fn knows_strict(world: &World) -> bool {
    let version = world.lab.must("firewall-offline-cmd", &["--version"]);
    !version.trim().starts_with("1.") && !version.trim().starts_with("0.")
}

fn firewalld(world: &mut World) {
    let settings = "/etc/firewalld/firewalld.conf";
    let shipped = fs::read_to_string(settings).expect("firewalld.conf");
    let plain = shipped.replace("StrictForwardPorts=yes", "StrictForwardPorts=no");
    let strict = plain.replace("StrictForwardPorts=no", "") + "\nStrictForwardPorts=yes\n";
    assert_eq!(world.finding("firewalls", "StrictForwardPorts"), None);
    if !knows_strict(world) {
        // It would not listen to it; the setting is found all the same.
        fs::write(settings, strict).expect("firewalld.conf");
        let said = world
            .finding("firewalls", "StrictForwardPorts")
            .expect("found");
        let sed = said.split(" && ").next().expect("a command").to_owned();
        world.mend(&sed);
        assert_eq!(world.finding("firewalls", "StrictForwardPorts"), None);
        fs::write(settings, shipped).expect("firewalld.conf");
        return;
    }
    world.serves();
    fs::write(settings, strict).expect("firewalld.conf");
    let bus = world.lab.system_bus();
    let firewalld = Program::start("firewalld", &["--nofork", "--nopid"]);
    let end = Instant::now() + Duration::from_secs(30);
    while !world.lab.run("firewall-cmd", &["--state"]).ok {
        assert!(Instant::now() < end, "firewalld does not run");
        std::thread::sleep(Duration::from_millis(100));
    }
    world.lab.restart_libvirtd();
    world.not_reached(HOST_V4, 8080);
    assert!(world.finding("firewalls", "StrictForwardPorts").is_some());
    let said = world
        .explained("203.0.113.1:8080")
        .fails("firewalls", "firewall-cmd --reload");
    world.mend(&said);
    // A reload throws away what is not firewalld's own, where that is iptables.
    std::thread::sleep(Duration::from_secs(1));
    let again = world.explain_with(&["203.0.113.1:8080"]);
    if !again.is_whole() {
        let said = again.fails("rule", "portero sync");
        world.mend(&said);
    }
    world.serves();
    assert_eq!(world.finding("firewalls", ""), None);
    drop(firewalld);
    drop(bus);
    let tables = world.lab.must("nft", &["list", "tables"]);
    for table in tables.lines().filter(|line| line.ends_with(" firewalld")) {
        world.lab.must("nft", &[&format!("delete {table}")]);
    }
    fs::write(settings, shipped).expect("firewalld.conf");
    world.lab.restart_libvirtd();
    world.serves();
}
