//! The machine portero runs on, as a [`System`].

use crate::interfaces::Interface;
use crate::nfnetlink::TableFamily;
use crate::nftables::{commit, count, generation, read as read_table, Committed};
use crate::programs::{find_program, read, run, Started};
use crate::tables::{has_chain, has_rules, has_table};
use crate::{
    conntrack, interfaces, listeners, neighbors, routes, taps, uplinks, Deadline, Detected, Flow,
    InterfaceState, Result, RouteLookup, Switch, System, SystemError, Uplink,
};
use portero_firewall::docker::{self, DockerChains};
use portero_firewall::iptables::{Base, Observed, Table};
use portero_firewall::nftables::{self, Place, LIBVIRT_TABLE};
use portero_firewall::{
    Firewall, ForwardCounters, ObservedBans, RuleCounters, Script, Tool, BANS_TABLE,
};
use portero_host_bridge::HostBridge;
use portero_libvirt::{InterfaceName, MacAddress, Nic};
use portero_model::{Claim, Family, Neighbor, NftSet, ReplyRoute, Tap};
use portero_port_forward::Listener;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// The real machine.
#[derive(Debug, Default)]
pub struct Linux {
    /// A firewall's program that waits for its script.
    expected: Option<(Tool, Started)>,
    observation: Option<Observation>,
}

/// An observation of nftables that has begun.
#[derive(Debug)]
struct Observation {
    /// Of which generation it is, unless somebody commits before it has ended.
    generation: u32,
    thread: JoinHandle<Result<nftables::Observed>>,
}

impl Observation {
    /// What it finds, if nobody has committed anything since it began.
    fn observed(self, deadline: Deadline) -> Option<nftables::Observed> {
        let is_now = || generation(deadline) == Some(self.generation);
        // Who knows already that it comes to nothing does not wait for it.
        let observed = is_now().then(|| self.thread.join().ok()?.ok())?;
        observed.filter(|_| is_now())
    }
}

impl Linux {
    /// The host's name; empty when the kernel does not tell it.
    #[must_use]
    pub fn name() -> String {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
        name.unwrap_or_default().trim().to_owned()
    }

    /// All interfaces of the host, in the order of their names.
    #[must_use]
    pub fn interfaces() -> Vec<Interface> {
        interfaces::all()
    }
}

/// libvirt's chain of nftables that has a rule for every network it filters, and ends in `reject`.
const LIBVIRT_NFTABLES_CHAIN: &str = "guest_input";

/// The same of iptables.
const LIBVIRT_IPTABLES_CHAIN: &str = "LIBVIRT_FWI";

/// How nft says that a set or its table is not there.
const NO_SUCH: &str = "No such file or directory";

/// Longest time to put taps back; netlink answers at once or not at all.
const REATTACH_LIMIT: Duration = Duration::from_secs(5);

/// Longest time to read the kernel's neighbours, which is told at once or not at all.
const NEIGHBOURS: Duration = Duration::from_secs(1);

/// Longest time a network may take to make its bridge at its start.
const BRIDGE: Duration = Duration::from_secs(120);

impl System for Linux {
    fn detect_backend(&mut self, deadline: Deadline) -> Result<Detected> {
        let mut detected = Detected {
            has_nftables: has_place(Place::Own, deadline)? || has_place(Place::Policy, deadline)?,
            can_iptables: find_program(Tool::Restore(Family::Ipv4).program()).is_ok(),
            ..Detected::default()
        };
        let families = [TableFamily::Ipv4, TableFamily::Ipv6];
        for family in families {
            if has_rules(family, LIBVIRT_TABLE, LIBVIRT_NFTABLES_CHAIN, deadline)? {
                detected.libvirt = Some(Firewall::Nftables);
            }
        }
        for family in families {
            if detected.libvirt.is_none()
                && has_rules(family, "filter", LIBVIRT_IPTABLES_CHAIN, deadline)?
            {
                detected.libvirt = Some(Firewall::Iptables);
            }
            for base in Base::all() {
                let (table, chain) = (base.table().name(), base.chain());
                detected.has_iptables |= has_rules(family, table, chain, deadline)?;
            }
        }
        Ok(detected)
    }

