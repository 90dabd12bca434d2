//! Forwards outlive what happens to libvirt, and end with their guest.

use crate::world::{web, Flush, World, FORWARDS, WEB};
use portero_lab::{
    wait_until, Backend, DomainXml, From, Lab, NetworkXml, Proto, Scenario, HOST_V4,
};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use Proto::{Tcp, Udp};

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "net-destroy and net-start under a running guest",
        run: network_restart,
    },
    Scenario {
        name: "a restart of libvirtd",
        run: daemon_restart,
    },
    Scenario {
        name: "a flushed firewall and a restart of libvirtd",
        run: flush_and_restart,
    },
    Scenario {
        name: "a daemon that has neither networks nor guests starts",
        run: helper_daemon,
    },
    Scenario {
        name: "a second network that starts later",
        run: second_network,
    },
    Scenario {
        name: "libvirt is told to use the other firewall",
        run: other_firewall,
    },
    Scenario {
        name: "metadata that vanishes while the guest runs",
        run: metadata_vanishes,
    },
    Scenario {
        name: "a UDP client that keeps its port sees the forward come and go",
        run: udp_conntrack,
    },
    Scenario {
        name: "a guest without a reservation: pending, then served",
        run: pending,
    },
    Scenario {
        name: "an interface that is plugged in",
        run: plugged,
    },
    Scenario {
        name: "an interface that is unplugged",
        run: unplugged,
    },
    Scenario {
        name: "an interface that is unplugged by a hook that is killed",
        run: unplugged_by_a_killed_hook,
    },
];

fn network_restart(world: &mut World) {
    world.running_web();
    world.serves();
    world.lab.virsh(&["net-destroy", "lan"]);
    world.lab.refuses(From::Outside, Tcp, HOST_V4, 8080);
    let rules = world.lab.rules();
    assert!(
        !rules.to_lowercase().contains("portero"),
        "rules without a network:\n{rules}"
    );
    world.lab.virsh(&["net-start", "lan"]);
    world.serves();
    world.lab.is_in_order();
}

fn daemon_restart(world: &mut World) {
    world.running_web();
    world.lab.restart_libvirtd();
    world.serves();
    world.lab.is_in_order();
}

fn flush_and_restart(world: &mut World) {
    world.running_web();
    world.flush(Flush::Rules);
    world.lab.refuses(From::Outside, Tcp, HOST_V4, 8080);
    world.lab.restart_libvirtd();
    world.serves();
    world.lab.is_in_order();
    world.flush(Flush::Everything);
    world.lab.restart_libvirtd();
    world.serves();
    world.lab.is_in_order();
    world.stop_web();
    world.is_untouched_after_flushes();
}

/// Each daemon of a libvirt that is divided runs the daemon hook.
fn helper_daemon(world: &mut World) {
    world.running_web();
    let starts = |name: &str| {
        let program = format!("/run/lab/files/{name}");
        world.lab.must("cp", &["/bin/sh", &program]);
        // It has something to do after the hook, and so is its parent.
        let hook = "/etc/libvirt/hooks/daemon.d/50-portero - start begin -; exit 0";
        world.lab.must(&program, &["-c", hook]);
        world.lab.must("rm", &[&program]);
    };
    world.flush(Flush::Rules);
    world.lab.refuses(From::Outside, Tcp, HOST_V4, 8080);
    let flushed = world.lab.rules();
    for name in ["virtproxyd", "virtnodedevd", "virtsecretd"] {
        starts(name);
        assert_eq!(world.lab.rules(), flushed, "{name}");
    }
    starts("virtqemud");
    let rules = world.lab.rules();
    assert!(rules.contains("8080"), "{rules}");
    world.lab.restart_libvirtd();
    world.serves();
    world.lab.is_in_order();
}

fn second_network(world: &mut World) {
    world.running_web();
    world.lab.start_network(&NetworkXml {
        name: "late",
        mode: "nat",
        number: 90,
        reservations: &[],
        portero: "",
    });
    world.serves();
    world.lab.is_in_order();
    world.lab.virsh(&["net-destroy", "late"]);
    world.lab.virsh(&["net-undefine", "late"]);
    world.serves();
    world.lab.is_in_order();
}

