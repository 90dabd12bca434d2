//! A machine in memory on which portero's engine can run: it understands what portero writes, is
//! as strict as the kernel where that matters, fails when it is told to, and its processes die when
//! they are told to. Beside it, networks with policies for tests.

mod iptables;
mod machine;
mod mortal;
mod nftables;
mod policies;
mod random;

pub use machine::Machine;
pub use mortal::{process, Killed, Mortal, Points};
pub use policies::{example_policies, ruleset, Policies};
pub use random::{random_networks, sample_networks, RandomNetworks, MACS, NETS};
