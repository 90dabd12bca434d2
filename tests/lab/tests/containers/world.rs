//! The network and the container that the scenarios share.

use portero_lab::{container, From, Lab, NetworkXml, Proto, Ran, HOST_V4};

/// The container that ports are forwarded to.
pub const BOX: &str = "192.168.50.10";
pub const BOX_MAC: &str = "52:54:00:00:50:10";
pub const BOX_UUID: &str = "00000000-0000-4000-8000-00000000c010";
/// Its neighbour.
pub const PEER: &str = "192.168.50.11";
pub const PEER_MAC: &str = "52:54:00:00:50:11";
pub const PEER_UUID: &str = "00000000-0000-4000-8000-00000000c011";

/// The network of both.
pub const LAN: NetworkXml<'_> = NetworkXml {
    name: "lan",
    mode: "nat",
    number: 50,
    reservations: &[(BOX_MAC, 10), (PEER_MAC, 11)],
    portero: "",
};

/// What the container `box` forwards.
pub const FORWARDS: &str = "
<portero:portForward proto='tcp'><portero:range start='8080' to='80'/></portero:portForward>
<portero:portForward proto='udp'><portero:range start='8080' to='80'/></portero:portForward>
";

/// The lab with its network.
pub struct World {
    /// The lab.
    pub lab: Lab,
    /// The firewall with the network up, before any guest had a forward.
    pub untouched: String,
}

/// A metadata element with forwards.
pub fn metadata(portero: &str) -> String {
    format!("<metadata><portero:domain xmlns:portero='urn:portero:1'>{portero}</portero:domain></metadata>")
}

impl World {
    /// Starts the network.
    pub fn new(lab: Lab) -> Self {
        lab.start_network(&LAN);
        let untouched = lab.rules();
        Self { lab, untouched }
    }

    /// Runs virsh for containers, whatever comes of it.
    #[must_use]
    pub fn try_lxc(&self, arguments: &[&str]) -> Ran {
        let words = [&["-c", "lxc:///system"], arguments].concat();
        self.lab.try_virsh(&words)
    }

    /// Runs virsh for containers, which has to succeed.
    pub fn lxc(&self, arguments: &[&str]) -> String {
        let ran = self.try_lxc(arguments);
        assert!(ran.ok, "virsh {arguments:?}: {ran:?}\n{}", self.logs());
        ran.stdout
    }

    /// Starts a container on the network and waits until its agent answers.
    pub fn start(&self, name: &str, (uuid, mac, address): (&str, &str, &str), inside: &str) {
        self.begin(name, (uuid, mac), inside);
        self.lab.wait_guest(address);
    }

    /// Starts a container on the network.
    pub fn begin(&self, name: &str, (uuid, mac): (&str, &str), inside: &str) {
        let nic = format!(
            "<interface type='network'><mac address='{mac}'/><source network='lan'/></interface>"
        );
        let xml = container(name, uuid, inside, &nic);
        let path = self.lab.file("container.xml", &xml);
        self.lxc(&["define", &path]);
        self.lxc(&["start", name]);
    }

    /// Starts `box` with these forwards.
    pub fn start_box(&self, portero: &str) {
        self.start("box", (BOX_UUID, BOX_MAC, BOX), &metadata(portero));
    }

    /// Starts its neighbour.
    pub fn start_peer(&self) {
        self.start("peer", (PEER_UUID, PEER_MAC, PEER), "");
    }

    /// Ends a container, and with it all that it had.
    pub fn end(&self, name: &str) {
        self.lxc(&["destroy", name]);
        self.lxc(&["undefine", name]);
    }

    /// The container is reached from outside by its forwards.
    pub fn serves(&self) {
        for proto in [Proto::Tcp, Proto::Udp] {
            let answer = format!("box {proto} 80 from ");
            (self.lab).answers(From::Outside, proto, HOST_V4, 8080, &answer);
        }
    }

    /// It is not.
    pub fn is_closed(&self) {
        self.lab.refuses(From::Outside, Proto::Tcp, HOST_V4, 8080);
        self.lab.refuses(From::Outside, Proto::Udp, HOST_V4, 8080);
    }

    /// Nothing of portero is in the firewall.
    pub fn is_untouched(&self) {
        assert_eq!(
            portero_lab::sorted(&self.lab.rules()),
            portero_lab::sorted(&self.untouched)
        );
    }

    fn logs(&self) -> String {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let log = read("/run/lab/libvirtd.log");
        let tail = log.len().saturating_sub(3000);
        let own = read("/var/log/libvirt/lxc/box.log");
        format!("{}\n{own}", log.get(tail..).unwrap_or_default())
    }

    /// What there is to say of a scenario that failed; the next begins anew.
    pub fn explain(&self) {
        println!("{}", self.lab.run("portero", &["status"]).stdout);
        println!("{}", self.lab.rules());
        println!("{:#?}", self.lab.log());
        println!("{}", self.logs());
        let names = self.try_lxc(&["list", "--all", "--name"]).stdout;
        for name in names.split_whitespace() {
            let _ = self.try_lxc(&["destroy", name]);
            let _ = self.try_lxc(&["undefine", name]);
        }
    }
}
