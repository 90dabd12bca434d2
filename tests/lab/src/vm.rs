//! A machine of its own: emulated, booted from a disk of tests/roots with systemd as its first process, with one NIC that
//! leads outside.
//!
//! It is spoken to over a serial port, so that nothing that happens to its network is in the way, and over ssh from
//! outside where a scenario is about that.

use crate::container;
use crate::guest::{self, Image};
use crate::lab::{program_folder, project};
use crate::program::{run_bounded, Program, Ran};
use crate::xml::{self, DomainXml, NetworkXml, Processor};
use crate::{host, root, Backend, Options, HOST_V4, HOST_V6, OUTSIDE_V4, OUTSIDE_V6};
use std::cell::RefCell;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Where the disk, the initrds and the sockets of the machine are.
const FOLDER: &str = "/run/lab";

/// Longest time until the machine has booted, on a processor that is emulated beside others.
const BOOT_LIMIT: Duration = Duration::from_secs(600);

/// Longest time any command on the machine may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(600);

/// The machine's processor: one whose virtualization (AMD's SVM) QEMU emulates, so that nested guests are not emulated once
/// more. It takes them some seconds to boot instead of many minutes.
const CPU: &str = "phenom,fxsr-opt=off";

/// What the machine's kernel is told.
const CMDLINE: &str =
    "console=ttyS0 quiet panic=1 mitigations=off no_timer_check cryptomgr.notests net.ifnames=0 \
     initcall_blacklist=init_kprobe_trace,load_system_certificate_list systemd.show_status=false";

/// What confines programs on the machine: AppArmor, or SELinux where its tree has a policy for it.
fn confinement() -> &'static str {
    if Path::new("/etc/selinux/default").is_dir() {
        "selinux=1 security=selinux audit=1 audit_backlog_limit=8192"
    } else {
        "apparmor=1 security=apparmor"
    }
}

/// The machine's files besides its tree: path, mode, content.
const FILES: [(&str, u32, &str); 14] = [
    ("etc/hostname", 0o644, "machine\n"),
    (
        "etc/hosts",
        0o644,
        "127.0.0.1 localhost\n127.0.1.1 machine\n::1 localhost\n",
    ),
    // A machine without one would enable every unit at its first boot.
    (
        "etc/machine-id",
        0o444,
        "5ec0d000000040008000000000000003\n",
    ),
    ("etc/fstab", 0o644, "/dev/vda / ext4 defaults 0 0\n"),
    ("etc/resolv.conf", 0o644, ""),
    ("etc/network/interfaces", 0o644, INTERFACES),
    ("etc/default/libvirt-guests", 0o644, "SHUTDOWN_TIMEOUT=5\n"),
    ("etc/systemd/system/lab.service", 0o644, UNIT),
    ("usr/local/sbin/lab", 0o755, SCRIPT),
    // Beside other suites nothing is done in systemd's usual time.
    (
        "etc/systemd/system.conf.d/lab.conf",
        0o644,
        "[Manager]\nDefaultTimeoutStartSec=300s\nDefaultDeviceTimeoutSec=300s\n",
    ),
    // udev gives a new veth an address of its own, at times after libvirt has given it the container's: such a container
    // gets no reserved lease.
    (
        "usr/lib/systemd/network/73-lab.link",
        0o644,
        "[Match]\nDriver=veth\n\n[Link]\nNamePolicy=keep kernel\nMACAddressPolicy=none\n",
    ),
    // Newer than /usr, so that a first boot makes no caches.
    ("etc/.updated", 0o644, ""),
    ("var/.updated", 0o644, ""),
    // What is written before a machine is switched off can be read afterwards.
    ("var/log/journal/.lab", 0o644, ""),
];

/// Units that would only keep the lab waiting.
const MASKED: [&str; 9] = [
    "serial-getty@ttyS0.service",
    "getty@tty1.service",
    "systemd-binfmt.service",
    "systemd-hwdb-update.service",
    "systemd-timesyncd.service",
    "systemd-random-seed.service",
    "systemd-update-utmp.service",
    "systemd-networkd-wait-online.service",
    "NetworkManager-wait-online.service",
];

