//! The machine portero runs on, as a [`Kernel`].

use crate::bounded::{find_program, run};
use crate::kernel::Localnet;
use crate::{conntrack, listeners, taps, Deadline, Flow, Kernel, KernelError};
use portero_event::{InterfaceName, MacAddress};
use portero_plan::{Claim, Family, Observed, Script, Table};
use portero_port_forward::Listener;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

/// The real machine, with iptables as its firewall.
#[derive(Debug, Default)]
pub struct Host;

/// Longest time to put taps back; netlink answers at once or not at all.
const REATTACH_LIMIT: Duration = Duration::from_secs(5);

impl Kernel for Host {
    fn observe(&mut self, family: Family, deadline: Deadline) -> Result<Observed, KernelError> {
        let program = match family {
            Family::Ipv4 => "iptables",
            Family::Ipv6 => "ip6tables",
        };
        find_program(program)?;
        let (sender, receiver) = mpsc::channel();
        // The crate waits for its programs without end; this thread is left behind if it must be.
        std::thread::spawn(move || drop(sender.send(read_tables(family, program))));
        receiver.recv_timeout(deadline.left()).unwrap_or_else(|_| {
            Err(KernelError::Hung {
                program: program.to_owned(),
                seconds: deadline.length().as_secs(),
            })
        })
    }

    fn commit(&mut self, script: &Script, deadline: Deadline) -> Result<(), KernelError> {
        let program = match script.family {
            Family::Ipv4 => "iptables-restore",
            Family::Ipv6 => "ip6tables-restore",
        };
        let wait = format!("--wait={}", deadline.left().as_secs().max(1));
        run(program, &["--noflush", &wait], &script.text, deadline)
    }

    fn listeners(&mut self, claims: &[Claim]) -> Result<Vec<Listener>, KernelError> {
        listeners::listeners(claims)
    }

    fn forget(&mut self, flows: &[Flow], deadline: Deadline) -> Result<(), KernelError> {
        conntrack::forget(flows, deadline)
    }

    fn localnet(&mut self, bridge: &str) -> Option<bool> {
        let value = std::fs::read_to_string(localnet_path(bridge)).ok()?;
        Some(value.trim() != "0")
    }

    fn set_localnet(&mut self, bridge: &str, setting: Localnet) -> Result<(), KernelError> {
        let path = localnet_path(bridge);
        let value = match setting {
            Localnet::Routed => "1",
            Localnet::Refused => "0",
        };
        std::fs::write(&path, value).map_err(|source| KernelError::Kernel {
            path: path.display().to_string(),
            source,
        })
    }

    fn reattach(
        &mut self,
        bridge: &InterfaceName,
        guests: &[MacAddress],
    ) -> Result<Vec<String>, KernelError> {
        taps::reattach(bridge, guests, Deadline::after(REATTACH_LIMIT))
    }
}

fn localnet_path(bridge: &str) -> PathBuf {
    PathBuf::from("/proc/sys/net/ipv4/conf")
        .join(bridge)
        .join("route_localnet")
}

/// Reads both tables of a family with the programs of the `iptables` crate.
fn read_tables(family: Family, program: &str) -> Result<Observed, KernelError> {
    let failed = |message: String| KernelError::Failed {
        program: program.to_owned(),
        message,
    };
    let iptables =
        iptables::new(family == Family::Ipv6).map_err(|error| failed(error.to_string()))?;
    let mut observed = Observed::default();
    for table in Table::ALL {
        let lines = iptables
            .list_table(table.name())
            .map_err(|error| failed(error.to_string()))?;
        // The crate does not look at the exit status; a table that was read shows its policies.
        if !lines.iter().any(|line| line.starts_with("-P ")) {
            return Err(failed(format!("cannot list table {}", table.name())));
        }
        observed.add(table, lines.iter().map(String::as_str));
    }
    Ok(observed)
}
