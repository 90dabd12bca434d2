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
mod networkmanager;
mod owner;
mod plan;
mod rename;
mod renderer;
mod setting;
mod unit;

pub use activation::{Command, Failure, Manager, Step, Steps};
pub use bridge::{Bridge, HostFiles, HostNic, NicKind, NicState, Stp};
pub use choose::OwnerError;
pub use element::{Activation, HostBridge};
pub use error::BridgeError;
pub(crate) use error::Result;
pub use ifcfg::{Ifcfg, SyntaxError};
pub use owner::{read_networkctl, read_nmcli, NicOwner, Says};
pub use plan::{plan, BridgePlan, FileChange};
pub use renderer::{Renderer, RendererError};
