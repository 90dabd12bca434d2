//! Which addresses and interfaces the peers of a rule are now.

use crate::context::Context;
use crate::peer::{PeerTarget, WrittenPeer};
use ipnet::IpNet;
use portero_model::{Family, Named, Nets, Peer};

/// Who a rule's peers are now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// Whether the host itself is among them.
    pub(crate) host: bool,
    /// The others.
    pub(crate) peers: Vec<Peer>,
}

/// Whom one `<peer>` names, with groups opened.
#[derive(Debug, Default)]
struct Opened {
    host: bool,
    nets: Vec<IpNet>,
    interfaces: Vec<String>,
    macs: Vec<String>,
}

impl Opened {
    fn open(
        &mut self,
        target: &PeerTarget,
        context: &Context<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<(), String> {
        match target {
            PeerTarget::Host => self.host = true,
            PeerTarget::Net(net) => self.nets.push(*net),
            PeerTarget::Mac(mac) => self.macs.push(mac.to_string()),
            PeerTarget::Network(name) => {
                let mut networks = context.networks.iter();
                let Some(network) = networks.find(|network| network.name == *name) else {
                    warnings.push(format!(
                        "network '{name}' is not active, so nobody is of it"
                    ));
                    return Ok(());
                };
                // A bridge of the host's has others behind it too.
                let is_told = network.mode.is_routed_by_host();
                let bridge = network.bridge.as_ref().filter(|_| is_told).ok_or_else(|| {
                    format!("network '{name}' has no bridge by which its packets could be told")
                })?;
                self.interfaces.push(bridge.to_string());
            }
            PeerTarget::Group(name) => {
                for target in (context.groups)(name)?.targets() {
                    self.open(target, context, warnings)?;
                }
            }
        }
        Ok(())
    }
}

/// Finds out who the peers of a rule are.
pub(crate) fn resolve(
    written: &[WrittenPeer],
    context: &Context<'_>,
    warnings: &mut Vec<String>,
) -> Result<Resolved, String> {
    let mut resolved = Resolved::default();
    for peer in written {
        let mut opened = Opened::default();
        opened.open(&peer.target, context, warnings)?;
        let nets = opened.nets;
        if peer.is_negated {
            if opened.interfaces.len() > 1 || opened.macs.len() > 1 {
                return Err(
                    "match='no' can be said of one network and one MAC address at a time"
                        .to_owned(),
                );
            }
            // Addresses of one family say nothing of the other.
            let is_said =
                |family: &Family| nets.iter().any(|net| Family::from(net.addr()) == *family);
            let unsaid = Family::ALL.into_iter().filter(|family| !is_said(family));
            let not_in: Vec<IpNet> = nets
                .iter()
                .copied()
                .chain(unsaid.map(Family::all))
                .collect();
            resolved.peers.push(Peer {
                nets: if nets.is_empty() {
                    Nets::Any
                } else {
                    Nets::NotIn(not_in)
                },
                interface: opened.interfaces.pop().map(Named::IsNot),
                mac: opened.macs.pop().map(Named::IsNot),
            });
            continue;
        }
        resolved.host |= opened.host;
        let nets = (!nets.is_empty()).then(|| Peer {
            nets: Nets::In(nets),
            ..Peer::default()
        });
        let bridges = opened.interfaces.into_iter().map(|bridge| Peer {
            interface: Some(Named::Is(bridge)),
            ..Peer::default()
        });
        let macs = opened.macs.into_iter().map(|mac| Peer {
            mac: Some(Named::Is(mac)),
            ..Peer::default()
        });
        let peers = nets.into_iter().chain(bridges).chain(macs);
        resolved.peers.extend(peers);
    }
    Ok(resolved)
}