/// Debian's ifupdown, as it is installed.
pub const INTERFACES: &str = "# of this host\nauto lo\niface lo inet loopback\n\nauto eth0\n\
    iface eth0 inet static\n    address 203.0.113.1/24\n    gateway 203.0.113.2\n\
    iface eth0 inet6 static\n    address 2001:db8:113::1/64\n    gateway 2001:db8:113::2\n    dad-attempts 0\n";

const UNIT: &str = "[Unit]\nDescription=The lab's hand\nDefaultDependencies=no\nAfter=local-fs.target\n\n\
    [Service]\nExecStart=/usr/local/sbin/lab\nRestart=always\nRestartSec=1\nEnvironment=HOME=/root\nKillMode=process\n\
    SELinuxContext=-unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023\n\n\
    [Install]\nWantedBy=sysinit.target\n";

/// Runs scripts that come over the serial port, each with its length before it, and answers with its status, the lengths
/// of what it has written to stdout and stderr, and both.
const SCRIPT: &str = r#"#!/bin/bash
until [ -e /dev/virtio-ports/lab ]; do sleep 0.2; done
exec 3<>/dev/virtio-ports/lab
printf 'ready %s\n' "$(cat /proc/sys/kernel/random/boot_id)" >&3
while read -r -u 3 length; do
    script=$(head -c "$length" <&3)
    timeout 590 bash -c "$script" </dev/null >/run/lab.out 2>/run/lab.err 3>&-
    status=$?
    printf '%s %s %s\n' "$status" "$(stat -c %s /run/lab.out)" "$(stat -c %s /run/lab.err)" >&3
    cat /run/lab.out /run/lab.err >&3
done
"#;

/// Where the machine finds what the lab has given it.
pub const GIVEN: &str = "/var/lib/lab";

/// The machine, which ends with the value.
#[derive(Debug)]
pub struct Vm {
    image: Image,
    qemu: Option<Program>,
    port: RefCell<Option<BufReader<UnixStream>>>,
    boot: String,
    _outside_agent: Program,
}

impl Vm {
    /// Makes its disk, gives it the lab's agent, the guests' initrd and `files` (source and name below [`GIVEN`]), and boots
    /// it. Takes the tree for the root, as a lab does.
    ///
    /// # Panics
    /// When any part of it fails, or a unit does.
    #[must_use]
    pub fn boot(options: &Options, files: &[(&Path, &str)]) -> Self {
        let tree = options.root.canonicalize().expect("the machine's tree");
        let disk = PathBuf::from(format!("{}.img", tree.display()));
        assert!(
            disk.exists(),
            "{} is not there, expected the disk of a tree that 'tests/roots machine' has made",
            disk.display()
        );
        let cache = tree.parent().expect("a folder");
        root::enter(&tree, &[&project(), program_folder(options), cache]);
        host::devices();
        outside();
        for folder in ["machine", "guest"] {
            fs::create_dir_all(format!("{FOLDER}/{folder}")).expect("a folder");
        }
        let agent = format!("{FOLDER}/agent");
        fs::copy(&options.agent, &agent).expect("the agent");
        guest::make(
            Path::new(&format!("{FOLDER}/guest")),
            Path::new(&options.agent),
        );
        let guests = PathBuf::from(format!("{FOLDER}/guest/initrd.cpio"));
        let mut files = files.to_vec();
        files.extend([
            (Path::new(&options.agent), "agent"),
            (&guests, "guest.cpio"),
        ]);
        furnish(&files, options.backend);
        let overlay = ["create", "-q", "-f", "qcow2", "-F", "raw", "-b"];
        let to = format!("{FOLDER}/disk.qcow2");
        host::must(
            "qemu-img",
            &[&overlay[..], &[&disk.display().to_string(), &to]].concat(),
        );
        let mut vm = Self {
            image: guest::make_of_disk(Path::new(&format!("{FOLDER}/machine"))),
            qemu: None,
            port: RefCell::new(None),
            boot: String::new(),
            _outside_agent: Program::start(
                "ip",
                &["netns", "exec", "outside", &agent, "serve", "outside"],
            ),
        };
        vm.switch_on();
        vm.wait_boot();
        vm
    }

