//! The target of the host's own network files, of which a bridge is planned.

use crate::one_line::one_line;
use crate::Reached;
use portero_host_bridge::{
    plan, Bridge, BridgeError, BridgePlan, FileChange, HostFiles, HostNic, Ifcfg, NicKind,
    NicState, Renderer, Stp,
};
use portero_libvirt::InterfaceName;

/// What begins a line with the path of the file that follows.
const PATH: &str = "== ";

/// Files of another interface, one in each format, which no plan may touch.
const BYSTANDERS: [(&str, &str); 4] = [
    ("sysconfig/network-scripts/ifcfg-eth9", "# Of eth9.\nDEVICE=eth9\nBOOTPROTO='dhcp'\nTYPE=Ethernet\n"),
    (
        "NetworkManager/system-connections/eth9.nmconnection",
        "[connection]\nid=nine\nuuid=3fa7b1f0-0000-4000-8000-000000000009\ntype=ethernet\ninterface-name=eth9\n",
    ),
    ("systemd/network/90-eth9.network", "[Match]\nName=eth9\n\n[Network]\nDHCP=yes\n"),
    ("network/interfaces.d/eth9", "# Of eth9.\nauto eth9\niface eth9 inet dhcp\n"),
];

/// Any text as files below /etc. The first byte chooses the format; lines that begin with `== ` divide what
/// follows into files.
pub fn host_files(input: &[u8]) -> Reached {
    let Some((choice, text)) = input.split_first() else {
        return Reached::Nothing;
    };
    let text = String::from_utf8_lossy(text);
    let renderers = [None]
        .into_iter()
        .chain(Renderer::ALL.iter().copied().map(Some));
    let renderers: Vec<Option<Renderer>> = renderers.collect();
    let renderer = renderers[usize::from(choice & 7) % renderers.len()];
    let mut files = divided(renderer, &text);
    for (path, text) in files.iter() {
        if path.contains("ifcfg-") {
            is_read_as_written(text);
        }
    }
    for (path, text) in BYSTANDERS {
        if files.get(path).is_none() {
            files.insert(path, text);
        }
    }
    let nics = nics(choice & 8 == 0);
    let mut bridge = Bridge {
        name: name("br0"),
        nics: vec![name("eth0")],
        stp: if choice & 16 == 0 { Stp::Off } else { Stp::On },
    };
    if choice & 32 != 0 {
        bridge.nics.push(name("eth1"));
    }
    match plan(&bridge, renderer, &files, &nics) {
        Err(error) => {
            one_line(&error);
            Reached::Refused
        }
        Ok(plan) => {
            check(&plan, &bridge, &files, &nics);
            Reached::Taken
        }
    }
}

/// The files, the first in the place where the format has its own.
fn divided(renderer: Option<Renderer>, text: &str) -> HostFiles {
    let mut path = match renderer {
        None | Some(Renderer::Ifcfg) => "sysconfig/network-scripts/ifcfg-eth0",
        Some(Renderer::Keyfile) => "NetworkManager/system-connections/eth0.nmconnection",
        Some(Renderer::Networkd) => "systemd/network/10-eth0.network",
        Some(Renderer::Netplan) => "netplan/01-eth0.yaml",
        Some(Renderer::Ifupdown) => "network/interfaces",
    };
    let mut files = HostFiles::default();
    let mut file = String::new();
    for line in text.split_inclusive('\n') {
        if let Some(next) = line.strip_prefix(PATH) {
            if !file.is_empty() {
                files.insert(path, std::mem::take(&mut file));
            }
            path = next.trim_end();
        } else {
            file += line;
        }
    }
    if !file.is_empty() {
        files.insert(path, file);
    }
    files
}

/// An ifcfg file has the same values after it was written, and comments stay.
fn is_read_as_written(text: &str) {
    let read = match Ifcfg::parse(text) {
        Ok(read) => read,
        Err(error) => {
            one_line(&error);
            return;
        }
    };
    let written = read.to_string();
    let again = Ifcfg::parse(&written).expect("what was written can be read");
    assert_eq!(again.to_string(), written);
    for line in text
        .lines()
        .filter(|line| line.trim_start().starts_with('#'))
    {
        assert!(
            written.lines().any(|kept| kept == line.trim_end()),
            "lost: {line}"
        );
    }
    for line in text.lines() {
        if let Some((key, _)) = line.trim().split_once('=') {
            assert_eq!(read.get(key), again.get(key), "{key}");
        }
    }
}

fn check(plan: &BridgePlan, bridge: &Bridge, before: &HostFiles, nics: &[HostNic]) {
    for warning in &plan.warnings {
        one_line(warning);
    }
    let mut after = HostFiles::default();
    for (path, text) in before.iter() {
        if plan.changes.iter().all(|change| change.path != path) {
            after.insert(path, text);
        }
    }
    for FileChange {
        path,
        before: was,
        after: is,
    } in &plan.changes
    {
        assert_eq!(
            before.get(path),
            was.as_deref(),
            "what is taken back is not what was there"
        );
        assert_ne!(was, is, "{path} does not change");
        let is_bystander = BYSTANDERS
            .iter()
            .any(|(of, text)| of == path && was.as_deref() == Some(text));
        assert!(!is_bystander, "{path} is of another interface");
        if let Some(text) = is {
            assert!(
                text.ends_with('\n') || text.is_empty(),
                "{path} does not end with a line"
            );
            after.insert(path.as_str(), text.as_str());
        }
    }
    // Whoever reads them again, for another bridge of which they say nothing, finds each NIC in this one.
    let is_new = |name: &String| {
        let mut files = after.iter();
        files.all(|(path, text)| !path.contains(name.as_str()) && !text.contains(name.as_str()))
    };
    let mut names = (0..).map(|number| format!("br-o{number}"));
    let other = names.find(is_new).expect("a name");
    for nic in &bridge.nics {
        let other = Bridge {
            name: name(&other),
            nics: vec![nic.clone()],
            stp: Stp::Off,
        };
        let error = match portero_host_bridge::plan(&other, Some(plan.renderer), &after, nics) {
            Ok(_) => panic!("{nic} could be put into another bridge too: {after:?}"),
            Err(error) => error,
        };
        let is_told =
            matches!(error, BridgeError::Value { .. }) && error.to_string().contains("already");
        assert!(
            is_told,
            "{nic} is not found in {}: {error}: {after:?}",
            bridge.name
        );
    }
    // And the same bridge is not made twice.
    let again = portero_host_bridge::plan(bridge, Some(plan.renderer), &after, nics);
    assert!(again.is_err(), "made twice: {after:?}");
}

/// What the host says of its NICs.
fn nics(knows_mac: bool) -> Vec<HostNic> {
    let nics = [
        ("eth0", "52:54:00:11:22:33"),
        ("eth1", "52:54:00:11:22:44"),
        ("eth9", "52:54:00:11:22:99"),
    ];
    let nics = nics.map(|(nic, mac)| HostNic {
        name: name(nic),
        mac: mac.parse().ok().filter(|_| knows_mac),
        master: None,
        kind: NicKind::Wired,
        state: NicState::default(),
    });
    nics.into()
}

fn name(name: &str) -> InterfaceName {
    name.parse().expect("a name")
}
