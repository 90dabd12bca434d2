//! A process on the machine that is killed at any point of its calls.

use crate::Machine;
use portero_firewall::docker::DockerChains;
use portero_firewall::{iptables, nftables, Firewall, ForwardCounters, RuleCounters, Script, Tool};
use portero_host_bridge::HostBridge;
use portero_libvirt::{InterfaceName, MacAddress, Nic};
use portero_model::{Claim, Family, Neighbor, ReplyRoute, Tap};
use portero_port_forward::Listener;
use portero_system::{
    Deadline, Detected, Flow, InterfaceState, RouteLookup, Switch, System, SystemError, Uplink,
};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};

/// What a process has come to that was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Killed;

/// How many points of its calls a process survives; it is killed at the next one. Points are before
/// and after each call, and between the tables of iptables that one call changes.
pub type Points = usize;

/// The machine as a process sees it that may be killed in a call: then nothing has any effect that the
/// process would have done after.
#[derive(Debug)]
pub struct Mortal<'a> {
    machine: &'a mut Machine,
    left: &'a mut Option<Points>,
}

/// Lets a process work until it ends, or is killed because no points are `left`; those that are left
/// are the next process's.
///
/// A panic that nobody hears stands for the kill: what is dropped then are locks, which the kernel
/// frees too.
///
/// # Errors
/// [`Killed`].
pub fn process<T>(
    machine: &mut Machine,
    left: &mut Option<Points>,
    work: impl FnOnce(&mut Mortal<'_>) -> T,
) -> Result<T, Killed> {
    let mut mortal = Mortal { machine, left };
    catch_unwind(AssertUnwindSafe(|| work(&mut mortal))).map_err(|why| match why.downcast() {
        Ok(killed) => *killed,
        Err(other) => resume_unwind(other),
    })
}

impl Mortal<'_> {
    fn point(&mut self) {
        match self.left {
            Some(0) => self.die(),
            Some(left) => *left -= 1,
            None => {}
        }
    }

    fn die(&mut self) -> ! {
        *self.left = None;
        resume_unwind(Box::new(Killed))
    }

    fn call<T>(&mut self, work: impl FnOnce(&mut Machine) -> T) -> T {
        self.point();
        let done = work(self.machine);
        self.point();
        done
    }
}