fn other_firewall(world: &mut World) {
    let first = world.lab.backend();
    if !world.lab.can_switch_backend() {
        // libvirt before 10.4 has one firewall: portero follows the kernel, not a setting that
        // libvirt does not know.
        world.lab.configure_backend(first.other());
        world.lab.restart_libvirtd();
        world.running_web();
        world.serves();
        world.lab.is_in_order();
        world.lab.configure_backend(first);
        world.stop_web();
        return world.is_untouched();
    }
    world.running_web();
    world.serves();
    let rules_of = |world: &World, backend: Backend| match backend {
        Backend::Iptables => {
            world.lab.must("iptables-save", &[]) + &world.lab.must("ip6tables-save", &[])
        }
        Backend::Nftables => world.lab.must("nft", &["list", "ruleset", "inet"]),
    };
    let is_in = |world: &World, backend| {
        let rules = rules_of(world, backend).to_lowercase();
        rules.contains("portero")
    };
    assert!(is_in(world, first) && !is_in(world, first.other()));
    // With the guest running, and back again.
    for backend in [first.other(), first] {
        world.lab.use_backend(backend);
        world.serves();
        world.lab.is_in_order();
        assert!(is_in(world, backend) && !is_in(world, backend.other()));
    }
    // And while nobody has a forward.
    world.stop_web();
    world.lab.use_backend(first.other());
    world.lab.refuses(From::Outside, Tcp, HOST_V4, 8080);
    world.start_web(FORWARDS);
    world.serves();
    world.lab.is_in_order();
    assert!(is_in(world, first.other()) && !is_in(world, first));
    world.stop_web();
    assert!(!is_in(world, first.other()) && !is_in(world, first));
    // libvirt leaves its empty chains in the firewall it no longer uses.
    world.flush(Flush::Everything);
    world.lab.must("nft", &["flush", "ruleset"]);
    world.lab.use_backend(first);
    world.untouched = world.lab.rules();
    world.start_web(FORWARDS);
    world.serves();
    world.stop_web();
    world.is_untouched();
}

fn metadata_vanishes(world: &mut World) {
    world.running_web();
    world.lab.virsh(&[
        "metadata",
        "web",
        "--uri",
        "urn:portero:1",
        "--remove",
        "--live",
        "--config",
    ]);
    world.serves();
    world.stop_web();
    world.lab.refuses(From::Outside, Tcp, HOST_V4, 8080);
    world.is_untouched();
}

fn udp_conntrack(world: &mut World) {
    let lab = &world.lab;
    lab.define(&web(FORWARDS));
    let ask = || {
        lab.outside(
            "/run/lab/files/agent",
            &["probe", "udp", HOST_V4, "8080", "300", "40000"],
        )
    };
    assert!(!ask().ok, "nobody is there yet");
    let tracked = || lab.must("conntrack", &["-L", "-p", "udp", "--orig-port-dst", "8080"]);
    assert!(
        tracked().contains("sport=40000"),
        "the control is not tracked: {}",
        tracked()
    );
    lab.virsh(&["start", "web"]);
    // The client never pauses, so its entry never times out by itself.
    let end = std::time::Instant::now() + Duration::from_secs(30);
    while !ask().ok {
        assert!(
            std::time::Instant::now() < end,
            "the client never sees the forward"
        );
    }
    assert!(tracked().contains("src=192.168.50.10"), "{}", tracked());
    world.stop_web();
    assert!(!tracked().contains("src=192.168.50.10"), "{}", tracked());
    assert!(!ask().ok);
    world.is_untouched();
}

fn pending(world: &mut World) {
    let lab = &world.lab;
    let _ = lab.log();
    lab.define(&DomainXml {
        name: "drift",
        nics: &[("far", "52:54:00:00:60:77")],
        v6: None,
        portero: "<portero:portForward proto='tcp'><portero:range start='8077' to='80'/></portero:portForward>",
    });
    lab.virsh(&["start", "drift"]);
    let warned = lab.log().join("\n");
    assert!(
        warned.contains("not forwarded yet"),
        "no warning in the log: {warned}"
    );
    let status = lab.must("portero", &["status"]);
    assert!(status.contains("pending"), "{status}");
    let leases = "/var/lib/libvirt/dnsmasq/br-far.status";
    let end = std::time::Instant::now() + Duration::from_secs(30);
    while !std::fs::read_to_string(leases)
        .unwrap_or_default()
        .contains("60:77")
    {
        assert!(std::time::Instant::now() < end, "no lease");
        std::thread::sleep(Duration::from_millis(100));
    }
    lab.refuses(From::Outside, Tcp, HOST_V4, 8077);
    // Any event that knows: here one of the network it is on.
    lab.virsh(&[
        "net-update",
        "far",
        "add",
        "dns-host",
        "<host ip='192.168.60.1'><hostname>gate</hostname></host>",
        "--live",
    ]);
    lab.answers(From::Outside, Tcp, HOST_V4, 8077, "drift tcp 80");
    world.lab.is_in_order();
    lab.virsh(&["destroy", "drift"]);
    lab.refuses(From::Outside, Tcp, HOST_V4, 8077);
    lab.virsh(&["undefine", "drift"]);
    world.is_untouched();
}

