//! Forwards that are added, removed and followed on the page.

use crate::world::World;
use portero_lab::{wait_until, Scenario};
use std::time::Duration;

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "a forward that is added serves, and no longer when it is removed",
        run: added_and_removed,
    },
    Scenario {
        name: "a forward for the office, live only",
        run: for_the_office,
    },
    Scenario {
        name: "a guest whose address is reserved",
        run: reserved,
    },
    Scenario {
        name: "a port that is refused shows portero's line",
        run: refused,
    },
    Scenario {
        name: "the page follows what others do",
        run: followed,
    },
    Scenario {
        name: "keyboard only",
        run: keyboard,
    },
];

fn added_and_removed(world: &mut World) {
    world.begin();
    world.refuses(8080);
    let browser = &mut world.browser;
    browser.click("Add a forward");
    browser.choose("Guest", "web");
    browser.fill("Ports of the host", "8080");
    browser.fill("Ports of the guest", "80");
    browser.sees("portero forward add web 8080:80 --persistent");
    browser.click("Add");
    browser.sees("192.168.122.10:80");
    browser.shows("active");
    world.serves(8080, "web tcp 80");
    let written = world.lab().virsh(&["dumpxml", "--inactive", "web"]);
    assert!(written.contains("8080"), "{written}");
    let browser = &mut world.browser;
    browser.click("Remove 8080:80/tcp of web");
    browser.sees("portero forward remove web 8080:80/tcp --persistent");
    // Nothing happens before it is confirmed.
    browser.click("Cancel");
    world.serves(8080, "web tcp 80");
    let browser = &mut world.browser;
    browser.click("Remove 8080:80/tcp of web");
    browser.click("Remove");
    browser.sees("No ports are forwarded.");
    world.refuses(8080);
}

fn for_the_office(world: &mut World) {
    world.begin();
    let browser = &mut world.browser;
    browser.click("Add a forward");
    browser.choose("Guest", "web");
    browser.fill("Ports of the host", "8081");
    browser.fill("Ports of the guest", "80");
    browser.fill("Address of the host", "192.0.2.10");
    browser.fill("Who may use it", "198.51.100.0/24");
    browser.toggle("Persistent: also after the guest's next start");
    browser.sees("portero forward add web 192.0.2.10:8081:80 --source=198.51.100.0/24");
    browser.click("Add");
    browser.sees("until the guest ends");
    world.serves_from("office", 8081, "web tcp 80");
    // Control: the laptop is not of the office.
    world.refuses(8081);
    let browser = &mut world.browser;
    browser.click("Remove 192.0.2.10:8081:80/tcp of web");
    browser
        .sees("portero forward remove web 192.0.2.10:8081:80/tcp --source=198.51.100.0/24 --live");
    browser.click("Remove");
    browser.sees("No ports are forwarded.");
}

fn reserved(world: &mut World) {
    const MAC: &str = "52:54:00:00:22:77";
    world.begin();
    let lab = world.lab();
    let interface = ["attach-interface", "nas", "network", "default"];
    lab.virsh(
        &[
            &interface[..],
            &["--model", "virtio", "--mac", MAC, "--config"],
        ]
        .concat(),
    );
    lab.virsh(&["start", "nas"]);
    let leases = || lab.virsh(&["net-dhcp-leases", "default"]);
    let limit = Duration::from_secs(60);
    wait_until(limit, "nas has no lease", || leases().contains(MAC));
    let browser = &mut world.browser;
    browser.click("Add a forward");
    browser.choose("Guest", "nas");
    browser.fill("Ports of the host", "8082");
    browser.fill("Ports of the guest", "80");
    browser.toggle("Reserve the guest's address, if DHCP has no reservation for it");
    browser.click("Add");
    browser.shows("active");
    world.serves(8082, "nas tcp 80");
    let network = world.lab().virsh(&["net-dumpxml", "default"]);
    assert!(network.contains(MAC), "{network}");
}

fn refused(world: &mut World) {
    world.begin();
    world.add(&["web", "8080:80", "--persistent"]);
    world.serves(8080, "web tcp 80");
    for (ports, line) in [
        ("8080", "tcp port 8080 is held by domain 'web'"),
        ("9090", "cockpit-ws"),
        ("80a", "80a"),
    ] {
        let browser = &mut world.browser;
        browser.click("Add a forward");
        browser.choose("Guest", "db");
        browser.fill("Ports of the host", ports);
        browser.click("Add");
        browser.sees(line);
        browser.click("Cancel");
    }
    let listed = world.lab().must("portero", &["forward", "list"]);
    assert!(!listed.contains("db"), "{listed}");
    world.serves(8080, "web tcp 80");
}

fn followed(world: &mut World) {
    world.begin();
    world.add(&["web", "8080:80", "--persistent"]);
    world.browser.shows("active");
    world.serves(8080, "web tcp 80");
    // Its memory is kept, so that it need not boot again.
    world.lab().virsh(&["managedsave", "web"]);
    world.browser.shows("off");
    world.refuses(8080);
    world.lab().virsh(&["start", "web"]);
    world.browser.shows("active");
    world.serves(8080, "web tcp 80");
    let remove = ["forward", "remove", "web", "8080", "--persistent"];
    world.lab().must("portero", &remove);
    world.browser.sees("No ports are forwarded.");
}

/// Presses TAB until something has the keyboard.
fn go_to(world: &mut World, wanted: &str) {
    let mut seen = Vec::new();
    for _ in 0..60 {
        world.browser.press("Tab");
        let focused = world.browser.focused();
        if focused == wanted {
            return;
        }
        seen.push(focused);
    }
    panic!("TAB does not lead to {wanted}: {seen:?}");
}

fn keyboard(world: &mut World) {
    world.begin();
    world.refuses(8083);
    world.browser.act("focus", "tab", "Forwards");
    go_to(world, "button Add a forward");
    let browser = &mut world.browser;
    browser.press("Enter");
    browser.sees("Ports of the host");
    assert_eq!(browser.focused(), "input Ports of the host");
    // Letters choose from a list.
    browser.press("Shift+Tab");
    assert_eq!(browser.focused(), "select Guest");
    browser.types("web");
    browser.press("Tab");
    browser.types("8083");
    browser.press("Tab");
    browser.types("80");
    browser.sees("portero forward add web 8083:80 --persistent");
    browser.press("Enter");
    browser.sees("192.168.122.10:80");
    world.serves(8083, "web tcp 80");
    go_to(world, "button Remove 8083:80/tcp of web");
    world.browser.press("Enter");
    world
        .browser
        .sees("portero forward remove web 8083:80/tcp --persistent");
    // ESC closes it, and the keyboard is where it was.
    world.browser.press("Escape");
    let button = "button Remove 8083:80/tcp of web";
    wait_until(crate::world::SHOWN, button, || {
        world.browser.focused() == button
    });
    world.browser.press("Enter");
    go_to(world, "button Remove");
    world.browser.press("Enter");
    world.browser.sees("No ports are forwarded.");
    world.refuses(8083);
}
