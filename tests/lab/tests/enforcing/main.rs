//! SELinux, enforcing, on a machine of its own with Debian's policy and the module of packaging/selinux: hooks and the
//! service do their work in domains of their own, and are denied nothing.

use portero_lab::{
    enter, find_package, run_scenarios, DomainXml, NetworkXml, Options, Scenario, Vm, GIVEN,
    HOST_V4,
};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

const SCENARIOS: &[Scenario<Vm>] = &[
    Scenario {
        name: "without the module: a hook is denied what it needs, and doctor names that",
        run: without_module,
    },
    Scenario {
        name: "with it hooks and the service work in their domains, and are denied nothing",
        run: with_module,
    },
    Scenario {
        name:
            "a file with another's label: the hook is denied it, and doctor names what mends that",
        run: labelled_as_anothers,
    },
];

const WEB: &str = "192.168.50.10";
const WEB_MAC: &str = "52:54:00:00:50:10";
const FORWARD: &str =
    "<portero:portForward proto='tcp'><portero:range start='8080' to='80'/></portero:portForward>";

/// What outside asks, and how the guest's answer begins.
const PORT: (&str, &str, u16) = ("tcp", HOST_V4, 8080);
const ANSWER: &str = "web tcp 80";

/// Longest time until something is so that nobody has to wait for: on a processor that is emulated beside others.
const SOON: Duration = Duration::from_secs(300);

/// When what counts has begun.
const BEGIN: &str = "/var/lib/lab/begin";

/// The modules' sources: portero's, and Debian's own faults.
const MODULES: [(&str, &str); 4] = [
    (
        "portero.te",
        include_str!("../../../../packaging/selinux/portero.te"),
    ),
    (
        "portero.fc",
        include_str!("../../../../packaging/selinux/portero.fc"),
    ),
    ("debian.te", include_str!("debian.te")),
    ("debian.fc", include_str!("debian.fc")),
];

fn main() -> ExitCode {
    enter();
    let options = Options::from_environment(env!("CARGO_BIN_EXE_portero-lab-agent"));
    let folder = std::env::var("PORTERO_PACKAGES").expect("PORTERO_PACKAGES, from the Makefile");
    let package = find_package("portero", Path::new(&folder));
    let mut vm = Vm::boot(&options, &[(&package, "portero.deb")]);
    // Debian's policy lets libvirtd neither end the mounts of a guest's namespace nor virtlogd write a guest's console.
    vm.must("printf 'namespaces = []\\nstdio_handler = \"file\"\\n' >>/etc/libvirt/qemu.conf");
    run_scenarios(&mut vm, SCENARIOS, explain)
}

fn without_module(vm: &mut Vm) {
    assert_eq!(vm.must("getenforce").trim(), "Enforcing");
    vm.must(&format!("date +%s >{BEGIN}"));
    vm.must(&format!(
        "DEBIAN_FRONTEND=noninteractive dpkg -i {GIVEN}/portero.deb && systemctl restart libvirtd && virsh list"
    ));
    // The daemon hook is libvirtd's, as any other program would be.
    let denied = denied(vm);
    assert!(
        denied.contains("comm=\"50-portero\"") && denied.contains(":virtd_t:"),
        "{denied}"
    );
    let doctor = vm.run("portero doctor").stdout;
    assert!(
        doctor.contains("selinux: SELinux denies virtd_t {") && doctor.contains("restorecon "),
        "{doctor}"
    );
}

fn with_module(vm: &mut Vm) {
    has_module(vm);
    vm.must("systemctl restart portero-watch libvirtd && virsh list");
    assert_eq!(domain(vm, "portero-watch"), "portero_watch_t");
    assert_eq!(domain(vm, "libvirtd"), "virtd_t");
    vm.must("auditctl -a always,exit -F arch=b64 -S execve -F subj_type=portero_hook_t -k hooks");
    vm.define_network(&NetworkXml {
        name: "lan",
        mode: "nat",
        number: 50,
        reservations: &[(WEB_MAC, 10)],
        portero: "",
    });
    vm.must("virsh net-start lan");
    vm.define(&DomainXml {
        name: "web",
        nics: &[("lan", WEB_MAC)],
        v6: None,
        portero: FORWARD,
    });
    // Control: nobody forwards before the guest runs.
    refuses(vm);
    vm.must("virsh start web");
    let guest = vm.wait_guest(WEB);
    println!("  the guest answers after {:.0} s", guest.as_secs_f64());
    vm.answers(SOON, PORT, ANSWER);
    let run = vm.must("ausearch -k hooks -m syscall");
    for hook in ["network", "qemu"] {
        let program = format!(
            "exe=\"/usr/bin/portero-{hook}-hook\" subj=system_u:system_r:portero_hook_t:s0"
        );
        assert!(run.contains(&program), "{hook}: {run}");
    }
    let kept = vm.must("stat -c %C /run/portero /run/portero/domains/*");
    assert!(
        kept.lines().count() == 2
            && kept
                .lines()
                .all(|label| label.contains(":portero_var_run_t:")),
        "{kept}"
    );
    // The service puts back what somebody has flushed; the rules of libvirt's stay.
    vm.must("nft delete table inet portero");
    vm.answers(SOON, PORT, ANSWER);
    vm.must("portero sync && portero plan");
    is_calm(vm);

    // Restarts of libvirtd, and a boot with a guest that starts with it.
    vm.must("systemctl restart libvirtd && virsh list");
    vm.answers(SOON, PORT, ANSWER);
    vm.begin_reboot();
    let took = vm.wait_boot();
    println!("  booted anew in {:.0} s", took.as_secs_f64());
    assert_eq!(vm.must("getenforce").trim(), "Enforcing");
    vm.answers(SOON, PORT, ANSWER);
    assert_eq!(domain(vm, "portero-watch"), "portero_watch_t");
    vm.must("virsh destroy web");
    refuses(vm);
    vm.must("virsh net-destroy lan && virsh net-start lan && virsh start web");
    vm.answers(SOON, PORT, ANSWER);
    is_calm(vm);
    let finding = vm.run("portero doctor").stdout;
    assert!(!finding.contains("selinux: "), "{finding}");
}

