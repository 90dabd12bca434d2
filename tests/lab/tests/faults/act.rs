//! What is done to portero: recorded events of a guest `rec1` on network `rec` and of a network `fence`
//! with a policy and a forward, and comparisons.

use portero_lab::Event;
use std::fs;
use std::process::{Command, Stdio};

/// A network with room for all recorded guests.
const NETWORK: &str = "<hookData><network><name>rec</name>\
<uuid>aaaaaaaa-0000-4000-8000-000000000000</uuid><forward mode='nat'/><bridge name='br-rec'/>\
<ip address='10.77.0.1' prefix='16'/><ip family='ipv6' address='fd00:77::1' prefix='64'/></network>PORT</hookData>";

/// A network with a forward and a policy, whose default is `DEFAULT`.
const FENCE: &str = "<hookData><network><name>fence</name>\
<uuid>aaaaaaaa-0000-4000-8000-000000000078</uuid><metadata><p:network xmlns:p='urn:portero:1'>\
<p:policy><p:default in='DEFAULT'/><p:rule action='accept' direction='in'><p:peer address='192.0.2.0' prefix='24'/>\
<p:tcp dstportstart='22'/></p:rule></p:policy>\
<p:portForward proto='tcp' guest='10.78.0.7'><p:range start='2278' to='22'/></p:portForward></p:network></metadata>\
<forward mode='open'/><bridge name='br-fence'/><ip address='10.78.0.1' prefix='24'><dhcp>\
<host mac='52:54:00:78:00:07' ip='10.78.0.7'/></dhcp></ip>\
<ip family='ipv6' address='fd00:78::1' prefix='64'/></network>PORT</hookData>";

/// Something that is done to portero.
#[derive(Debug, Clone)]
pub enum Act {
    /// libvirt runs a hook.
    Hook(Event),
    /// The administrator runs `portero sync`.
    Sync,
}

impl Act {
    /// The program, run by `wrapper` if that is not empty, once libvirt has saved what it does before.
    pub fn command(&self, wrapper: &[&str]) -> Command {
        match self {
            Self::Hook(event) => {
                save(event);
                event.command(wrapper)
            }
            Self::Sync => {
                let words = [wrapper, &["/usr/bin/portero", "sync"]].concat();
                let mut command = Command::new(words[0]);
                command.args(&words[1..]).stdin(Stdio::null());
                command
            }
        }
    }

    /// Does it; says whether that succeeded.
    pub fn run(&self) -> bool {
        let mut command = self.command(&[]);
        command
            .stdout(Stdio::null())
            .status()
            .expect("a program")
            .success()
    }

    /// Whether libvirt, or a person, may be told that it failed.
    pub fn may_fail(&self) -> bool {
        match self {
            Self::Hook(event) => {
                ["prepare", "start"].contains(&event.operation) && event.hook != "daemon"
            }
            Self::Sync => true,
        }
    }
}

/// Writes or removes the file in which libvirt keeps what is active.
fn save(event: &Event) {
    let path = format!("/run/libvirt/{}/{}.xml", event.hook, event.name);
    match (event.hook, event.operation) {
        ("network", "started" | "updated" | "port-created") => {
            fs::write(path, event.stdin.replace("hookData>", "networkstatus>"))
        }
        ("qemu", "started" | "reconnect") => {
            let process = std::process::id();
            fs::write(
                path,
                format!("<domstatus pid='{process}'>{}</domstatus>", event.stdin),
            )
        }
        // A process that has ended comes to the same.
        (_, "stopped") if fs::exists(&path).is_ok_and(|exists| exists) => fs::remove_file(path),
        _ => Ok(()),
    }
    .expect("libvirt's file");
}

fn hook(hook: &'static str, name: &str, operation: &'static str, stdin: String) -> Act {
    Act::Hook(Event {
        hook,
        name: name.to_owned(),
        operation,
        stdin,
    })
}

/// An operation on a guest with two forwards.
pub fn qemu(number: u16, operation: &'static str) -> Act {
    let interface = format!(
        "<interface type='network'><mac address='52:54:00:77:00:{number:02x}'/>\
         <source network='rec'/></interface>"
    );
    domain(number, operation, &interface)
}

/// An operation on the same guest once its interface is unplugged.
pub fn unplugged(number: u16, operation: &'static str) -> Act {
    domain(number, operation, "")
}

fn domain(number: u16, operation: &'static str, interface: &str) -> Act {
    let domain = format!(
        "<domain><name>rec{number}</name><uuid>bbbbbbbb-0000-4000-8000-00000000{number:04x}</uuid>\
         <metadata><p:domain xmlns:p='urn:portero:1'>\
         <p:portForward proto='tcp' guest='10.77.1.{number}'><p:range start='{}' to='80'/></p:portForward>\
         <p:portForward proto='udp' guest='fd00:77::1:{number}'><p:range start='{}' to='80'/></p:portForward>\
         </p:domain></metadata><devices>{interface}</devices></domain>",
        20000 + number,
        20000 + number
    );
    hook("qemu", &format!("rec{number}"), operation, domain)
}

fn port(number: u16) -> String {
    format!(
        "<networkport><uuid>cccccccc-0000-4000-8000-00000000{number:04x}</uuid><owner>\
         <name>rec{number}</name><uuid>bbbbbbbb-0000-4000-8000-00000000{number:04x}</uuid></owner>\
         <mac address='52:54:00:77:00:{number:02x}'/></networkport>"
    )
}

/// A guest's interface joins the guests' network, or leaves it.
pub fn network_port(number: u16, operation: &'static str) -> Act {
    let stdin = NETWORK.replace("PORT", &port(number));
    hook("network", "rec", operation, stdin)
}

/// The guests' network is gone.
pub fn forget_network() -> Act {
    hook("network", "rec", "stopped", NETWORK.replace("PORT", ""))
}

/// An operation on the network with a policy.
pub fn fence(operation: &'static str) -> Act {
    let has_port = operation.starts_with("port-");
    let stdin = FENCE.replace("PORT", &if has_port { port(9) } else { String::new() });
    hook(
        "network",
        "fence",
        operation,
        stdin.replace("DEFAULT", "reject"),
    )
}

/// The same, now that its policy is another one.
pub fn changed_fence(operation: &'static str) -> Act {
    let stdin = FENCE.replace("PORT", "").replace("DEFAULT", "drop");
    hook("network", "fence", operation, stdin)
}

/// The daemon starts.
pub fn daemon() -> Act {
    Act::Hook(Event::daemon_start())
}
