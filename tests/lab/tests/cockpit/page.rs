//! The page as a whole: a newcomer's way, policies, languages, colors and sizes.

use crate::world::{project, World, SHOWN};
use portero_lab::{limit_by_load, wait_until, Scenario};
use std::fs;
use std::time::{Duration, Instant};

/// A newcomer has logged in never before.
pub const FIRST: &[Scenario<World>] = &[Scenario {
    name: "a newcomer logs in, and the first forward serves within a minute",
    run: newcomer,
}];

/// The last one removes the page.
pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "policies show what they count",
        run: counted,
    },
    Scenario {
        name: "Spanish",
        run: spanish,
    },
    Scenario {
        name: "the page fits 1280 and 400 pixels, light and dark",
        run: pictures,
    },
    Scenario {
        name: "the package is removed",
        run: removed,
    },
];

fn newcomer(world: &mut World) {
    world.begin();
    world.refuses(8080);
    let start = Instant::now();
    world.log_in();
    let browser = &mut world.browser;
    browser.click("Add a forward");
    browser.choose("Guest", "web");
    browser.fill("Ports of the host", "8080");
    browser.fill("Ports of the guest", "80");
    browser.click("Add");
    browser.shows("active");
    world.serves(8080, "web tcp 80");
    let took = start.elapsed();
    println!(
        "  {:.1} s from the login until it serves",
        took.as_secs_f64()
    );
    let limit = limit_by_load(Duration::from_secs(60));
    assert!(took < limit, "{took:?}");
}

fn counted(world: &mut World) {
    world.begin();
    let policy = "<network xmlns='urn:portero:1'><policy><default in='reject'/>\
        <rule action='accept' direction='in' comment='ping'><icmp/></rule></policy></network>";
    // Control: without it, the laptop reaches the guest.
    world.lab().wait_guest("192.168.50.10");
    let ask = ["-sS", "-m", "3", "http://192.168.50.10/"];
    let asked = |world: &World| world.lab().inside("laptop", "curl", &ask);
    assert!(asked(world).ok, "{:?}", asked(world));
    fs::write("/etc/portero/networks/lab.xml", policy).expect("a policy");
    world.lab().must("portero", &["sync"]);
    let browser = &mut world.browser;
    browser.tab("Policies");
    browser.sees("Policy of network lab");
    browser.sees("# ping");
    let packets = |world: &mut World| world.browser.text(DEFAULT_PACKETS);
    assert_eq!(packets(world), "0");
    assert!(!asked(world).ok);
    wait_until(SHOWN, "the page counts nothing", || packets(world) != "0");
}

/// What the policy's last word on packets to guests has counted.
const DEFAULT_PACKETS: &str = "tr:has(td:text-is('in default')) td[data-label=Packets]";

fn spanish(world: &mut World) {
    world.begin();
    let browser = &mut world.browser;
    browser.language("es");
    browser.open("/portero");
    browser.sees("No se redirige ningún puerto.");
    browser.click("Añadir una redirección");
    browser.sees("Puertos del anfitrión");
    browser.press("Escape");
    browser.language("en-us");
    browser.open("/portero");
    browser.sees("No ports are forwarded.");
}

/// Where pictures are kept: those of the documentation are made anew with PORTERO_CASES=accept.
fn folder() -> String {
    let folder = match std::env::var("PORTERO_CASES").as_deref() {
        Ok("accept") => project().join("plugins/cockpit/pictures"),
        _ => "/run/lab/files/pictures".into(),
    };
    fs::create_dir_all(&folder).expect("a folder for pictures");
    folder.to_string_lossy().into_owned()
}

/// Takes pictures of the page as it is used, and looks whether all of it fits.
fn pictures(world: &mut World) {
    world.begin();
    world.add(&["web", "8080:80", "--persistent"]);
    let office = ["--source", "198.51.100.0/24"];
    world.add(&[&["db", "2222:22", "--persistent"], &office[..]].concat());
    world.serves(8080, "web tcp 80");
    let folder = folder();
    for (width, height) in [(1280, 900), (400, 800)] {
        world.browser.resize(width, height);
        for tab in ["Map", "Policies", "Bridges", "Diagnosis", "Forwards"] {
            world.browser.tab(tab);
            world.browser.misses("[role=progressbar]");
            let excess = world.browser.asks("excess");
            assert_eq!(excess, 0, "{tab} is too wide for {width} pixels");
        }
        let browser = &mut world.browser;
        browser.sees("2222:22/tcp");
        browser.shoot(&format!("{folder}/forwards-{width}.png"));
        browser.click("Add a forward");
        browser.choose("Guest", "web");
        browser.fill("Ports of the host", "8443");
        browser.fill("Ports of the guest", "443");
        browser.sees("portero forward add web 8443:443 --persistent");
        assert_eq!(browser.asks("excess"), 0);
        browser.shoot(&format!("{folder}/add-{width}.png"));
        browser.press("Escape");
        browser.click("Explain 8080:80/tcp of web");
        browser.sees("Every hop holds that can be seen from here.");
        assert_eq!(browser.asks("excess"), 0);
        browser.shoot(&format!("{folder}/explain-{width}.png"));
        browser.press("Escape");
    }
    let browser = &mut world.browser;
    browser.resize(1280, 900);
    browser.tab("Map");
    browser.await_css("img");
    let light = browser.asks("background");
    browser.colors("dark");
    let limit = Duration::from_secs(5);
    wait_until(limit, "it stays light", || {
        browser.asks("background") != light
    });
    browser.shoot(&format!("{folder}/map-dark.png"));
    let complaints = browser.asks("complaints");
    assert_eq!(complaints, serde_json::json!([]));
    // All that it needs comes from the host, and no address has more than the page's name.
    for url in browser.asks("addresses").as_array().expect("addresses") {
        let url = url.as_str().unwrap_or_default();
        let is_own =
            url.starts_with("http://192.0.2.10:9090/") || url.starts_with("data:image/svg");
        assert!(is_own && !url.contains("foobar"), "{url}");
    }
}

fn removed(world: &mut World) {
    world.begin();
    let purge = ["-P", "cockpit-portero"];
    world.lab().must("dpkg", &purge);
    assert!(!std::path::Path::new("/usr/share/cockpit/portero").exists());
    world.lab().must("portero", &["status"]);
}