fn plugged(world: &mut World) {
    let lab = &world.lab;
    lab.define(&DomainXml {
        name: "web",
        nics: &[],
        v6: None,
        portero: "<portero:portForward proto='tcp'><portero:range start='8087' to='80'/></portero:portForward>",
    });
    lab.virsh(&["start", "web"]);
    // Its kernel has to run before it can take an interface.
    let console = "/run/lab/files/web.console";
    wait_until(Duration::from_secs(60), "web does not boot", || {
        std::fs::read_to_string(console).is_ok_and(|text| text.contains("web serves"))
    });
    lab.refuses(From::Outside, Tcp, HOST_V4, 8087);
    let mac = "52:54:00:00:50:10";
    let plug = [
        "attach-interface",
        "web",
        "network",
        "lan",
        "--model",
        "virtio",
        "--live",
    ];
    lab.virsh(&[&plug[..], &["--mac", mac]].concat());
    lab.answers(From::Outside, Tcp, HOST_V4, 8087, "web tcp 80");
    world.lab.is_in_order();
    world.stop_web();
    lab.refuses(From::Outside, Tcp, HOST_V4, 8087);
    world.is_untouched();
}

fn unplugged(world: &mut World) {
    let lab = &world.lab;
    lab.define(&web(
        "<portero:portForward proto='udp' interface='52:54:00:00:50:10'><portero:range start='8087' to='80'/></portero:portForward>",
    ));
    lab.virsh(&["start", "web"]);
    lab.wait_guest(WEB);
    lab.answers(From::Outside, Udp, HOST_V4, 8087, "web udp 80");
    detach(lab);
    wait_until(Duration::from_secs(20), "still forwarded", || {
        !lab.must("portero", &["status"]).contains("active")
    });
    world.stop_web();
    world.is_untouched();
}

fn detach(lab: &Lab) {
    lab.virsh(&[
        "detach-interface",
        "web",
        "network",
        "--mac",
        "52:54:00:00:50:10",
        "--live",
    ]);
}

fn unplugged_by_a_killed_hook(world: &mut World) {
    const HOOK: &str = "/usr/bin/portero-network-hook";
    let lab = &world.lab;
    lab.define(&web(
        "<portero:portForward proto='tcp' guest='192.168.50.10'><portero:range start='8087' to='80'/></portero:portForward>",
    ));
    lab.virsh(&["start", "web"]);
    lab.wait_guest(WEB);
    lab.answers(From::Outside, Tcp, HOST_V4, 8087, "web tcp 80");
    let aside = format!("{HOOK}.aside");
    std::fs::rename(HOOK, &aside).expect("the hook");
    let killed = format!(
        "#!/bin/sh\n[ \"$2\" != port-deleted ] || {{ : >/run/lab/files/killed; kill -9 $$; }}\nexec {aside} \"$@\"\n"
    );
    std::fs::write(HOOK, killed).expect("a script");
    std::fs::set_permissions(HOOK, std::fs::Permissions::from_mode(0o755)).expect("its mode");
    detach(lab);
    wait_until(Duration::from_secs(20), "it is not unplugged", || {
        !lab.virsh(&["domiflist", "web"]).contains("lan")
    });
    assert!(std::path::Path::new("/run/lab/files/killed").exists());
    std::fs::rename(&aside, HOOK).expect("the hook");
    let status = || lab.must("portero", &["status"]);
    assert!(status().contains("active"), "{}", status());
    lab.must("portero", &["sync"]);
    assert!(!status().contains("active"), "{}", status());
    let plug = "attach-interface web network lan --model virtio --live --mac 52:54:00:00:50:10";
    let plug: Vec<&str> = plug.split(' ').collect();
    lab.virsh(&plug);
    lab.answers(From::Outside, Tcp, HOST_V4, 8087, "web tcp 80");
    world.stop_web();
    world.is_untouched();
}
