//! The machine's power is taken, and it boots by itself: everything is served again with nobody's hand, and a policy holds
//! before its guest can be reached.

use crate::world::{World, BOX_PORT, SOON, WEB_PORT};
use portero_lab::{wait_until, DomainXml, NetworkXml, Program, Scenario, GIVEN};
use std::fs;
use std::time::Duration;

pub const SCENARIOS: &[Scenario<World>] = &[Scenario {
    name: "power-off: forwards are back with nobody's hand, and a policy holds before its first packet",
    run: power_off,
}];

/// The guest on a routed network, which outside has a way to.
const DB: &str = "192.168.60.10";
const DB_MAC: &str = "52:54:00:00:60:10";

/// What the policy lets in, and what it does not.
const ALLOWED: u16 = 3000;
const FORBIDDEN: u16 = 80;

/// What outside knocks with.
const PROTOCOLS: [&str; 2] = ["tcp", "udp"];

const POLICY_FILE: &str = "/etc/portero/networks/dmz.xml";
const POLICY: &str = "<portero:network xmlns:portero='urn:portero:1'>
  <portero:policy>
    <portero:default in='drop'/>
    <portero:rule action='accept' direction='in'>
      <portero:tcp dstportstart='3000'/>
      <portero:udp dstportstart='3000'/>
    </portero:rule>
  </portero:policy>
</portero:network>";

fn power_off(world: &mut World) {
    world.has_portero();
    world.serves(WEB_PORT);
    world.vm.define_network(&NetworkXml {
        name: "dmz",
        mode: "route",
        number: 60,
        reservations: &[(DB_MAC, 10)],
        portero: "",
    });
    world.vm.define_container(&DomainXml {
        name: "db",
        nics: &[("dmz", DB_MAC)],
        v6: None,
        portero: "",
    });

    // The control: without the policy the same knocks are answered while the machine boots.
    let heard = loses_power(world);
    println!("  without the policy: {heard:?}");
    for (proto, answers) in PROTOCOLS.iter().zip(heard.answers) {
        assert!(answers > 0, "{proto}: nobody answers without the policy");
    }
    assert!(heard.came > 0, "nothing came to the guest");

    world.vm.write(POLICY_FILE, POLICY);
    world.vm.must("portero sync");
    let heard = loses_power(world);
    println!("  with the policy: {heard:?}");
    assert_eq!(heard.answers, [0, 0], "answers that the policy forbids");
    assert_eq!(heard.came, 0, "what the policy forbids came to the guest");
    world.is_in_order();
    world.is_calm();

    world.vm.must(&format!(
        "virsh -c lxc:///system destroy db && virsh -c lxc:///system undefine db && virsh net-destroy dmz && \
         virsh net-undefine dmz && rm -r {POLICY_FILE} {GIVEN}/containers/db && portero sync"
    ));
    world.is_in_order();
}

/// What came of knocks at the forbidden port during a boot.
#[derive(Debug)]
struct Heard {
    /// How many were answered, of each protocol.
    answers: [usize; 2],
    /// How many datagrams the guest has got.
    came: u64,
}

/// Takes the machine's power and gives it back; outside knocks at the guest until all is served, and some seconds more.
fn loses_power(world: &mut World) -> Heard {
    // What an administrator has set up some time ago is on the disk.
    world.vm.must("sync");
    world.vm.switch_off();
    let knock = |port| PROTOCOLS.map(|proto| Knocks::begin(world, proto, port));
    let (forbidden, allowed) = (knock(FORBIDDEN), knock(ALLOWED));
    // The port that is allowed shows that the way is open, but not while there is no power.
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(allowed.each_ref().map(Knocks::answers), [0, 0], "it is on");
    world.vm.switch_on();
    let took = world.vm.wait_boot();
    println!("  booted anew in {:.0} s", took.as_secs_f64());
    for served in [BOX_PORT, WEB_PORT] {
        let took = world.serves(served);
        println!(
            "  port {} is served {:.0} s later",
            served.0,
            took.as_secs_f64()
        );
    }
    for knocks in &allowed {
        wait_until(SOON, "the allowed port is not served", || {
            knocks.answers() > 0
        });
    }
    let before = allowed.each_ref().map(Knocks::answers);
    wait_until(SOON, "the allowed port is not served any more", || {
        let now = allowed.each_ref().map(Knocks::answers);
        now.iter()
            .zip(before)
            .all(|(now, before)| *now > before + 5)
    });
    let came = (world.vm).must(&format!("{GIVEN}/agent ask {DB} 'count {FORBIDDEN}'"));
    Heard {
        answers: forbidden.each_ref().map(Knocks::answers),
        came: came.trim().parse().expect("a number"),
    }
}

/// A program outside that asks the guest again and again, and notes each answer.
struct Knocks {
    answers: String,
    _program: Program,
}

impl Knocks {
    fn begin(world: &World, proto: &str, port: u16) -> Self {
        let answers = format!("/run/lab/knocks-{proto}-{port}");
        let _ = fs::remove_file(&answers);
        let agent = world.vm.outside_agent();
        let script = format!(
            "while sleep 0.1; do said=$({agent} probe {proto} {DB} {port} 400 2>/dev/null) && echo \"$said\" >>{answers}; done"
        );
        Self {
            answers,
            _program: world.vm.start_outside("bash", &["-c", &script]),
        }
    }

    /// How many there were so far.
    fn answers(&self) -> usize {
        let text = fs::read_to_string(&self.answers).unwrap_or_default();
        text.lines().filter(|line| line.starts_with("db ")).count()
    }
}
