//! What is broken on the host, found and repaired on the page.

use crate::world::World;
use portero_lab::Scenario;

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "explain: the hop that fails, and its repair",
        run: explained,
    },
    Scenario {
        name: "doctor: a finding, and its repair",
        run: found,
    },
    Scenario {
        name: "explain: what people have to do has no button",
        run: by_hand,
    },
];

fn explained(world: &mut World) {
    world.begin();
    world.add(&["web", "8080:80", "--persistent"]);
    world.serves(8080, "web tcp 80");
    world.lab().ip("link set virbr0 down");
    world.refuses(8080);
    let browser = &mut world.browser;
    browser.click("Explain 8080:80/tcp of web");
    browser.sees("bridge fails");
    browser.sees("ip link set virbr0 up");
    browser.click("Repair…");
    browser.sees("Cockpit runs this on the host as root:");
    world.refuses(8080);
    let browser = &mut world.browser;
    browser.click("Run");
    browser.misses("text='bridge fails'");
    // The spanning tree protocol takes some seconds.
    world.serves(8080, "web tcp 80");
    let browser = &mut world.browser;
    browser.click("Explain again");
    browser.sees("Every hop holds that can be seen from here.");
}

fn found(world: &mut World) {
    world.begin();
    world.add(&["web", "8080:80", "--persistent"]);
    world.serves(8080, "web tcp 80");
    let browser = &mut world.browser;
    browser.tab("Diagnosis");
    browser.sees("Nothing found by:");
    world
        .lab()
        .must("sysctl", &["-qw", "net.ipv4.ip_forward=0"]);
    world.refuses(8080);
    let browser = &mut world.browser;
    browser.click("Look again");
    browser.sees("sysctl -w net.ipv4.ip_forward=1");
    browser.sees("a file in /etc/sysctl.d");
    browser.click("Repair…");
    browser.click("Run");
    browser.sees("Nothing found by:");
    world.serves(8080, "web tcp 80");
}

fn by_hand(world: &mut World) {
    world.begin();
    let browser = &mut world.browser;
    browser.tab("Diagnosis");
    browser.fill("Port of the host, or name of a guest", "8099");
    browser.click("Explain");
    browser.sees("forward fails");
    browser.sees("portero forward add DOMAIN 8099:GUESTPORT/tcp --persistent");
    assert_eq!(browser.count(".portero-repair button"), 0);
    browser.fill("Port of the host, or name of a guest", "web");
    browser.press("Enter");
    browser.sees("Every hop holds that can be seen from here.");
    // What is not a port shows portero's line.
    browser.fill("Port of the host, or name of a guest", "nobody");
    browser.press("Enter");
    browser.sees("nobody");
    browser.misses("table");
}