fn labelled_as_anothers(vm: &mut Vm) {
    has_module(vm);
    is_calm(vm);
    vm.must("chcon -t user_home_t /etc/portero/portero.toml && systemctl restart libvirtd && virsh list");
    let found = denied(vm);
    assert!(
        found.contains(":portero_hook_t:") && found.contains("portero.toml"),
        "{found}"
    );
    let doctor = vm.run("portero doctor").stdout;
    let finding = "selinux: SELinux denies portero_hook_t { read } of the file 'portero.toml' of type user_home_t";
    let (_, mend) = doctor
        .split_once(finding)
        .unwrap_or_else(|| panic!("{doctor}"));
    let (_, mend) = mend.split_once("repair: ").expect("what mends it");
    let command = mend.split(", and report").next().expect("a command");
    vm.must(&format!(
        "{command} && date +%s >{BEGIN} && sleep 1 && systemctl restart libvirtd && virsh list"
    ));
    is_calm(vm);
}

/// Has the module, and each file of portero's its label, as the package portero-selinux does it.
fn has_module(vm: &Vm) {
    if vm.run("semodule -l | grep -qx portero").ok {
        return;
    }
    // Where the program that loads it may read it.
    vm.must("mkdir -p /root/modules");
    for (name, content) in MODULES {
        vm.write(&format!("/root/modules/{name}"), content);
    }
    vm.must(&format!(
        "set -o pipefail; cd /root/modules
         make -s -f /usr/share/selinux/devel/Makefile NAME=default portero.pp debian.pp
         semodule -i portero.pp debian.pp 2>&1 | cat
         [ -e /usr/bin/portero ] || DEBIAN_FRONTEND=noninteractive dpkg -i {GIVEN}/portero.deb
         restorecon -iR /boot {GIVEN} /usr/bin/portero* /etc/portero /etc/libvirt/hooks /run/portero /var/lib/portero
         sleep 1; date +%s >{BEGIN}"
    ));
}

/// The type of a program's process.
fn domain(vm: &Vm, name: &str) -> String {
    let label = vm.must(&format!("ps -o label= -p $(pidof {name})"));
    label.split(':').nth(2).unwrap_or_default().to_owned()
}

/// What was denied since it counts, of portero's programs, their files and the firewall's programs that they call. A
/// guest, dnsmasq's helper and the boot are denied other things by Debian's own policy.
fn denied(vm: &Vm) -> String {
    let all = vm.must(&format!(
        "ausearch -m avc,user_avc,selinux_err -ts $(LC_ALL=C date -d @$(cat {BEGIN}) '+%x %T') 2>&1 || true"
    ));
    let is_ours = |line: &&str| {
        let words = ["portero", "xtables.lock", ":iptables_t:", ":ifconfig_t:"];
        line.contains("denied") && words.iter().any(|word| line.contains(word))
    };
    let all: Vec<&str> = all.lines().filter(is_ours).collect();
    all.join("\n")
}

fn is_calm(vm: &Vm) {
    assert_eq!(denied(vm), "", "what is denied");
}

/// The port is not served to the machine outside.
fn refuses(vm: &Vm) {
    let (proto, address, port) = PORT;
    if let Ok(line) = vm.probe(proto, address, port) {
        panic!("port {port}: expected no answer, got '{line}'");
    }
}

/// After a failure: shows what may explain it.
fn explain(vm: &Vm) {
    for command in [
        "systemctl --failed --no-legend --plain",
        "ausearch -m avc,user_avc,selinux_err -ts boot | grep denied | grep -v semanage_t | tail -n 60",
        "journalctl -b -q -p warning -o short | tail -n 40",
        "journalctl -b -q -u portero-watch -o short | tail -n 20",
        "portero status; portero doctor; portero explain 8080",
    ] {
        let ran = vm.run(command);
        println!("--- {command}\n{}{}", ran.stdout, ran.stderr);
    }
}