    fn preobserve_nftables(&mut self, deadline: Deadline) {
        self.observation = generation(deadline).and_then(|generation| {
            let thread = Builder::new().spawn(move || observe_nftables(deadline));
            // Where no thread is to be had, it begins when it is needed.
            let thread = thread.ok()?;
            Some(Observation { generation, thread })
        });
    }

    fn observe_nftables(&mut self, deadline: Deadline) -> Result<nftables::Observed> {
        let begun = self.observation.take();
        let observed = begun.and_then(|begun| begun.observed(deadline));
        observed.map_or_else(|| observe_nftables(deadline), Ok)
    }

    fn observe_antispoof(&mut self, deadline: Deadline) -> Result<nftables::Observed> {
        observe_tables(&[Place::Antispoof], deadline)
    }

    fn read_set(&mut self, set: &NftSet, deadline: Deadline) -> Result<Option<Vec<u8>>> {
        let words = ["-j", "list", "set", &set.family, &set.table, &set.name];
        match read(Tool::Nft.program(), &words, deadline) {
            Err(SystemError::Failed { message, .. }) if message.contains(NO_SUCH) => Ok(None),
            other => other.map(Some),
        }
    }

    fn observe_bans(&mut self, deadline: Deadline) -> Result<Option<ObservedBans>> {
        if !has_table(TableFamily::Inet, BANS_TABLE, deadline)? {
            return Ok(None);
        }
        let words = ["-j", "list", "table", "inet", BANS_TABLE];
        let listing = read(Tool::Nft.program(), &words, deadline)?;
        Ok(Some(ObservedBans::read(&listing)))
    }

    fn count_rules(&mut self, firewall: Firewall, deadline: Deadline) -> Result<RuleCounters> {
        let mut counted = RuleCounters::default();
        match firewall {
            Firewall::Iptables => {
                for program in ["iptables-save", "ip6tables-save"] {
                    let listing = read(program, &["-c", "-t", Table::Filter.name()], deadline)?;
                    counted.add_iptables(String::from_utf8_lossy(&listing).lines());
                }
            }
            Firewall::Nftables => {
                if let Some(content) = read_table(Place::Policy, deadline)? {
                    counted.add_nftables(content);
                }
            }
        }
        Ok(counted)
    }

    fn count_forwards(
        &mut self,
        firewall: Firewall,
        deadline: Deadline,
    ) -> Result<ForwardCounters> {
        let mut counts = ForwardCounters::default();
        for family in Family::ALL {
            if firewall == Firewall::Nftables {
                let (place, set) = ForwardCounters::set(family);
                counts.add_nftables(family, count(place, set, deadline)?);
                continue;
            }
            for table in Table::ALL {
                let words = ["--wait", "-t", table.name(), "-v", "-S"];
                let listing = read(program_of(family), &words, deadline)?;
                counts.add_iptables(family, String::from_utf8_lossy(&listing).lines());
            }
        }
        Ok(counts)
    }

    fn observe_iptables(&mut self, family: Family, deadline: Deadline) -> Result<Observed> {
        let program = program_of(family);
        let mut observed = Observed::default();
        for table in Table::ALL {
            // As `iptables-save`, but in the words of the rules that were written.
            let listing = read(program, &["--wait", "-t", table.name(), "-S"], deadline)?;
            let listing = String::from_utf8_lossy(&listing);
            observed.add(table, listing.lines());
        }
        Ok(observed)
    }

    fn prespawn(&mut self, tool: Tool, deadline: Deadline) {
        if self.expected.is_none() {
            // Whoever cannot be started now is started, and missed, when it is needed.
            let started = start(tool, deadline).ok();
            self.expected = started.map(|started| (tool, started));
        }
    }

    fn commit(&mut self, script: &Script, deadline: Deadline) -> Result<()> {
        let tool = script.tool;
        if tool == Tool::Nft && commit(&script.commands, deadline)? == Committed::Done {
            return Ok(());
        }
        let started = match self.expected.take_if(|(expected, _)| *expected == tool) {
            Some((_, started)) => started,
            None => start(tool, deadline)?,
        };
        started.finish(&script.text(), deadline).map(drop)
    }

    fn listeners(&mut self, claims: &[Claim]) -> Result<Vec<Listener>> {
        listeners::listeners(claims)
    }

