//! Plans port forwards: from the `<portForward>` elements of a domain or network, the active
//! networks and the leases to the rules of that owner. Pure: it reads nothing and changes nothing.

mod address;
mod check;
mod grammar;
mod index;
mod lease;
mod limits;
mod missing;
mod plan;
mod ranges;
mod resolve;
mod source;

pub use address::{address_of, LastAddress};
pub use check::{
    check_listeners, check_others, check_own, Listener, ListeningProgram, PortRefusal,
};
pub use grammar::{host_address, parse, ErrorKind, Forward, ForwardError, Result};
pub use lease::{parse_leases, Lease};
pub use limits::Limits;
pub use missing::Missing;
pub use plan::{find_guest, plan_domain, plan_network, AddressSources, Attachment, Plan};
pub use ranges::Mapping;
pub use source::{network, SourceTarget, WrittenSource};
