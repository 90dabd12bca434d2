//! What dnsmasq wrote, or somebody in its place, into the file of leases.

use crate::world::{forward, hook, World, VICTIM, WAITING_MAC};
use portero_lab::{wait_until, Scenario};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "leases: hostile files",
        run: hostile,
    },
    Scenario {
        name: "leases: what a guest tells the DHCP server of itself",
        run: told_by_a_guest,
    },
];

const FILE: &str = "/var/lib/libvirt/dnsmasq/br-lan.status";

/// What is given to the guest that waits.
const GIVEN: &str = "192.168.50.177";

fn lease(mac: &str, address: &str) -> String {
    format!("{{\"ip-address\": \"{address}\", \"mac-address\": \"{mac}\", \"expiry-time\": 4000000000}}")
}

/// The hooks of a guest without a reservation, whose forward waits for a lease.
fn hooks(world: &World, operations: &[&str]) -> Duration {
    let xml = world.mallory(&forward("proto='tcp'", "start='8090' to='80'"));
    let xml = xml.replace(crate::world::MALLORY_MAC, WAITING_MAC);
    let mut longest = Duration::ZERO;
    for operation in operations {
        let ran = hook(&[], &["mallory", operation, "begin", "-"], xml.as_bytes());
        longest = longest.max(ran.works().took);
    }
    longest
}

/// What puts something in the place of the file.
type Plant<'a> = Box<dyn Fn() + 'a>;

fn hostile(world: &mut World) {
    let before = world.rules();
    let kept = fs::read(FILE).expect("leases");
    let remove = || {
        if Path::new(FILE).is_dir() {
            fs::remove_dir(FILE).expect("the folder");
        } else {
            fs::remove_file(FILE).expect("the file");
        }
    };
    // The control: the guest is given what is leased to it.
    let control = |content: &str| {
        remove();
        fs::write(FILE, content).expect("leases");
        hooks(world, &["prepare", "start"]);
        assert!(world.leads_to(GIVEN), "{content}");
        hooks(world, &["stopped"]);
        assert_eq!(world.rules(), before);
    };
    let own = lease(WAITING_MAC, GIVEN);
    control(&format!("[{own}]"));
    let named = own.replace(
        '{',
        "{\"hostname\": \"x\\\"},\\n-j ACCEPT; $(reboot)\\u0000\", \"client-id\": \"\\u202e\", ",
    );
    control(&format!("[{named}]"));
    world.count();

    let write = |content: &[u8]| {
        remove();
        fs::write(FILE, content).expect("a file");
    };
    let text = |content: String| move || write(content.as_bytes());
    let other = "52:54:00:00:50:10";
    let bomb = format!("[{own},{}", "[".repeat(1_000_000));
    let huge = format!(
        "[{own}{}]",
        format!(",{}", lease(other, "192.168.50.150")).repeat(100_000)
    );
    let device = |path: &'static str| {
        move || {
            remove();
            symlink(path, FILE).expect("a link");
        }
    };
    let mut rows: Vec<(&str, Plant<'_>)> = vec![
        ("no JSON", Box::new(text("portero: -j ACCEPT\n".to_owned()))),
        ("no list", Box::new(text(own.clone()))),
        ("cut short", Box::new(text(format!("[{own}, {{\"ip-")))),
        ("nested", Box::new(text(bomb))),
        ("longer than 8 MiB", Box::new(text(huge))),
        (
            "another's MAC address",
            Box::new(text(format!("[{}]", lease(other, GIVEN)))),
        ),
        (
            "an address with a word",
            Box::new(text(format!(
                "[{}]",
                lease(WAITING_MAC, "192.168.50.177; accept")
            ))),
        ),
        (
            "a MAC address with a word",
            Box::new(text(format!("[{}]", lease("52:54:00:00:50:77 -j", GIVEN)))),
        ),
        (
            "a number",
            Box::new(text(format!("[{}]", own.replace("4000000000", "-1")))),
        ),
        (
            "leased to another too",
            Box::new(text(format!("[{own},{}]", lease(other, GIVEN)))),
        ),
        (
            "a link to what only root reads",
            Box::new(device("/etc/shadow")),
        ),
        ("a link to a device", Box::new(device("/dev/zero"))),
        ("a link to itself", Box::new(device(FILE))),
        (
            "a folder",
            Box::new(|| {
                remove();
                fs::create_dir(FILE).expect("a folder");
            }),
        ),
        (
            "a FIFO",
            Box::new(|| {
                remove();
                world.lab.must("mkfifo", &[FILE]);
            }),
        ),
        (
            "1 GiB of nothing",
            Box::new(|| {
                write(b"");
                let file = fs::File::options().write(true).open(FILE).expect("a file");
                file.set_len(1 << 30).expect("a length");
            }),
        ),
    ];
    for address in [
        // Reserved for the victim; the host's; everybody's; of another network; the LAN's; loopback.
        VICTIM,
        "192.168.50.1",
        "192.168.50.255",
        "192.168.60.20",
        "203.0.113.2",
        "127.0.0.1",
        "224.0.0.1",
    ] {
        let content = format!("[{}]", lease(WAITING_MAC, address));
        rows.push((address, Box::new(text(content))));
    }
    let count = rows.len();
    for (what, plant) in rows {
        plant();
        let took = hooks(world, &["prepare", "start", "started"]);
        assert!(took < Duration::from_secs(5), "{what}: {took:?}");
        assert_eq!(world.rules(), before, "{what}");
        let status = world.lab.must("portero", &["status"]);
        assert!(status.contains("pending: "), "{what}: {status}");
        hooks(world, &["stopped"]);
    }
    remove();
    fs::write(FILE, kept).expect("leases");
    world.refused += u32::try_from(count).expect("a count");
    world.served();
    world.is_in_order();
}

fn told_by_a_guest(world: &mut World) {
    let guest = |command: &str| {
        let order = format!("run {command}");
        world.lab.must(&world.lab.agent(), &["ask", VICTIM, &order]);
    };
    // `"},{"ip-address":"192.168.50.66` as the name of a client and as its identifier.
    let text = "227d2c7b2269702d61646472657373223a223139322e3136382e35302e3636";
    let before = world.rules();
    guest(&format!(
        "udhcpc -i eth0 -n -q -t 10 -T 1 -s /bin/true -x 0x3d:{text} -x 0x0c:{text}"
    ));
    // libvirt's program writes it after the answer.
    wait_until(
        Duration::from_secs(10),
        "the identifier was not sent",
        || {
            let leases = fs::read_to_string(FILE);
            leases.is_ok_and(|leases| leases.contains("22:7d:2c"))
        },
    );
    world.lab.must("portero", &["sync"]);
    assert_eq!(world.rules(), before);
    world.served();
    world.count();
}
