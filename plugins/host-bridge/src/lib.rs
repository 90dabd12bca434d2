//! Plans how a NIC's network files become those of a bridge and of the NIC in it, with the IP
//! configuration moved and nothing lost. Nothing here has an effect.

mod activation;
mod bridge;
mod choose;
mod disposition;
mod element;
mod error;
mod fit;
mod format;
mod ifcfg;
mod ifupdown;
mod keyfile;
mod netplan;
mod networkd;
mod owner;
mod plan;
mod rename;
mod renderer;
mod unit;

pub use activation::{Command, Failure, Manager, Running, Step, Steps};
pub use bridge::{Bridge, HostFiles, Kind, Nic, Stp};
pub use choose::OwnerError;
pub use element::{Activation, HostBridge};
pub use error::BridgeError;
pub use ifcfg::{Ifcfg, SyntaxError};
pub use owner::{read_networkctl, read_nmcli, Owner, Says};
pub use plan::{plan, Change, Plan};
pub use renderer::{Renderer, RendererError};