    /// Switches it on; it boots on its own.
    ///
    /// # Panics
    /// When it is on.
    pub fn switch_on(&mut self) {
        assert!(self.qemu.is_none(), "the machine is on");
        let socket = format!("{FOLDER}/port");
        let _ = fs::remove_file(&socket);
        let (kernel, initrd) = (self.image.kernel.display(), self.image.initrd.display());
        let line = format!(
            "netns exec outside qemu-system-x86_64 -nodefaults -no-user-config -display none -machine pc \
             -accel tcg,thread=multi,tb-size=512 -cpu {CPU} -smp 2 -m 3072 -kernel {kernel} -initrd {initrd} \
             -serial file:{FOLDER}/console -device virtio-rng-pci \
             -drive file={FOLDER}/disk.qcow2,format=qcow2,if=none,id=disk -device virtio-blk-pci,drive=disk \
             -drive file={FOLDER}/given.tar,format=raw,readonly=on,if=none,id=given -device virtio-blk-pci,drive=given \
             -netdev tap,id=lan,ifname=vm0,script=no,downscript=no \
             -device virtio-net-pci,netdev=lan,mac=52:54:00:00:71:01,romfile= \
             -device virtio-serial-pci -chardev socket,id=port,path={socket},server=on,wait=off \
             -device virtserialport,chardev=port,name=lab -append"
        );
        let told = format!("{CMDLINE} {}", confinement());
        let words: Vec<&str> = line.split_ascii_whitespace().chain([&*told]).collect();
        self.qemu = Some(Program::start("ip", &words));
        let end = Instant::now() + Duration::from_secs(60);
        let stream = loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < end, "{socket}: {error}"),
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        self.port = RefCell::new(Some(BufReader::new(stream)));
    }

    /// Takes its power away: nothing ends, nothing is written any more.
    pub fn switch_off(&mut self) {
        self.port = RefCell::new(None);
        self.qemu = None;
    }

    /// Has it boot anew, as an administrator does, and does not wait.
    ///
    /// # Panics
    /// When systemd refuses.
    pub fn begin_reboot(&self) {
        self.must("systemctl --no-block reboot");
    }

    /// Waits until a boot after the last one that was waited for has come to its end; gives how long that took.
    ///
    /// # Panics
    /// When it takes too long, or a unit fails.
    pub fn wait_boot(&mut self) -> Duration {
        let start = Instant::now();
        loop {
            let line = self.read_line(BOOT_LIMIT).expect("a machine that boots");
            let said = line.strip_prefix("ready ").unwrap_or_default().trim();
            if !said.is_empty() && said != self.boot {
                self.boot = said.to_owned();
                break;
            }
        }
        let state = loop {
            // It says nothing when it is ended before the boot is.
            let said = self
                .run("timeout 60 systemctl is-system-running --wait")
                .stdout;
            if !said.is_empty() || start.elapsed() > BOOT_LIMIT {
                break said;
            }
        };
        let failed = self
            .run("systemctl --failed --no-legend --plain; systemctl list-jobs")
            .stdout;
        assert_eq!(state.trim(), "running", "{failed}");
        start.elapsed()
    }

    fn read_line(&self, limit: Duration) -> io::Result<String> {
        let mut port = self.port.borrow_mut();
        let port = port.as_mut().expect("a machine that is on");
        port.get_ref().set_read_timeout(Some(limit))?;
        let mut line = String::new();
        port.read_line(&mut line)?;
        Ok(line)
    }

    /// Runs a script on the machine.
    ///
    /// # Panics
    /// When nobody answers.
    pub fn run(&self, script: &str) -> Ran {
        self.try_run(script)
            .unwrap_or_else(|error| panic!("the machine does not answer to '{script}': {error}"))
    }

    fn try_run(&self, script: &str) -> io::Result<Ran> {
        if let Some(port) = self.port.borrow_mut().as_mut() {
            write!(port.get_mut(), "{}\n{script}", script.len())?;
        }
        let line = loop {
            let line = self.read_line(COMMAND_LIMIT)?;
            if !line.starts_with("ready ") {
                break line;
            }
        };
        let numbers: Vec<usize> = line
            .split(' ')
            .flat_map(|word| word.trim().parse())
            .collect();
        let [status, out, err] = numbers[..] else {
            return Err(io::Error::other(format!("it says '{line}'")));
        };
        let mut port = self.port.borrow_mut();
        let port = port.as_mut().expect("a machine that is on");
        let mut both = vec![0; out + err];
        port.read_exact(&mut both)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Ran {
            ok: status == 0,
            stdout: text(&both[..out]),
            stderr: text(&both[out..]),
        })
    }

    /// Runs a script on the machine that has to succeed; gives its stdout.
    ///
    /// # Panics
    /// When it fails.
    pub fn must(&self, script: &str) -> String {
        let ran = self.run(script);
        assert!(ran.ok, "{script}: {ran:?}");
        ran.stdout
    }

    /// Writes a file of the machine's.
    ///
    /// # Panics
    /// When that fails.
    pub fn write(&self, path: &str, content: &str) {
        assert!(!content.contains("\nEND\n"), "no such line in {path}");
        self.must(&format!(
            "cat >'{path}' <<'END'\n{}\nEND",
            content.trim_end()
        ));
    }

    /// Runs a program outside.
    #[must_use]
    pub fn outside(&self, program: &str, arguments: &[&str]) -> Ran {
        let words = [&["netns", "exec", "outside", program][..], arguments].concat();
        run_bounded(Command::new("ip").args(words))
    }

    /// Runs a command on the machine by ssh, from outside.
    #[must_use]
    pub fn ssh(&self, command: &str) -> Ran {
        run_bounded(&mut self.ssh_call(command))
    }

    /// Starts a command on the machine by ssh, from outside.
    #[must_use]
    pub fn start_ssh(&self, command: &str) -> Program {
        Program::spawn(self.ssh_call(command).stdin(Stdio::null()))
    }

    fn ssh_call(&self, command: &str) -> Command {
        let mut call = Command::new("ip");
        call.args(["netns", "exec", "outside", "ssh", "-i"]);
        call.arg(format!("{FOLDER}/key"));
        for option in [
            "StrictHostKeyChecking=accept-new",
            "ConnectTimeout=20",
            "LogLevel=ERROR",
        ] {
            call.args(["-o", option]);
        }
        call.args(["-o", &format!("UserKnownHostsFile={FOLDER}/hosts")]);
        call.args([&format!("root@{HOST_V4}"), command]);
        call
    }

    /// One attempt from outside: the answer, or why there is none.
    ///
    /// # Errors
    /// What the connection failed with.
    pub fn probe(&self, proto: &str, address: &str, port: u16) -> Result<String, String> {
        let agent = format!("{FOLDER}/agent");
        let ran = self.outside(
            &agent,
            &["probe", proto, address, &port.to_string(), "1500"],
        );
        if ran.ok {
            Ok(ran.stdout.trim().to_owned())
        } else {
            Err(format!("{}{}", ran.stdout, ran.stderr).trim().to_owned())
        }
    }

    /// Waits until an answer comes that starts with `answer`; gives how long that took.
    ///
    /// # Panics
    /// When it does not come in time.
    pub fn answers(
        &self,
        limit: Duration,
        (proto, address, port): (&str, &str, u16),
        answer: &str,
    ) -> Duration {
        let start = Instant::now();
        loop {
            let got = self.probe(proto, address, port);
            match got {
                Ok(line) if line.starts_with(answer) => return start.elapsed(),
                other => assert!(
                    start.elapsed() < limit,
                    "{proto} {address} port {port}: expected '{answer}', got {other:?}"
                ),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Starts a program outside.
    #[must_use]
    pub fn start_outside(&self, program: &str, arguments: &[&str]) -> Program {
        let words = [&["netns", "exec", "outside", program][..], arguments].concat();
        Program::start("ip", &words)
    }

    /// The lab's agent, outside.
    #[must_use]
    pub fn outside_agent(&self) -> String {
        format!("{FOLDER}/agent")
    }

    /// Defines a network that starts with libvirt.
    ///
    /// # Panics
    /// When libvirt refuses.
    pub fn define_network(&self, network: &NetworkXml<'_>) {
        self.write("/run/lab.xml", &xml::network(network));
        let name = network.name;
        self.must(&format!(
            "virsh net-define /run/lab.xml && virsh net-autostart {name}"
        ));
    }

    /// Defines a domain that starts with libvirt.
    ///
    /// # Panics
    /// When libvirt refuses.
    pub fn define(&self, domain: &DomainXml<'_>) {
        let name = domain.name;
        let xml = xml::domain(
            domain,
            Processor::Hosts,
            (
                &self.image.kernel.display().to_string(),
                &format!("{GIVEN}/guest.cpio"),
            ),
            &format!("/var/lib/libvirt/images/{name}.console"),
        );
        self.write("/run/lab.xml", &xml);
        self.must(&format!(
            "virsh define /run/lab.xml && virsh autostart {name}"
        ));
    }

    /// Defines a container of libvirt's LXC driver that starts with libvirt and runs the lab's agent.
    ///
    /// # Panics
    /// When libvirt refuses.
    pub fn define_container(&self, domain: &DomainXml<'_>) {
        let name = domain.name;
        let root = format!("{GIVEN}/containers/{name}");
        self.must(&format!(
            "mkdir -p {root} && cd {root} && cpio -id --quiet <{GIVEN}/guest.cpio && mkdir -p proc sys dev tmp"
        ));
        self.write(&format!("{root}/container"), container::INIT);
        let xml = container::xml(
            name,
            &xml::uuid_of(name),
            &root,
            &xml::metadata("domain", domain.portero),
            &xml::interfaces(domain, ""),
        );
        self.write("/run/lab.xml", &xml);
        self.must(&format!(
            "chmod 755 {root}/container && virsh -c lxc:///system define /run/lab.xml && \
             virsh -c lxc:///system autostart {name}"
        ));
    }

    /// Waits until a guest's agent answers the machine; gives how long that took.
    ///
    /// # Panics
    /// When it does not within [`BOOT_LIMIT`].
    pub fn wait_guest(&self, address: &str) -> Duration {
        let start = Instant::now();
        let ask = format!("{GIVEN}/agent ask {address} ping");
        loop {
            let ran = self.run(&format!(
                "for try in $(seq 40); do {ask} && exit; sleep 0.5; done; exit 1"
            ));
            if ran.ok {
                return start.elapsed();
            }
            assert!(
                start.elapsed() < BOOT_LIMIT,
                "no guest answers at {address}: {ran:?}"
            );
        }
    }

    /// The rules of both families in both firewalls, without comments and counters.
    ///
    /// # Panics
    /// When they cannot be read.
    pub fn rules(&self) -> String {
        self.must(
            "nft -s list ruleset; for save in iptables-save ip6tables-save; do \
             $save | sed '/^#/d; s/ \\[[0-9]*:[0-9]*\\]$//'; done",
        )
    }

    /// The end of what was written to its console.
    #[must_use]
    pub fn console(&self) -> String {
        let text = fs::read(format!("{FOLDER}/console")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text[text.len().saturating_sub(4000)..]).into_owned();
        text
    }
}

/// The namespace outside, with the other end of the machine's NIC.
fn outside() {
    host::must("ip", &["link", "set", "lo", "up"]);
    host::must("ip", &["netns", "add", "outside"]);
    let (v4, v6) = (format!("{OUTSIDE_V4}/24"), format!("{OUTSIDE_V6}/64"));
    for step in [
        "tuntap add vm0 mode tap",
        "link set lo up",
        &format!("address add {v4} dev vm0"),
        &format!("address add {v6} dev vm0 nodad"),
        "link set vm0 up",
        &format!("route add default via {HOST_V4}"),
        &format!("route add default via {HOST_V6}"),
    ] {
        let words: Vec<&str> = ["-n", "outside"]
            .into_iter()
            .chain(step.split(' '))
            .collect();
        host::must("ip", &words);
    }
}

/// Makes the archive of what the machine has besides its tree.
fn furnish(given: &[(&Path, &str)], backend: Backend) {
    let root = PathBuf::from(format!("{FOLDER}/given"));
    let file = |path: &str, mode: u32, content: &[u8]| {
        let to = root.join(path);
        fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        fs::write(&to, content).expect("a file");
        host::must("chmod", &[&format!("{mode:o}"), &to.to_string_lossy()]);
    };
    for (path, mode, content) in FILES {
        file(path, mode, content.as_bytes());
    }
    let firewall = format!("firewall_backend = \"{}\"\n", backend.name());
    file("etc/libvirt/network.conf", 0o644, firewall.as_bytes());
    let key = format!("{FOLDER}/key");
    host::must("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &key]);
    let public = fs::read(format!("{key}.pub")).expect("a key");
    file("root/.ssh/authorized_keys", 0o600, &public);
    host::must(
        "chmod",
        &[
            "700",
            &root.join("root/.ssh").to_string_lossy(),
            &root.join("root").to_string_lossy(),
        ],
    );
    for (from, name) in given {
        let content = fs::read(from).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        file(&format!("{}/{name}", &GIVEN[1..]), 0o755, &content);
    }
    let units = root.join("etc/systemd/system");
    for unit in MASKED {
        symlink("/dev/null", units.join(unit)).expect("a masked unit");
    }
    fs::create_dir_all(units.join("sysinit.target.wants")).expect("a folder");
    symlink(
        "../lab.service",
        units.join("sysinit.target.wants/lab.service"),
    )
    .expect("an enabled unit");
    // It looks for a device that this machine has not, and says that it fails.
    fs::create_dir_all(root.join("etc/systemd/system-generators")).expect("a folder");
    let generator = root.join("etc/systemd/system-generators/systemd-ssh-generator");
    symlink("/dev/null", generator).expect("a masked generator");
    disable_profiles(&root);
    let archive = format!("{FOLDER}/given.tar");
    host::must(
        "tar",
        &[
            "-C",
            &root.to_string_lossy(),
            "--owner=0",
            "--group=0",
            "-cf",
            &archive,
            "etc",
            "root",
            "usr",
            "var",
        ],
    );
    fs::remove_dir_all(root).expect("what is in the archive");
}

/// Of AppArmor's profiles those of libvirt's are loaded: the others are of programs that are not there, and an emulated
/// processor takes minutes to compile them.
fn disable_profiles(root: &Path) {
    const PROFILES: &str = "etc/apparmor.d";
    let disabled = root.join(PROFILES).join("disable");
    fs::create_dir_all(&disabled).expect("a folder");
    for entry in fs::read_dir(Path::new("/").join(PROFILES)).expect("AppArmor's profiles") {
        let entry = entry.expect("an entry");
        let name = entry.file_name();
        if entry.path().is_file() && !name.to_string_lossy().contains("libvirt") {
            symlink(
                Path::new("/").join(PROFILES).join(&name),
                disabled.join(&name),
            )
            .expect("a link");
        }
    }
}
