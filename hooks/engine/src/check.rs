//! Whether an owner can have the forwards it asks for.

use crate::config::Config;
use crate::engine::{Engine, LibvirtRules};
use crate::error::ApplyError;
use crate::state::Record;
use portero_libvirt::{Domain, Network};
use portero_model::{Claim, Owner, OwnerKind, Protocol};
use portero_port_forward::{
    check_listeners, check_others, check_own, plan_network, ErrorKind, Forward, Limits, Listener,
};
use portero_system::{Deadline, RouteLookup};
use std::collections::HashSet;
use std::time::Duration;

/// Longest time for routes to be read.
const ROUTES: Duration = Duration::from_secs(5);

impl Engine<'_> {
    /// Checks what a domain would ask for, as its hooks do; gives what somebody else has of it now.
    ///
    /// # Errors
    /// [`ApplyError`] when it can never be had.
    pub fn check_domain(&mut self, domain: &Domain) -> Result<Option<ApplyError>, ApplyError> {
        let (config, deadline) = self.configure()?;
        let _lock = self.state.lock(deadline)?;
        self.refresh_networks()?;
        self.domain_conflict(&config, domain)
    }

    /// The same for whoever holds the lock.
    ///
    /// # Errors
    /// As [`Engine::check_domain`].
    pub fn domain_conflict(
        &mut self,
        config: &Config,
        domain: &Domain,
    ) -> Result<Option<ApplyError>, ApplyError> {
        let forwards = self.domain_forwards(domain)?;
        check_alone(config, &forwards)?;
        let networks = self.state.networks()?;
        let old = self.state.record(OwnerKind::Domain, domain.uuid)?;
        let owner = self
            .plan_domain(domain, &forwards, &networks, old.as_ref())?
            .ruleset
            .owner;
        self.check_guests(&forwards)?;
        Ok(self.check(config, &owner, &forwards, old.as_ref()).err())
    }

    /// Checks what a network asks for, for whoever holds the lock.
    ///
    /// # Errors
    /// [`ApplyError`] when it cannot have it.
    pub fn check_network(&mut self, config: &Config, network: &Network) -> Result<(), ApplyError> {
        let forwards = self.network_forwards(network)?;
        check_alone(config, &forwards)?;
        let owner = plan_network(Owner::from(network), &forwards, network)?
            .ruleset
            .owner;
        self.check_guests(&forwards)?;
        let old = self.state.record(OwnerKind::Network, network.uuid)?;
        self.check(config, &owner, &forwards, old.as_ref())
    }

    /// Checks an owner's forwards against limits, each other, other owners and the host's programs.
    /// What the owner already holds is not checked against others again, and an owner that asks for just that is held to limits
    /// alone.
    pub(crate) fn check(
        &mut self,
        config: &Config,
        owner: &Owner,
        forwards: &[Forward],
        old: Option<&Record>,
    ) -> Result<(), ApplyError> {
        config.limits.check_all(forwards)?;
        let claims = || forwards.iter().flat_map(Forward::claims);
        if old.is_some_and(|old| old.ruleset.claims.iter().cloned().eq(claims())) {
            return Ok(());
        }
        check_own(forwards)?;
        let held: HashSet<&Claim> = old.iter().flat_map(|old| &old.ruleset.claims).collect();
        let new = new_claims(forwards, &held);
        if new.is_empty() {
            return Ok(());
        }
        check_others(owner, forwards, &self.state.claims_near(&new)?)?;
        self.check_host(&config.limits, forwards, &held)
    }

    /// Checks forwards against what the host needs itself: its programs' ports, and the addresses that it is reached by.
    pub(crate) fn check_host(
        &mut self,
        limits: &Limits,
        forwards: &[Forward],
        held: &HashSet<&Claim>,
    ) -> Result<(), ApplyError> {
        self.check_addresses(forwards, held)?;
        let listeners = self.listeners(&bindable_claims(forwards, held), limits)?;
        Ok(check_listeners(forwards, held, &listeners, limits)?)
    }

    /// Refuses to give away the first address of an interface: the host itself is reached by it.
    fn check_addresses(
        &mut self,
        forwards: &[Forward],
        held: &HashSet<&Claim>,
    ) -> Result<(), ApplyError> {
        let deadline = Deadline::after(ROUTES);
        let mut asked = HashSet::new();
        for forward in forwards {
            let address = forward.address.filter(|address| {
                let is_new = forward.claims().any(|claim| !held.contains(&claim));
                forward.is_whole_address && is_new && asked.insert(*address)
            });
            let Some(address) = address else {
                continue;
            };
            if let Some(interface) = self.system.interface_of_first_address(address, deadline)? {
                let reason = format!(
                    "{address} is the first address of interface {interface}, by which this host itself is reached, \
                     expected one that it has besides"
                );
                return Err(forward.error(ErrorKind::Invalid, reason).into());
            }
        }
        Ok(())
    }

    /// Refuses to forward to the host itself: whoever may write a guest's metadata may not open the host's own services.
    /// Whatever else is wrong with an address is told before.
    pub(crate) fn check_guests(&mut self, forwards: &[Forward]) -> Result<(), ApplyError> {
        let deadline = Deadline::after(ROUTES);
        let mut asked = HashSet::new();
        for forward in forwards {
            let Some(guest) = forward.guest.filter(|guest| asked.insert(*guest)) else {
                continue;
            };
            if self.system.route_lookup(guest, deadline)? == RouteLookup::Host {
                let reason =
                    format!("guest address {guest} is this host's own, expected a guest's");
                return Err(forward.error(ErrorKind::Invalid, reason).into());
            }
        }
        Ok(())
    }

    /// The host's programs that may be in the way of claims, where they may not be.
    pub(crate) fn listeners(
        &mut self,
        claims: &[Claim],
        limits: &Limits,
    ) -> Result<Vec<Listener>, ApplyError> {
        let mut claims = claims.to_vec();
        claims.retain(|claim| !limits.may_take_all_from_listeners(claim.ports));
        Ok(self.system.listeners(&claims)?)
    }

    /// [`Engine::check`] of a guest that starts: what it asks for may be a guest's that ended while no hook was told.
    pub(crate) fn check_at_start(
        &mut self,
        config: &Config,
        owner: &Owner,
        forwards: &[Forward],
        deadline: Deadline,
    ) -> Result<(), ApplyError> {
        let checked = self.check(config, owner, forwards, None);
        match &checked {
            Err(ApplyError::Forward(error)) if error.kind == ErrorKind::Taken => {}
            _ => return checked,
        }
        let dead = self.dead_guests()?;
        if dead.is_empty() && self.ended_guests()?.is_empty() {
            return checked;
        }
        for guest in dead {
            self.state.remove_object(OwnerKind::Domain, guest)?;
        }
        self.refresh()?;
        self.reconcile(config, Vec::new(), LibvirtRules::Standing, deadline)?;
        self.check(config, owner, forwards, None)
    }
}

/// Checks forwards against limits and each other.
pub(crate) fn check_alone(config: &Config, forwards: &[Forward]) -> Result<(), ApplyError> {
    config.limits.check_all(forwards)?;
    Ok(check_own(forwards)?)
}

/// The new claims that a program's socket may be in the way of. Sockets of UDP are looked at for half a second, since resolvers
/// have such for a moment: of all ports of an address there is always one, and it is in nobody's way.
fn bindable_claims(forwards: &[Forward], held: &HashSet<&Claim>) -> Vec<Claim> {
    new_claims(
        forwards
            .iter()
            .filter(|forward| !forward.is_whole_address || forward.protocol != Protocol::Udp),
        held,
    )
}

/// What forwards claim and did not hold before.
pub(crate) fn new_claims<'f>(
    forwards: impl IntoIterator<Item = &'f Forward>,
    held: &HashSet<&Claim>,
) -> Vec<Claim> {
    forwards
        .into_iter()
        .flat_map(|forward| forward.claims())
        .filter(|claim| !held.contains(claim))
        .collect()
}