    fn forget(&mut self, flows: &[Flow], deadline: Deadline) -> Result<()> {
        conntrack::forget(flows, deadline)
    }

    fn has_process(&mut self, process: u32) -> bool {
        Path::new("/proc").join(process.to_string()).exists()
    }

    fn has_docker(&mut self, deadline: Deadline) -> bool {
        let mut families = Family::ALL.into_iter();
        families.any(|family| has_docker_user(family, deadline).unwrap_or(false))
    }

    fn observe_docker(
        &mut self,
        family: Family,
        deadline: Deadline,
    ) -> Result<Option<DockerChains>> {
        if !has_docker_user(family, deadline)? {
            return Ok(None);
        }
        let list = |chain| {
            let listing = read(program_of(family), &["--wait", "-S", chain], deadline)?;
            Ok(DockerChains::rules(&String::from_utf8_lossy(&listing)))
        };
        let has_own = has_chain(TableFamily::from(family), "filter", docker::CHAIN, deadline)?;
        Ok(Some(DockerChains {
            user: list(docker::DOCKER_USER)?,
            own: has_own.then(|| list(docker::CHAIN)).transpose()?,
        }))
    }

    fn interface_state(&mut self, name: &InterfaceName) -> InterfaceState {
        let folder = Path::new("/sys/class/net").join(name.as_str());
        if !folder.exists() {
            return InterfaceState::Missing;
        }
        let bridge = std::fs::read_link(folder.join("brport/bridge")).ok();
        let bridge = bridge.and_then(|link| Some(link.file_name()?.to_str()?.to_owned()));
        bridge.map_or(InterfaceState::OnItsOwn, InterfaceState::InBridge)
    }

    fn index(&mut self, name: &str) -> Option<u32> {
        interfaces::index(name).ok()
    }

    fn has_bridge(&mut self, bridge: &InterfaceName) -> bool {
        interfaces::folder(bridge.as_str()).join("bridge").exists()
    }

    fn make_bridge(&mut self, bridge: &InterfaceName, wanted: &HostBridge) -> Result<()> {
        // Planners of five formats are nothing that every start of a network should load.
        let mut words = vec!["bridge", "apply", "--yes", "--bridge", bridge.as_str()];
        words.extend(["--nic", wanted.nic.as_str()]);
        if let Some(renderer) = wanted.renderer {
            words.extend(["--renderer", renderer.name()]);
        }
        run("portero", &words, "", Deadline::after(BRIDGE))
    }

    fn localnet(&mut self, bridge: &str) -> Option<bool> {
        switch(&localnet_path(bridge))
    }

    fn set_localnet(&mut self, bridge: &str, setting: Switch) -> Result<()> {
        set_switch(&localnet_path(bridge), setting)
    }

    fn uplinks(&mut self, deadline: Deadline) -> Result<Vec<Uplink>> {
        uplinks::uplinks(deadline)
    }

    fn reply_routes(&mut self, deadline: Deadline) -> Result<BTreeSet<ReplyRoute>> {
        uplinks::reply_routes(deadline)
    }

    fn set_reply_routes(
        &mut self,
        wanted: &BTreeSet<ReplyRoute>,
        gone: &BTreeSet<ReplyRoute>,
        deadline: Deadline,
    ) -> Result<()> {
        uplinks::set_reply_routes(wanted, gone, deadline)
    }

    fn check_neighbors(&mut self, neighbors: &[Neighbor], deadline: Deadline) -> Result<()> {
        neighbors::check(neighbors, deadline)
    }

    fn set_neighbors(
        &mut self,
        wanted: &[Neighbor],
        gone: &[Neighbor],
        deadline: Deadline,
    ) -> Result<()> {
        neighbors::set(wanted, gone, deadline)
    }

    fn has_proxies(&mut self, dev: &str, deadline: Deadline) -> Result<bool> {
        let proxies = neighbors::proxies(deadline)?;
        let mut of_ipv6 = proxies.iter().filter(|proxy| proxy.address.is_ipv6());
        Ok(of_ipv6.any(|proxy| proxy.dev == dev))
    }

    fn proxy_ndp(&mut self, dev: &str) -> Option<bool> {
        switch(&proxy_ndp_path(dev))
    }

