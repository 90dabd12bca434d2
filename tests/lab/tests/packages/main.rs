//! The DEB on hosts whose libvirt runs a guest: installed, upgraded, removed and purged, in this order.

use portero_lab::{
    enter, find_package, run_scenarios, DomainXml, From, Lab, NetworkXml, Options, Proto, Scenario,
    HOST_V4,
};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const WEB: &str = "192.168.50.10";
const WEB_MAC: &str = "52:54:00:00:50:10";

/// A hook of the administrator's, of each kind that libvirt runs.
const OWN_HOOKS: [&str; 2] = [
    "/etc/libvirt/hooks/qemu",
    "/etc/libvirt/hooks/qemu.d/10-own",
];
const OWN_HOOK: &str = "#!/bin/sh\necho \"$0 $1 $2\" >>/run/lab/files/own-hook\n";

const SETTINGS: &str = "/etc/portero/portero.toml";

/// Below these the package writes nothing, or dpkg keeps its books.
const NOT_COMPARED: [&str; 9] = [
    "/proc",
    "/sys",
    "/dev",
    "/run/lab",
    "/run/libvirt",
    "/var/lib/dpkg",
    "/var/log",
    "/var/lib/libvirt",
    "/var/cache",
];

/// What a package that is removed and not purged leaves: its settings, and whether its service was
/// enabled.
const REMEMBERED: [&str; 3] = [
    " /etc/portero",
    " /var/lib/systemd/deb-systemd-helper-",
    " /etc/systemd/system/",
];

struct World {
    lab: Lab,
    package: PathBuf,
    /// Before any package was installed.
    files: BTreeSet<String>,
    rules: String,
}

fn main() -> ExitCode {
    enter();
    let agent = env!("CARGO_BIN_EXE_portero-lab-agent");
    let lab = Lab::boot_without_portero(&Options::from_environment(agent));
    let mut world = World::new(lab);
    run_scenarios(&mut world, SCENARIOS, |world| {
        println!("--- rules\n{}", world.lab.rules());
    })
}

const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "installed under a running guest",
        run: installed,
    },
    Scenario {
        name: "hooks run, and those of the administrator too",
        run: hooks,
    },
    Scenario {
        name: "upgraded, with settings that both have changed",
        run: upgraded,
    },
    Scenario {
        name: "removed under a running guest",
        run: removed,
    },
    Scenario {
        name: "installed again, with the old settings",
        run: again,
    },
    Scenario {
        name: "purged",
        run: purged,
    },
    Scenario {
        name: "AppArmor's profile lets libvirtd run the hooks",
        run: apparmor,
    },
];

impl World {
    fn new(lab: Lab) -> Self {
        let folder =
            std::env::var("PORTERO_PACKAGES").expect("PORTERO_PACKAGES, from the Makefile");
        let package = find_package("portero", Path::new(&folder));
        let mkdir = ["-p", "/etc/libvirt/hooks/qemu.d"];
        lab.must("mkdir", &mkdir);
        for path in OWN_HOOKS {
            std::fs::write(path, OWN_HOOK).expect("a hook");
            lab.must("chmod", &["0755", path]);
        }
        lab.start_network(&NetworkXml {
            name: "lan",
            mode: "nat",
            number: 50,
            reservations: &[(WEB_MAC, 10)],
            portero: "",
        });
        lab.define(&DomainXml {
            name: "web",
            nics: &[("lan", WEB_MAC)],
            v6: None,
            portero: "<portero:portForward proto='tcp'><portero:range start='8080' to='80'/></portero:portForward>",
        });
        lab.virsh(&["start", "web"]);
        lab.wait_guest(WEB);
        let rules = lab.rules();
        let files = files(&lab);
        Self {
            lab,
            package,
            files,
            rules,
        }
    }

    fn serves(&self) {
        let (lab, tcp) = (&self.lab, Proto::Tcp);
        lab.answers(From::Outside, tcp, HOST_V4, 8080, "web tcp 80");
    }

    fn refuses(&self) {
        self.lab.refuses(From::Outside, Proto::Tcp, HOST_V4, 8080);
    }

    /// Runs dpkg; gives what it and the package's scripts said.
    fn dpkg(&self, arguments: &[&str]) -> String {
        let script = format!(
            "DEBIAN_FRONTEND=noninteractive dpkg {} 2>&1",
            arguments.join(" ")
        );
        self.lab.must("sh", &["-c", &script])
    }

    /// The package as it might have been a version before: with another default in its settings.
    fn package_before(&self) -> String {
        let script = format!(
            "cd /run/lab/files && rm -rf before && dpkg-deb -R {} before && \
             sed -i 's/^Version: .*/Version: 0.0.1/' before/DEBIAN/control && \
             sed -i 's/^# portero.s settings.*/# The settings of old./' before/etc/portero/portero.toml && \
             (cd before && find usr etc -type f -exec md5sum {{}} + >DEBIAN/md5sums) && \
             dpkg-deb -Znone -b before before.deb",
            self.package.display()
        );
        self.lab.must("sh", &["-c", &script]);
        "/run/lab/files/before.deb".to_owned()
    }

    fn guest_runs(&self) {
        assert_eq!(self.lab.virsh(&["domstate", "web"]).trim(), "running");
        self.lab.wait_guest(WEB);
    }
}

/// Every file with its type, mode and owner.
fn files(lab: &Lab) -> BTreeSet<String> {
    let prunes: Vec<String> = NOT_COMPARED
        .iter()
        .map(|path| format!("-path {path}"))
        .collect();
    // Bound folders, such as that of the project, are other file systems.
    let script = format!(
        "find / /run -xdev \\( {} \\) -prune -o -printf '%M %u:%g %p %l\\n'",
        prunes.join(" -o ")
    );
    let found = lab.must("sh", &["-c", &script]);
    found.lines().map(str::to_owned).collect()
}

