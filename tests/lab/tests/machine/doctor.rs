//! What only a host with systemd and AppArmor can have wrong: `portero doctor` finds it, and the repair that it prints helps.

use crate::world::{World, BOX_PORT, SOON, WEB_PORT};
use portero_lab::{wait_until, Scenario};
use serde_json::Value;

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "doctor: portero-watch is stopped, disabled or masked",
        run: service,
    },
    Scenario {
        name: "doctor: AppArmor denies libvirtd a hook",
        run: apparmor,
    },
];

/// A hook where libvirtd's profile runs nothing.
const ELSEWHERE: &str = "/opt/portero/portero-lxc-hook";
const LINK: &str = "/etc/libvirt/hooks/lxc.d/50-portero";
/// What an administrator adds to the profile.
const LOCAL: &str = "/etc/apparmor.d/local/usr.sbin.libvirtd";
const START: &str = "virsh -c lxc:///system start box";
const DESTROY: &str = "virsh -c lxc:///system destroy box";

/// The repair of a check's finding; nothing when there is none.
fn repair(world: &World, check: &str) -> Option<String> {
    let ran = world.vm.run("portero doctor --json");
    let json: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
    let findings = json["findings"].as_array().expect("findings");
    let found = findings.iter().find(|one| one["check"] == check);
    found.map(|one| one["mend"].as_str().expect("a repair").to_owned())
}

fn service(world: &mut World) {
    world.has_portero();
    assert_eq!(repair(world, "service"), None);
    for broken in [
        "systemctl stop portero-watch",
        "systemctl disable portero-watch",
        "systemctl disable --now portero-watch",
        "systemctl disable --now portero-watch && systemctl mask portero-watch",
    ] {
        world.vm.must(broken);
        let repair = repair(world, "service").unwrap_or_else(|| panic!("{broken}: nothing found"));
        println!("  {broken}: {repair}");
        if !broken.starts_with("systemctl disable portero-watch") {
            // The control: nobody puts back what is flushed.
            world.vm.must("nft flush table inet portero");
            world.refuses(BOX_PORT);
        }
        world.vm.must(&repair);
        world.serves(BOX_PORT);
        world.serves(WEB_PORT);
        let state = "systemctl is-active portero-watch && systemctl is-enabled portero-watch";
        assert_eq!(world.vm.must(state), "active\nenabled\n", "{broken}");
        assert_eq!(self::repair(world, "service"), None, "{broken}");
    }
    world.is_in_order();
}

fn apparmor(world: &mut World) {
    world.has_portero();
    assert_eq!(repair(world, "apparmor"), None);
    world.vm.must(&format!(
        "cp -p {LOCAL} {LOCAL}.lab; mkdir -p /opt/portero && cp -p /usr/bin/portero-lxc-hook {ELSEWHERE} && \
         ln -sfn {ELSEWHERE} {LINK} && {DESTROY}"
    ));
    let refused = world.vm.run(START);
    assert!(!refused.ok, "{refused:?}");
    wait_until(SOON, "doctor finds nothing", || {
        repair(world, "apparmor").is_some()
    });
    let repair = repair(world, "apparmor").expect("a repair");
    println!("  {repair}");
    world.vm.must(&repair);
    assert_eq!(self::repair(world, "apparmor"), None);
    world.vm.must(START);
    world.serves(BOX_PORT);
    world.vm.must(&format!(
        "ln -sfn /usr/bin/portero-lxc-hook {LINK} && rm -r /opt/portero && mv {LOCAL}.lab {LOCAL} && \
         apparmor_parser -r /etc/apparmor.d/usr.sbin.libvirtd"
    ));
    world.begin_calm();
}
