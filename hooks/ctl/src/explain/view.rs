//! What the host has, whatever is asked.

use portero_inventory::{ActiveNetwork, DesiredForwards, Guest, Object, ObjectState, OwnerStatus};
use portero_model::Family;
use std::net::IpAddr;
use uuid::Uuid;

/// What the host has, whatever is asked.
pub(super) struct HostView {
    pub(super) desired: Vec<DesiredForwards>,
    pub(super) owners: Vec<OwnerStatus>,
    pub(super) networks: Vec<ActiveNetwork>,
    pub(super) guests: Vec<Guest>,
    pub(super) own: Vec<(String, IpAddr)>,
}

impl HostView {
    /// What an object wants.
    pub(super) fn desired_of(&self, uuid: Uuid) -> Option<&DesiredForwards> {
        self.desired.iter().find(|one| one.owner.uuid == uuid)
    }

    /// Every network that libvirt has, and whether it is active.
    pub(super) fn all_networks(&self) -> Vec<(String, ObjectState)> {
        let networks = self.desired.iter().filter_map(|one| match &one.object {
            Object::Network(network) => Some((network.name.to_string(), one.state)),
            Object::Domain(_) => None,
        });
        networks.collect()
    }

    /// Addresses of the host that are neither its own alone nor towards guests.
    pub(super) fn outer(&self, family: Family) -> impl Iterator<Item = &(String, IpAddr)> {
        self.own.iter().filter(move |(name, address)| {
            let mut networks = self.networks.iter();
            let is_bridge = networks.any(|one| one.has_inner_bridge(name));
            Family::from(*address) == family && !address.is_loopback() && !is_bridge
        })
    }

    pub(super) fn state_of(&self, uuid: Uuid) -> ObjectState {
        let desired = self.desired_of(uuid);
        desired.map_or(ObjectState::Running, |desired| desired.state)
    }
}