fn installed(world: &mut World) {
    // Control: nobody forwards.
    world.refuses();
    let package = world.package_before();
    let said = world.dpkg(&["-i", &package]);
    assert!(
        said.contains("libvirtd has not seen the hooks yet"),
        "{said}"
    );
    // The guest was not restarted, and libvirtd neither.
    world.serves();
    world.guest_runs();
    only_the_service_is_enabled(world);
}

/// Metrics are for those who enable them.
fn only_the_service_is_enabled(world: &World) {
    let is_enabled = |unit| {
        let words = ["--root=/", "is-enabled", unit];
        world.lab.run("systemctl", &words).stdout
    };
    assert_eq!(is_enabled("portero-watch.service"), "enabled\n");
    assert_eq!(is_enabled("portero-metrics.timer"), "disabled\n");
}

fn hooks(world: &mut World) {
    world.lab.restart_libvirtd();
    world.guest_runs();
    world.serves();
    world.lab.virsh(&["destroy", "web"]);
    world.refuses();
    let _ = std::fs::remove_file("/run/lab/files/own-hook");
    world.lab.virsh(&["start", "web"]);
    world.lab.wait_guest(WEB);
    world.serves();
    let told = std::fs::read_to_string("/run/lab/files/own-hook").expect("what own hooks wrote");
    for path in OWN_HOOKS {
        assert!(told.contains(&format!("{path} web started")), "{told}");
        let content = std::fs::read_to_string(path).expect("the hook");
        assert_eq!(content, OWN_HOOK);
    }
    let doctor = world.lab.run("portero", &["doctor"]);
    assert!(!doctor.stdout.contains("hook"), "{doctor:?}");
}

fn upgraded(world: &mut World) {
    let before = std::fs::read_to_string(SETTINGS).expect("settings");
    assert!(before.starts_with("# The settings of old."), "{before}");
    let changed = format!("{before}\n[limits]\nports = [\"8000-9000\"]\n");
    // A table may stand in it once.
    let changed = changed.replacen("[limits]\n", "", 1);
    std::fs::write(SETTINGS, &changed).expect("settings");
    let package = world.package.display().to_string();
    world.dpkg(&["--force-confdef", "--force-confold", "-i", &package]);
    world.serves();
    world.guest_runs();
    assert_eq!(
        std::fs::read_to_string(SETTINGS).expect("settings"),
        changed
    );
    let offered = std::fs::read_to_string(format!("{SETTINGS}.dpkg-dist")).expect("new settings");
    assert!(offered.starts_with("# portero's settings"), "{offered}");
    // And they are those that count.
    let said = world.lab.run("portero", &["validate", SETTINGS]);
    assert!(said.ok, "{said:?}");
    let version = world.lab.must("portero", &["--version"]);
    assert_eq!(
        version.trim(),
        format!("portero {}", env!("CARGO_PKG_VERSION"))
    );
    only_the_service_is_enabled(world);
}

fn removed(world: &mut World) {
    world.serves();
    // As the timer writes them.
    let folder = "/var/lib/prometheus/node-exporter";
    std::fs::create_dir_all(folder).expect("a folder");
    let metrics = format!("{folder}/portero.prom");
    let words = ["status", "--format", "prometheus", "--output", &metrics];
    world.lab.must("portero", &words);
    world.dpkg(&["-r", "portero"]);
    world.refuses();
    world.guest_runs();
    assert_eq!(world.lab.rules(), world.rules);
    assert!(Path::new(SETTINGS).exists(), "the settings went");
    assert!(!Path::new(&metrics).exists(), "metrics that nobody writes");
    std::fs::remove_dir_all("/var/lib/prometheus").expect("its folder");
    let left = files(&world.lab);
    let is_kept = |line: &&String| REMEMBERED.iter().any(|part| line.contains(part));
    let strange = left.difference(&world.files);
    let strange = strange.filter(|line| !is_kept(line));
    assert_eq!(strange.collect::<Vec<_>>(), Vec::<&String>::new());
    // libvirt has forgotten nothing: its guests start and stop without hooks.
    world.lab.restart_libvirtd();
    world.guest_runs();
    world.lab.virsh(&["destroy", "web"]);
    world.lab.virsh(&["start", "web"]);
    world.lab.wait_guest(WEB);
    world.refuses();
}

fn again(world: &mut World) {
    let package = world.package.display().to_string();
    world.dpkg(&["-i", &package]);
    world.serves();
    let settings = std::fs::read_to_string(SETTINGS).expect("settings");
    assert!(settings.contains("8000-9000"), "{settings}");
}

fn purged(world: &mut World) {
    world.dpkg(&["-P", "portero"]);
    world.refuses();
    world.guest_runs();
    assert_eq!(world.lab.rules(), world.rules);
    let left = files(&world.lab);
    let came: Vec<&String> = left.difference(&world.files).collect();
    let went: Vec<&String> = world.files.difference(&left).collect();
    assert_eq!((came, went), (Vec::new(), Vec::new()));
}

/// libvirtd's profile, as the distribution ships it, has rules for what the hooks' links lead to.
fn apparmor(world: &mut World) {
    let profile = world
        .lab
        .must("cat", &["/etc/apparmor.d/usr.sbin.libvirtd"]);
    for rule in ["/usr/bin/* PUx,", "/etc/libvirt/hooks/** rmix,"] {
        assert!(
            profile.lines().any(|line| line.trim() == rule),
            "no rule '{rule}' in {profile}"
        );
    }
}
