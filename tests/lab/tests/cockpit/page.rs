//! What is done on the page.

use crate::world::World;
use portero_lab::Scenario;

pub const SCENARIOS: &[Scenario<World>] = &[Scenario {
    name: "a forward that is added serves, and is removed",
    run: added_and_removed,
}];

fn added_and_removed(world: &mut World) {
    world.refuses(8080);
    let browser = &mut world.browser;
    browser.click("Add a forward");
    browser.choose("Guest", "web");
    browser.fill("Ports of the host", "8080");
    browser.fill("Ports of the guest", "80");
    browser.sees("portero forward add web 8080:80 --persistent");
    browser.click("Add");
    browser.sees("8080:80/tcp");
    world.serves(8080, "web tcp 80");
    let browser = &mut world.browser;
    browser.click("Remove 8080:80/tcp of web");
    browser.sees("portero forward remove web 8080:80/tcp --persistent");
    browser.click("Remove");
    browser.sees("No ports are forwarded.");
    world.refuses(8080);
}
