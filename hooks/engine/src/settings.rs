//! Settings of the kernel's that follow the rules: routed loopback addresses, addresses that the
//! host answers for, and marks by which answers are routed. Each is noted before it is changed, so that a killed event's can be taken back.

use crate::engine::Engine;
use crate::state::Setting;
use crate::ApplyError;
use portero_model::{Neighbor, ReplyRoute, Ruleset};
use portero_system::{Deadline, FileError, Switch};
use std::collections::BTreeSet;

impl Engine<'_> {
    pub(crate) fn set_localnet(
        &mut self,
        old: &[&Ruleset],
        new: &[&Ruleset],
    ) -> Result<(), ApplyError> {
        let (before, after) = (bridges(old), bridges(new));
        let concerned: Vec<&Ruleset> = old.iter().chain(new).copied().collect();
        for bridge in &after {
            if self.system.localnet(bridge) == Some(false) {
                self.state.note_change(Setting::Localnet, bridge)?;
                self.system.set_localnet(bridge, Switch::On)?;
            }
        }
        for bridge in before.difference(&after) {
            if self.state.has_changed(Setting::Localnet, bridge)
                && !self.others_need(&concerned, |ruleset| {
                    ruleset.localnet_bridges().any(|known| known == bridge)
                })?
            {
                self.reset_localnet(bridge)?;
            }
        }
        Ok(())
    }

    fn reset_localnet(&mut self, bridge: &str) -> Result<(), ApplyError> {
        if self.system.localnet(bridge) == Some(true) {
            self.system.set_localnet(bridge, Switch::Off)?;
        }
        Ok(self.state.forget_change(Setting::Localnet, bridge)?)
    }

    /// Lets the host answer for its guests' addresses, and for those of before no more.
    pub(crate) fn set_neighbors(
        &mut self,
        old: &[&Ruleset],
        new: &[&Ruleset],
        deadline: Deadline,
    ) -> Result<(), ApplyError> {
        let (before, after) = (neighbors(old), neighbors(new));
        let gone: Vec<Neighbor> = before.difference(&after).cloned().collect();
        let wanted: Vec<Neighbor> = after.into_iter().collect();
        if wanted.is_empty() && gone.is_empty() {
            return Ok(());
        }
        for neighbor in wanted.iter().filter(|one| !before.contains(one)) {
            self.state
                .note_change(Setting::Neighbor, &note_of(neighbor))?;
        }
        self.system.set_neighbors(&wanted, &gone, deadline)?;
        self.forget_neighbors(&gone)?;
        let wanted = ipv6_devs(&wanted);
        for dev in &wanted {
            if self.system.proxy_ndp(dev) == Some(false) {
                self.state.note_change(Setting::ProxyNdp, dev)?;
                self.system.set_proxy_ndp(dev, Switch::On)?;
            }
        }
        for dev in ipv6_devs(&gone).difference(&wanted) {
            if self.state.has_changed(Setting::ProxyNdp, dev) {
                self.reset_proxy_ndp(dev, deadline)?;
            }
        }
        Ok(())
    }

    /// Has answers routed by their marks, and by those of before that nobody needs no more.
    pub(crate) fn set_reply_routes(
        &mut self,
        old: &[&Ruleset],
        new: &[&Ruleset],
        deadline: Deadline,
    ) -> Result<(), ApplyError> {
        let (before, after) = (reply_routes(old), reply_routes(new));
        if before.is_empty() && after.is_empty() {
            return Ok(());
        }
        let concerned: Vec<&Ruleset> = old.iter().chain(new).copied().collect();
        let mut gone = BTreeSet::new();
        for route in before.difference(&after) {
            let needs = |ruleset: &Ruleset| ruleset.reply_routes().any(|known| known == *route);
            if !self.others_need(&concerned, needs)? {
                gone.insert(*route);
            }
        }
        for route in &after {
            let note = route.to_string();
            if !self.state.has_changed(Setting::ReplyRoute, &note) {
                self.state.note_change(Setting::ReplyRoute, &note)?;
            }
        }
        self.system.set_reply_routes(&after, &gone, deadline)?;
        Ok(self.forget_reply_routes(&gone)?)
    }

    fn forget_reply_routes(&self, gone: &BTreeSet<ReplyRoute>) -> Result<(), FileError> {
        gone.iter().try_for_each(|route| {
            self.state
                .forget_change(Setting::ReplyRoute, &route.to_string())
        })
    }

    fn forget_neighbors(&self, gone: &[Neighbor]) -> Result<(), FileError> {
        gone.iter().try_for_each(|neighbor| {
            self.state
                .forget_change(Setting::Neighbor, &note_of(neighbor))
        })
    }

    /// Unless somebody else has the host answer there.
    fn reset_proxy_ndp(&mut self, dev: &str, deadline: Deadline) -> Result<(), ApplyError> {
        if self.system.has_proxies(dev, deadline)? {
            return Ok(());
        }
        if self.system.proxy_ndp(dev) == Some(true) {
            self.system.set_proxy_ndp(dev, Switch::Off)?;
        }
        Ok(self.state.forget_change(Setting::ProxyNdp, dev)?)
    }

    /// Takes back settings that nobody has use for now that these are all owners: an event may have
    /// been killed between what it noted and what it would have recorded.
    pub(crate) fn reset_others(
        &mut self,
        all: &[&Ruleset],
        deadline: Deadline,
    ) -> Result<(), ApplyError> {
        let wanted = bridges(all);
        for bridge in self.state.changes(Setting::Localnet)? {
            if !wanted.contains(&bridge) {
                self.reset_localnet(&bridge)?;
            }
        }
        let wanted = neighbors(all);
        let noted = self.state.changes(Setting::Neighbor)?;
        let noted = noted.iter().filter_map(|note| neighbor_of(note));
        let gone: Vec<Neighbor> = noted.filter(|one| !wanted.contains(one)).collect();
        if !gone.is_empty() {
            self.system.set_neighbors(&[], &gone, deadline)?;
            self.forget_neighbors(&gone)?;
        }
        let wanted = ipv6_devs(&wanted);
        for dev in self.state.changes(Setting::ProxyNdp)? {
            if !wanted.contains(&dev) {
                self.reset_proxy_ndp(&dev, deadline)?;
            }
        }
        let wanted = reply_routes(all);
        let noted = self.state.changes(Setting::ReplyRoute)?;
        let noted = noted.iter().filter_map(|note| note.parse().ok());
        let gone: BTreeSet<ReplyRoute> = noted.filter(|one| !wanted.contains(one)).collect();
        if !gone.is_empty() {
            self.system
                .set_reply_routes(&BTreeSet::new(), &gone, deadline)?;
            self.forget_reply_routes(&gone)?;
        }
        Ok(())
    }

    /// Whether an owner that is not concerned needs a setting.
    fn others_need(
        &self,
        concerned: &[&Ruleset],
        needs: impl Fn(&Ruleset) -> bool,
    ) -> Result<bool, ApplyError> {
        for record in self.state.records()? {
            let ruleset = record?.ruleset;
            let is_other = !concerned
                .iter()
                .any(|concerned| concerned.owner.key() == ruleset.owner.key());
            let has_input = self
                .state
                .has_object(ruleset.owner.kind, ruleset.owner.uuid);
            if is_other && has_input && needs(&ruleset) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The marks that answers are routed by.
fn reply_routes(rulesets: &[&Ruleset]) -> BTreeSet<ReplyRoute> {
    let routes = rulesets.iter().flat_map(|ruleset| ruleset.reply_routes());
    routes.collect()
}

/// Bridges by which loopback addresses have to be routed.
fn bridges(rulesets: &[&Ruleset]) -> BTreeSet<String> {
    let bridges = rulesets
        .iter()
        .flat_map(|ruleset| ruleset.localnet_bridges());
    bridges.map(str::to_owned).collect()
}

/// Addresses that the host has to answer for.
fn neighbors(rulesets: &[&Ruleset]) -> BTreeSet<Neighbor> {
    let policies = rulesets
        .iter()
        .filter_map(|ruleset| ruleset.policy.as_ref());
    policies
        .flat_map(|policy| policy.neighbors.clone())
        .collect()
}

/// Interfaces at which the host has to answer for IPv6 addresses.
fn ipv6_devs<'a>(neighbors: impl IntoIterator<Item = &'a Neighbor>) -> BTreeSet<String> {
    let of_ipv6 = neighbors.into_iter().filter(|one| one.address.is_ipv6());
    of_ipv6.map(|neighbor| neighbor.dev.clone()).collect()
}

/// The name under which an address that the host answers for is noted.
fn note_of(neighbor: &Neighbor) -> String {
    format!("{},{}", neighbor.dev, neighbor.address)
}

fn neighbor_of(note: &str) -> Option<Neighbor> {
    let (dev, address) = note.rsplit_once(',')?;
    Some(Neighbor {
        dev: dev.to_owned(),
        address: address.parse().ok()?,
    })
}
