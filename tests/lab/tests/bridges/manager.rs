//! The programs that configure a host's NIC, each with the files of its own format.

use crate::host::NIC;
use portero_lab::{Lab, Program};
use std::fs;
use std::time::{Duration, Instant};

/// A manager that runs, and how it ends.
pub struct Manager {
    /// Its daemon, where it has one.
    programs: Vec<Program>,
    /// Files and folders to remove in the end.
    files: Vec<&'static str>,
    end: &'static [&'static str],
    /// Asks it for the DNS servers of an interface; prints nothing where it knows none.
    dns: &'static [&'static str],
}

impl Manager {
    /// The DNS server 192.0.2.53 where the manager has it for an interface; nothing where it knows
    /// none of any.
    pub fn dns(&self, lab: &Lab, interface: &str) -> Option<bool> {
        let (program, arguments) = self.dns.split_first()?;
        let shown = lab.must(program, &[arguments, &[interface]].concat());
        Some(shown.contains("192.0.2.53"))
    }

    /// The process of its daemon.
    ///
    /// # Panics
    /// When it has none.
    pub fn daemon(&self) -> u32 {
        self.programs.first().expect("a daemon").id()
    }

    /// Ends it; the NIC keeps what it has.
    pub fn end(self, lab: &Lab) {
        if let Some((program, arguments)) = self.end.split_first() {
            let _ = lab.run(program, arguments);
        }
        drop(self.programs);
        for file in self.files {
            let _ = fs::remove_dir_all(file);
            let _ = fs::remove_file(file);
        }
    }
}

fn write(path: &str, text: &str) {
    let folder = std::path::Path::new(path).parent().expect("a folder");
    fs::create_dir_all(folder).expect("a folder");
    // A program of the scenario before may still run for a moment.
    if let Err(error) = fs::write(path, text) {
        assert_eq!(
            error.kind(),
            std::io::ErrorKind::ExecutableFileBusy,
            "{path}: {error}"
        );
        fs::remove_file(path).expect("the file");
        fs::write(path, text).expect("a file");
    }
}

/// Debian's ifupdown with a static address.
pub fn ifupdown(lab: &Lab) -> Manager {
    interfaces(
        lab,
        "iface lan0 inet static\n    address 192.0.2.10/24\n    gateway 192.0.2.1\n    # the printer\n    \
         up ip route add 198.51.100.0/24 via 192.0.2.1 dev lan0\n\
         iface lan0 inet6 static\n    address 2001:db8:2::10/64\n    gateway 2001:db8:2::1\n    dad-attempts 0\n",
    )
}

/// Debian's ifupdown, with DHCP.
pub fn ifupdown_dhcp(lab: &Lab) -> Manager {
    interfaces(lab, "iface lan0 inet dhcp\n")
}

fn interfaces(lab: &Lab, nic: &str) -> Manager {
    let text = format!("# of this host\nauto lo\niface lo inet loopback\n\nauto {NIC}\n{nic}");
    write("/etc/network/interfaces", &text);
    fs::create_dir_all("/run/network").expect("/run/network");
    lab.must("ifup", &["--force", NIC]);
    Manager {
        programs: Vec::new(),
        files: vec!["/run/network", "/etc/network/interfaces"],
        end: &["ifdown", "--force", NIC],
        dns: &[],
    }
}

/// Debian's ifupdown with a file for a NIC that it has not brought up.
pub fn ifupdown_elsewhere(_: &Lab) -> Manager {
    write(
        "/etc/network/interfaces",
        "auto lan0\niface lan0 inet static\n    address 192.0.2.10/24\n    gateway 192.0.2.1\n",
    );
    fs::create_dir_all("/run/network").expect("/run/network");
    only_files(&["/run/network", "/etc/network/interfaces"])
}

