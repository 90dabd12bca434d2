//! The modules for forwards and policies one by one: what they refuse, in whose words, and what they call a change.

use crate::world::{World, FIRST, HOSTS, SECOND};
use portero_lab::{From, Proto, Scenario, HOST_V4, SECOND_V4};

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "a port that a program of one host has fails there, in portero's words",
        run: taken,
    },
    Scenario {
        name: "each option of a forward changes once",
        run: options,
    },
    Scenario {
        name: "a policy that is wrong, and a group that is needed, stay out of the way",
        run: refused_files,
    },
    Scenario {
        name: "a policy that the firewall has lost is a change",
        run: lost,
    },
];

const ADD: &str = "domain: web, forwards: '8081:80'";

fn taken(world: &mut World) {
    let program = world.first.listen(&format!("{HOST_V4}:8081"));
    let words = ["forward", "add", "web", "8081:80", "--persistent"];
    let refused = world.first.run("portero", &words);
    let line = refused
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("error: "));
    let line = line.expect("portero refuses the port").to_owned();
    for options in [&["--check"][..], &[]] {
        let played = world.task("forward", ADD, options);
        assert!(
            !played.ok && played.output.contains(&line),
            "{line}: {played}"
        );
        assert_eq!(played.count(FIRST, "failed"), 1, "{played}");
        assert_eq!(played.count(SECOND, "changed"), 1, "{played}");
    }
    let address = SECOND_V4;
    world
        .first
        .answers(From::Outside, Proto::Tcp, address, 8081, "web tcp 80");
    drop(program);
    world
        .first
        .refuses(From::Outside, Proto::Tcp, HOST_V4, 8081);
    // The control: with the program gone, it is a change of the first host alone.
    let played = world.task("forward", ADD, &[]);
    assert!(played.ok, "{played}");
    assert_eq!(played.count(FIRST, "changed"), 1, "{played}");
    assert_eq!(played.count(SECOND, "changed"), 0, "{played}");
    world.serves(8081);
    let remove = "domain: web, forwards: ['8081', '8082'], state: absent";
    world.task("forward", remove, &["--check"]).changes(1);
    world.serves(8081);
    world.task("forward", remove, &[]).changes(1);
    world.refuses(8081);
    world.task("forward", remove, &[]).changes(0);
}

fn options(world: &mut World) {
    let office = "domain: web, forwards: ['8083:80/tcp,udp'], sources: ['198.51.100.0/24', '!198.51.100.9'], dev: eth0, \
                  masquerade: true, symmetric: true, guest: ";
    for (options, changes) in [(&["--check"][..], 1), (&[], 1), (&[], 0)] {
        for host in HOSTS {
            let arguments = format!("{office}{}", host.guest);
            let limit = ["--limit", host.name];
            let played = world.task("forward", &arguments, &[options, &limit].concat());
            assert!(played.ok, "{played}");
            assert_eq!(played.count(host, "changed"), changes, "{played}");
        }
    }
    for host in HOSTS {
        let (first, office) = (&world.first, From::Namespace("office"));
        first.answers(office, Proto::Tcp, host.address, 8083, "web tcp 80");
        first.refuses(From::Outside, Proto::Tcp, host.address, 8083);
    }
    // The next start has it too; each state can be written alone.
    let config = "domain: web, forwards: '8083/udp', affect: config, state: absent";
    world.task("forward", config, &[]).changes(1);
    world.task("forward", config, &[]).changes(0);
    for host in HOSTS {
        let office = From::Namespace("office");
        let first = &world.first;
        first.answers(office, Proto::Udp, host.address, 8083, "web udp 80");
    }
    let wrong = world.task("forward", "domain: web, forwards: '80800:80'", &["--check"]);
    assert!(
        !wrong.ok && wrong.output.contains("'80800' is not a port"),
        "{wrong}"
    );
    let nobody = world.task("forward", "domain: nobody, forwards: '80'", &[]);
    assert!(
        !nobody.ok && nobody.output.contains("failed to get domain 'nobody'"),
        "{nobody}"
    );
    let all = "domain: web, state: absent";
    world.task("forward", all, &[]).changes(1);
    world.task("forward", all, &[]).changes(0);
    for host in HOSTS {
        let office = From::Namespace("office");
        let first = &world.first;
        first.refuses(office, Proto::Tcp, host.address, 8083);
    }
}

