//! The NIC that the page itself comes by, put into a bridge.

use crate::world::World;
use portero_lab::{wait_until, Scenario};
use std::path::Path;
use std::time::Duration;

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "a bridge is planned, made, kept and removed",
        run: kept,
    },
    Scenario {
        name: "a bridge is rolled back",
        run: rolled_back,
    },
];

const BRIDGE: &str = "/sys/class/net/br0";

/// Has it made, as far as the countdown.
fn make(world: &mut World) {
    world.begin();
    let browser = &mut world.browser;
    browser.tab("Bridges");
    browser.sees("There is none.");
    browser.choose("NIC", "eth0");
    browser.click("Show what would change");
    browser.sees("bridge_ports eth0");
    browser.sees("portero bridge apply --bridge=br0 --nic=eth0 --timeout=120");
    assert!(!Path::new(BRIDGE).exists());
    browser.click("Make the bridge");
    browser.sees("br0 is rolled back in");
    assert!(Path::new(BRIDGE).exists());
}

/// How many seconds are left, by the page.
fn seconds_left(world: &mut World) -> u64 {
    let text = world.browser.text(".pf-v6-c-alert__title");
    let mut words = text.split(' ');
    let number = words.find_map(|word| word.parse().ok());
    number.unwrap_or_else(|| panic!("no number in '{text}'"))
}

fn kept(world: &mut World) {
    make(world);
    let first = seconds_left(world);
    assert!((60..=120).contains(&first), "{first} s left");
    let limit = Duration::from_secs(10);
    wait_until(limit, "it does not count down", || {
        seconds_left(world) < first
    });
    let browser = &mut world.browser;
    browser.click("Keep the bridge");
    browser.shows("kept");
    let status = world.lab().must("portero", &["bridge", "status"]);
    assert!(status.contains("confirmed"), "{status}");
    let browser = &mut world.browser;
    browser.click("Remove br0");
    browser.sees("portero bridge remove --bridge=br0");
    browser.click("Remove");
    browser.sees("There is none.");
    assert!(!Path::new(BRIDGE).exists());
}

fn rolled_back(world: &mut World) {
    make(world);
    let browser = &mut world.browser;
    browser.click("Roll back");
    browser.sees("There is none.");
    assert!(!Path::new(BRIDGE).exists());
}
