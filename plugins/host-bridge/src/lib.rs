//! Plans how a NIC's files in /etc/sysconfig/network-scripts become those of a bridge and of the
//! NIC in it, with the IP configuration moved and nothing lost. Nothing here has an effect.

mod element;
mod error;
mod fate;
mod ifcfg;
mod number;
mod plan;
mod port;
mod routes;

pub use element::HostBridge;
pub use error::BridgeError;
pub use ifcfg::{Ifcfg, SyntaxError};
pub use plan::{plan, Bridge, Change, HostFiles, Kind, Nic, Plan, Stp};