    fn set_proxy_ndp(&mut self, dev: &str, setting: Switch) -> Result<()> {
        set_switch(&proxy_ndp_path(dev), setting)
    }

    fn interface_of_first_address(
        &mut self,
        address: IpAddr,
        deadline: Deadline,
    ) -> Result<Option<String>> {
        routes::interface_of_first_address(address, deadline)
    }

    fn route_lookup(&mut self, address: IpAddr, deadline: Deadline) -> Result<RouteLookup> {
        routes::route_lookup(address, deadline)
    }

    fn passes_on(&mut self, family: Family) -> bool {
        let path = match family {
            Family::Ipv4 => "/proc/sys/net/ipv4/ip_forward",
            Family::Ipv6 => "/proc/sys/net/ipv6/conf/all/forwarding",
        };
        switch(Path::new(path)).unwrap_or(false)
    }

    fn judges_bridged(&mut self, family: Family) -> bool {
        // Without the module there is no such file.
        let name = match family {
            Family::Ipv4 => "bridge-nf-call-iptables",
            Family::Ipv6 => "bridge-nf-call-ip6tables",
        };
        switch(&Path::new("/proc/sys/net/bridge").join(name)).unwrap_or(false)
    }

    fn taps(&mut self, bridge: &str, guests: &[Nic]) -> Result<BTreeSet<Tap>> {
        taps::find(bridge, guests)
    }

    fn seen(&self, bridge: &InterfaceName, mac: MacAddress) -> Result<Vec<IpAddr>> {
        neighbors::seen(bridge, mac, Deadline::after(NEIGHBOURS))
    }

    fn members(&mut self, bridge: &str) -> Result<BTreeSet<String>> {
        taps::members(bridge)
    }

    fn reattach(&mut self, bridge: &InterfaceName, guests: &[Nic]) -> Result<Vec<String>> {
        taps::reattach(bridge, guests, Deadline::after(REATTACH_LIMIT))
    }
}

/// Starts a firewall's program, which waits for its script.
fn start(tool: Tool, deadline: Deadline) -> Result<Started> {
    let wait = format!("--wait={}", deadline.left().as_secs().max(1));
    let mut arguments = tool.arguments().to_vec();
    if let Tool::Restore(_) = tool {
        arguments.push(&wait);
    }
    Started::new(tool.program(), &arguments, Stdio::null())
}

/// Whether nftables has a table.
fn has_place(place: Place, deadline: Deadline) -> Result<bool> {
    has_table(TableFamily::from(place), place.name(), deadline)
}

fn has_docker_user(family: Family, deadline: Deadline) -> Result<bool> {
    has_chain(
        TableFamily::from(family),
        "filter",
        docker::DOCKER_USER,
        deadline,
    )
}

fn observe_nftables(deadline: Deadline) -> Result<nftables::Observed> {
    let [ipv4, ipv6] = Family::ALL.map(Place::Libvirt);
    observe_tables(&[Place::Own, Place::Policy, ipv4, ipv6], deadline)
}

/// Reads those tables that are there.
fn observe_tables(places: &[Place], deadline: Deadline) -> Result<nftables::Observed> {
    let mut observed = nftables::Observed::default();
    for place in places {
        if let Some(content) = read_table(*place, deadline)? {
            observed.add_content(*place, content);
        }
    }
    Ok(observed)
}

fn localnet_path(bridge: &str) -> PathBuf {
    Path::new("/proc/sys/net/ipv4/conf")
        .join(bridge)
        .join("route_localnet")
}

fn proxy_ndp_path(dev: &str) -> PathBuf {
    Path::new("/proc/sys/net/ipv6/conf")
        .join(dev)
        .join("proxy_ndp")
}

/// A sysctl that is on or off; `None` when there is no such one.
fn switch(path: &Path) -> Option<bool> {
    let value = std::fs::read_to_string(path).ok()?;
    Some(value.trim() != "0")
}

fn set_switch(path: &Path, setting: Switch) -> Result<()> {
    let value = match setting {
        Switch::On => "1",
        Switch::Off => "0",
    };
    std::fs::write(path, value).map_err(SystemError::file(path.display()))
}

fn program_of(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "iptables",
        Family::Ipv6 => "ip6tables",
    }
}