/// A file of the network `lab` with this policy.
fn policy(inside: &str) -> String {
    format!(
        "network: lab, content: \"<portero:network xmlns:portero='urn:portero:1'><portero:policy>{inside}</portero:policy>\
         </portero:network>\""
    )
}

const OFFICE: &str = "<portero:default in='reject'/><portero:rule action='accept' direction='in'>\
                      <portero:peer group='office'/></portero:rule>";

const GROUP: &str = "group: office, content: \"<portero:group xmlns:portero='urn:portero:1'>\
                     <portero:peer address='198.51.100.0' prefix='24'/></portero:group>\"";

fn refused_files(world: &mut World) {
    let before = world.seen();
    // No group of this name is there yet, which an earlier task could write.
    let early = world.task("policy", &policy(OFFICE), &["--check"]);
    early.changes(1);
    let words = "there is no group /etc/portero/groups/office.xml";
    assert!(early.output.contains(words), "{early}");
    let early = world.task("policy", &policy(OFFICE), &[]);
    assert!(!early.ok && early.output.contains(words), "{early}");
    // What is wrong with the content is said of the file that it would become.
    for (arguments, words) in [
        (policy("<portero:default in='perhaps'/>"), "perhaps"),
        (
            "network: lab, content: \"<portero:network\"".to_owned(),
            "/etc/portero/networks/lab.xml",
        ),
        (
            GROUP.replace("group: office", "network: lab"),
            "content is a <group>, expected a <portero:network>",
        ),
        (
            GROUP.replace("group: office", "group: ../office"),
            "'../office' is no name of a group",
        ),
    ] {
        for options in [&["--check"][..], &[]] {
            let played = world.task("policy", &arguments, options);
            assert!(
                !played.ok && played.output.contains(words),
                "{words}: {played}"
            );
        }
    }
    assert_eq!(
        world.seen(),
        before,
        "something is left of what was refused"
    );
    world.task("policy", GROUP, &[]).changes(1);
    world.task("policy", &policy(OFFICE), &[]).changes(1);
    let with_both = world.seen();
    let needed = world.task("policy", "group: office, state: absent", &[]);
    assert!(
        !needed.ok && needed.output.contains("office"),
        "a group that a policy names is removed: {needed}"
    );
    assert_eq!(world.seen(), with_both, "the group is not there again");
    for host in HOSTS {
        let first = &world.first;
        let office = From::Namespace("office");
        first.answers(office, Proto::Tcp, host.guest, 80, "web tcp 80");
        first.refuses(From::Outside, Proto::Tcp, host.guest, 80);
    }
    world.clean();
    assert_eq!(world.seen(), before);
}

fn lost(world: &mut World) {
    let reject = policy("<portero:default in='reject'/>");
    world.task("policy", &reject, &[]).changes(1);
    world.task("policy", &reject, &[]).changes(0);
    let flush = match world.first.backend() {
        portero_lab::Backend::Nftables => "nft delete table inet portero_policy",
        portero_lab::Backend::Iptables => "iptables -F FORWARD",
    };
    world.first.must("sh", &["-c", flush]);
    for (options, changes) in [(&["--check"][..], 1), (&[], 1), (&[], 0)] {
        let played = world.task("policy", &reject, options);
        assert!(played.ok, "{played}");
        assert_eq!(played.count(FIRST, "changed"), changes, "{played}");
        assert_eq!(played.count(SECOND, "changed"), 0, "{played}");
    }
    for host in HOSTS {
        let first = &world.first;
        first.refuses(From::Outside, Proto::Tcp, host.guest, 80);
    }
    world.clean();
}
