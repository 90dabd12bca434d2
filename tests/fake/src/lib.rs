//! A machine in memory on which portero's engine can run: it understands what portero writes, is
//! as strict as the kernel where that matters, and fails when it is told to.

mod iptables;
mod machine;
mod nftables;

pub use machine::Machine;