/// No program, but its files.
fn only_files(files: &[&'static str]) -> Manager {
    Manager {
        programs: Vec::new(),
        files: files.to_vec(),
        end: &[],
        dns: &[],
    }
}

/// systemd-networkd with a static address.
pub fn networkd(lab: &Lab) -> Manager {
    networkd_files();
    run_networkd(lab)
}

/// systemd-networkd, which a file of the running system's keeps from the NIC.
pub fn networkd_elsewhere(lab: &Lab) -> Manager {
    networkd_files();
    write(
        "/run/systemd/network/05-lan.network",
        "[Match]\nName=lan0\n\n[Link]\nUnmanaged=yes\n",
    );
    let mut manager = run_networkd(lab);
    manager.files.push("/run/systemd/network");
    manager
}

/// Files of systemd-networkd, which does not run; its bus does.
pub fn networkd_stopped(lab: &Lab) -> Manager {
    networkd_files();
    let mut manager = only_files(&["/etc/systemd/network"]);
    manager.programs.push(lab.system_bus());
    manager
}

fn networkd_files() {
    write(
        "/etc/systemd/network/20-lan.network",
        "[Match]\nName=lan0\n\n[Network]\n# the office\nAddress=192.0.2.10/24\nGateway=192.0.2.1\nDNS=192.0.2.53\n\
         Address=2001:db8:2::10/64\nGateway=2001:db8:2::1\nIPv6AcceptRA=no\nIPv6DuplicateAddressDetection=0\n\n\
         [Route]\nDestination=198.51.100.0/24\nGateway=192.0.2.1\n",
    );
}

/// Starts systemd-networkd.
fn run_networkd(lab: &Lab) -> Manager {
    // It leaves alone what other programs of the lab have made.
    write(
        "/etc/systemd/network/10-others.network",
        "[Match]\nName=eth* vnet* virbr* lo\n\n[Link]\nUnmanaged=yes\n",
    );
    fs::create_dir_all("/run/systemd").expect("/run/systemd");
    let bus = lab.system_bus();
    lab.must(
        "install",
        &[
            "-d",
            "-o",
            "systemd-network",
            "-g",
            "systemd-network",
            "/run/systemd/netif",
            "/run/systemd/netif/links",
            "/run/systemd/netif/leases",
            "/run/systemd/netif/lldp",
        ],
    );
    let daemon = without_udev("/usr/lib/systemd/systemd-networkd");
    wait(lab, "networkctl", &["status", "--no-pager", NIC]);
    Manager {
        programs: vec![daemon, bus],
        files: vec!["/etc/systemd/network", "/run/systemd/netif"],
        end: &[],
        dns: &["networkctl", "status", "--no-pager"],
    }
}

/// netplan with a static address, which it passes on to networkd. What it would have systemd and
/// udev do is done by a script, since neither runs here.
pub fn netplan(lab: &Lab) -> Manager {
    write(
        "/etc/netplan/01-lan.yaml",
        "network:\n  version: 2\n  renderer: networkd\n  ethernets:\n    lan0:\n      addresses: [192.0.2.10/24, \
         \"2001:db8:2::10/64\"]\n      accept-ra: false\n      nameservers: {addresses: [192.0.2.53]}\n      routes:\n        - {to: default, via: 192.0.2.1}\n        \
         - {to: default, via: \"2001:db8:2::1\"}\n        - {to: 198.51.100.0/24, via: 192.0.2.1}\n",
    );
    lab.must("chmod", &["600", "/etc/netplan/01-lan.yaml"]);
    let script =
        "#!/bin/sh\ncase \"$*\" in *start*systemd-networkd*) exec networkctl reload ;; esac\n";
    for program in ["/usr/bin/systemctl", "/usr/bin/udevadm"] {
        write(program, script);
        lab.must("chmod", &["755", program]);
    }
    lab.must("netplan", &["generate"]);
    let mut manager = run_networkd(lab);
    manager.files.extend([
        "/etc/netplan",
        "/run/systemd/network",
        "/run/systemd/system",
    ]);
    manager
}

/// What NetworkManager is to leave alone but for these.
const OURS: &str = "except:interface-name:lan0;except:interface-name:br0";

/// NetworkManager with a static address in a keyfile.
pub fn network_manager(lab: &Lab) -> Manager {
    keyfile(lab);
    let manager = run_network_manager(lab, OURS, "[device]\nkeep-configuration=no\n");
    wait(lab, "nmcli", &["--wait", "20", "device", "connect", NIC]);
    manager
}

/// NetworkManager, which its settings keep from the NIC.
pub fn network_manager_elsewhere(lab: &Lab) -> Manager {
    keyfile(lab);
    run_network_manager(lab, "interface-name:lan0", "")
}

/// A keyfile of NetworkManager's, which does not run; its bus does.
pub fn network_manager_stopped(lab: &Lab) -> Manager {
    keyfile(lab);
    let mut manager = only_files(&["/etc/NetworkManager/system-connections"]);
    manager.programs.push(lab.system_bus());
    manager
}

/// NetworkManager beside an ifcfg file that keeps the NIC from it.
pub fn ifcfg_kept(lab: &Lab) -> Manager {
    ifcfg(lab, "NM_CONTROLLED=no\n")
}

/// NetworkManager without its reader of ifcfg files, which Debian's does not have.
pub fn ifcfg_not_read(lab: &Lab) -> Manager {
    ifcfg(lab, "")
}

fn ifcfg(lab: &Lab, more: &str) -> Manager {
    let text = format!(
        "DEVICE=lan0\nTYPE=Ethernet\nONBOOT=yes\nBOOTPROTO=none\nIPADDR=192.0.2.10\nPREFIX=24\nGATEWAY=192.0.2.1\n\
         IPV6INIT=no\n{more}"
    );
    write("/etc/sysconfig/network-scripts/ifcfg-lan0", &text);
    let mut manager = run_network_manager(lab, OURS, "");
    manager.files.push("/etc/sysconfig");
    manager
}

fn keyfile(lab: &Lab) {
    let keyfile = "/etc/NetworkManager/system-connections/lan.nmconnection";
    write(
        keyfile,
        "[connection]\nid=lan\nuuid=6b1c5a0e-7b43-4d5c-9a53-0c5b6f9a2f10\ntype=ethernet\ninterface-name=lan0\n\n\
         [ethernet]\n\n# the office\n[ipv4]\naddress1=192.0.2.10/24,192.0.2.1\ndns=192.0.2.53;\nmethod=manual\n\
         route1=198.51.100.0/24,192.0.2.1\n\n\
         [ipv6]\naddr-gen-mode=stable-privacy\naddress1=2001:db8:2::10/64,2001:db8:2::1\nip6-privacy=0\n\
         method=manual\n",
    );
    lab.must("chmod", &["600", keyfile]);
}

/// Starts NetworkManager, which leaves these devices alone, with more settings.
fn run_network_manager(lab: &Lab, unmanaged: &str, more: &str) -> Manager {
    let settings = format!(
        "[main]\nplugins=keyfile\ndns=none\nno-auto-default=*\n[keyfile]\nunmanaged-devices={unmanaged}\n{more}"
    );
    write("/etc/NetworkManager/NetworkManager.conf", &settings);
    // Debian has NetworkManager leave virtual Ethernet alone by a rule of udev, which is not here.
    let bus = lab.system_bus();
    let daemon = without_udev("/usr/sbin/NetworkManager --no-daemon");
    wait(lab, "nm-online", &["-s", "-q", "-t", "20"]);
    Manager {
        programs: vec![daemon, bus],
        files: vec![
            "/etc/NetworkManager/system-connections",
            "/run/NetworkManager",
        ],
        end: &[],
        dns: &["nmcli", "-g", "IP4.DNS", "device", "show"],
    }
}

/// Starts a daemon that takes a /sys that cannot be written to for a container without udev, and
/// so does not wait for it.
fn without_udev(command: &str) -> Program {
    let script = format!("mount -o remount,bind,ro /sys && exec {command} 2>>/run/lab/manager.log");
    Program::start("unshare", &["--mount", "bash", "-c", &script])
}

/// Waits until a program succeeds.
fn wait(lab: &Lab, program: &str, arguments: &[&str]) {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let ran = lab.run(program, arguments);
        if ran.ok {
            return;
        }
        let log = fs::read_to_string("/run/lab/manager.log").unwrap_or_default();
        assert!(Instant::now() < end, "{program}: {ran:?}\n{log}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