impl System for Mortal<'_> {
    fn detect_backend(&mut self, deadline: Deadline) -> Result<Detected, SystemError> {
        self.call(|machine| machine.detect_backend(deadline))
    }

    fn observe_iptables(
        &mut self,
        family: Family,
        deadline: Deadline,
    ) -> Result<iptables::Observed, SystemError> {
        self.call(|machine| machine.observe_iptables(family, deadline))
    }

    fn observe_nftables(&mut self, deadline: Deadline) -> Result<nftables::Observed, SystemError> {
        self.call(|machine| machine.observe_nftables(deadline))
    }

    fn count_rules(
        &mut self,
        firewall: Firewall,
        deadline: Deadline,
    ) -> Result<RuleCounters, SystemError> {
        self.call(|machine| machine.count_rules(firewall, deadline))
    }

    fn count_forwards(
        &mut self,
        firewall: Firewall,
        deadline: Deadline,
    ) -> Result<ForwardCounters, SystemError> {
        self.call(|machine| machine.count_forwards(firewall, deadline))
    }

    fn observe_antispoof(&mut self, deadline: Deadline) -> Result<nftables::Observed, SystemError> {
        self.call(|machine| machine.observe_antispoof(deadline))
    }

    fn prespawn(&mut self, tool: Tool, deadline: Deadline) {
        self.call(|machine| machine.prespawn(tool, deadline));
    }

    fn commit(&mut self, script: &Script, deadline: Deadline) -> Result<(), SystemError> {
        self.point();
        let text = script.text();
        let tables: Vec<&str> = match script.tool {
            Tool::Restore(_) => text.split_inclusive("COMMIT\n").collect(),
            Tool::Nft => vec![&text],
        };
        let between = tables.len().saturating_sub(1);
        match self.left {
            Some(left) if *left < between => {
                let some = Script::of_text(script.tool, tables[..=*left].concat());
                // Whether it was told to fail makes no difference to the dead.
                let _ = self.machine.commit(&some, deadline);
                self.die();
            }
            Some(left) => *left -= between,
            None => {}
        }
        let done = self.machine.commit(script, deadline);
        self.point();
        done
    }

    fn listeners(&mut self, claims: &[Claim]) -> Result<Vec<Listener>, SystemError> {
        self.call(|machine| machine.listeners(claims))
    }

    fn forget(&mut self, flows: &[Flow], deadline: Deadline) -> Result<(), SystemError> {
        self.call(|machine| machine.forget(flows, deadline))
    }

    fn has_process(&mut self, process: u32) -> bool {
        self.call(|machine| machine.has_process(process))
    }

    fn has_docker(&mut self, deadline: Deadline) -> bool {
        self.call(|machine| machine.has_docker(deadline))
    }

    fn observe_docker(
        &mut self,
        family: Family,
        deadline: Deadline,
    ) -> Result<Option<DockerChains>, SystemError> {
        self.call(|machine| machine.observe_docker(family, deadline))
    }

    fn interface_state(&mut self, name: &InterfaceName) -> InterfaceState {
        self.call(|machine| machine.interface_state(name))
    }

    fn index(&mut self, name: &str) -> Option<u32> {
        self.call(|machine| machine.index(name))
    }

    fn has_bridge(&mut self, bridge: &InterfaceName) -> bool {
        self.call(|machine| machine.has_bridge(bridge))
    }

    fn make_bridge(
        &mut self,
        bridge: &InterfaceName,
        wanted: &HostBridge,
    ) -> Result<(), SystemError> {
        self.call(|machine| machine.make_bridge(bridge, wanted))
    }

    fn localnet(&mut self, bridge: &str) -> Option<bool> {
        self.call(|machine| machine.localnet(bridge))
    }

    fn set_localnet(&mut self, bridge: &str, setting: Switch) -> Result<(), SystemError> {
        self.call(|machine| machine.set_localnet(bridge, setting))
    }

    fn uplinks(&mut self, deadline: Deadline) -> Result<Vec<Uplink>, SystemError> {
        self.call(|machine| machine.uplinks(deadline))
    }

    fn reply_routes(&mut self, deadline: Deadline) -> Result<BTreeSet<ReplyRoute>, SystemError> {
        self.call(|machine| machine.reply_routes(deadline))
    }

    fn set_reply_routes(
        &mut self,
        wanted: &BTreeSet<ReplyRoute>,
        gone: &BTreeSet<ReplyRoute>,
        deadline: Deadline,
    ) -> Result<(), SystemError> {
        self.call(|machine| machine.set_reply_routes(wanted, gone, deadline))
    }

    fn check_neighbors(
        &mut self,
        neighbors: &[Neighbor],
        deadline: Deadline,
    ) -> Result<(), SystemError> {
        self.call(|machine| machine.check_neighbors(neighbors, deadline))
    }

    fn set_neighbors(
        &mut self,
        wanted: &[Neighbor],
        gone: &[Neighbor],
        deadline: Deadline,
    ) -> Result<(), SystemError> {
        self.call(|machine| machine.set_neighbors(wanted, gone, deadline))
    }

    fn has_proxies(&mut self, dev: &str, deadline: Deadline) -> Result<bool, SystemError> {
        self.call(|machine| machine.has_proxies(dev, deadline))
    }

    fn proxy_ndp(&mut self, dev: &str) -> Option<bool> {
        self.call(|machine| machine.proxy_ndp(dev))
    }

    fn set_proxy_ndp(&mut self, dev: &str, setting: Switch) -> Result<(), SystemError> {
        self.call(|machine| machine.set_proxy_ndp(dev, setting))
    }

    fn interface_of_first_address(
        &mut self,
        address: IpAddr,
        deadline: Deadline,
    ) -> Result<Option<String>, SystemError> {
        self.call(|machine| machine.interface_of_first_address(address, deadline))
    }

    fn route_lookup(
        &mut self,
        address: IpAddr,
        deadline: Deadline,
    ) -> Result<RouteLookup, SystemError> {
        self.call(|machine| machine.route_lookup(address, deadline))
    }

    fn passes_on(&mut self, family: Family) -> bool {
        self.call(|machine| machine.passes_on(family))
    }

    fn judges_bridged(&mut self, family: Family) -> bool {
        self.call(|machine| machine.judges_bridged(family))
    }

    fn taps(&mut self, bridge: &str, guests: &[Nic]) -> Result<BTreeSet<Tap>, SystemError> {
        self.call(|machine| machine.taps(bridge, guests))
    }

    fn seen(&self, bridge: &InterfaceName, mac: MacAddress) -> Result<Vec<IpAddr>, SystemError> {
        // Nothing is changed: a process that is killed here was killed before.
        self.machine.seen(bridge, mac)
    }

    fn members(&mut self, bridge: &str) -> Result<BTreeSet<String>, SystemError> {
        self.call(|machine| machine.members(bridge))
    }

    fn reattach(
        &mut self,
        bridge: &InterfaceName,
        guests: &[Nic],
    ) -> Result<Vec<String>, SystemError> {
        self.call(|machine| machine.reattach(bridge, guests))
    }
}
