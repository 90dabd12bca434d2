//! `portero explain GUEST`: what a guest needs of the host, an address, names and a way out, for each of its
//! interfaces.

mod gather;
mod judge;
mod value;

use super::error::Error;
use super::judge::{first_failing, Hop};
use crate::candidates::did_you_mean_object;
use crate::engine::with_engine;
use crate::everybody::RULES;
use crate::exit::{DONE, FAILED};
use crate::explain::value::Asked;
use crate::host_port::Destination;
use crate::json::to_json;
use crate::terminal::{log_sink, Colors};
use portero_engine::{ApplyError, Engine};
use portero_inventory::foreign_rules;
use portero_libvirt::ObjectName;
use portero_model::Family;
use portero_system::Deadline;
use portero_trace::Rules;
use serde::Serialize;
use std::net::IpAddr;
use std::panic::resume_unwind;

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    guest: &'a str,
    hops: Vec<Hop>,
    interfaces: Vec<Interface>,
    forwards: Vec<ExplainedForward>,
    /// The name of the first hop that fails.
    fails: Option<&'static str>,
    /// The command that mends it, or what to do.
    mend: Option<String>,
}

/// An interface of the guest.
#[derive(Serialize)]
struct Interface {
    mac: String,
    network: Option<String>,
    addresses: Vec<IpAddr>,
    /// Where it sends to.
    to: Option<IpAddr>,
    hops: Vec<Hop>,
}

/// A port of the host that leads to the guest.
#[derive(Serialize)]
struct ExplainedForward {
    address: Option<IpAddr>,
    port: u16,
    protocol: String,
    hops: Vec<Hop>,
}

/// What is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Lines for a terminal.
    Text(Colors),
    /// JSON.
    Json,
}

/// Explains a guest; gives what to print and the exit status.
pub(super) fn run(
    name: &ObjectName,
    to: Option<Destination>,
    form: Form,
    engine: &mut Engine<'_>,
) -> Result<(String, u8), Error> {
    // Once for all of the answer: with thousands of rules that takes longest.
    let rules = foreign_rules(&Family::ALL, Deadline::after(RULES));
    let guest = gather::gather(name, to, &rules, engine)?;
    let guest = guest.ok_or_else(|| Error::NoGuest {
        name: name.clone(),
        tip: did_you_mean_object(name),
    })?;
    let hops = vec![judge::guest(&guest)];
    let interfaces = guest.nics.iter().map(|nic| Interface {
        mac: nic.mac.clone(),
        network: nic.network.as_ref().map(|network| network.name.clone()),
        addresses: nic.addresses.clone(),
        to: nic.way.as_ref().map(|way| way.to),
        hops: judge::hops(nic, &guest),
    });
    let interfaces: Vec<Interface> = interfaces.collect();
    let forwards = forwards(&guest.forwards, &rules)?;
    let all = std::iter::once(&hops).chain(interfaces.iter().map(|one| &one.hops));
    let mut all = all.chain(forwards.iter().map(|one| &one.hops));
    let failing = all.find_map(|hops| first_failing(hops)).cloned();
    let code = if failing.is_some() { FAILED } else { DONE };
    let report = Report {
        guest: name.as_str(),
        fails: failing.as_ref().map(|hop| hop.hop),
        mend: failing.as_ref().and_then(|hop| hop.mend.clone()),
        hops,
        interfaces,
        forwards,
    };
    let text = match form {
        Form::Json => to_json(&report),
        Form::Text(colors) => text(&report, failing.as_ref(), colors),
    };
    Ok((text, code))
}

/// Explains forwards, all at once: each asks the guest, and waits for an answer that may not come.
fn forwards(asked: &[Asked], rules: &Rules) -> Result<Vec<ExplainedForward>, ApplyError> {
    std::thread::scope(|scope| {
        let explaining = asked.iter().map(|asked| {
            let hops = scope.spawn(|| hops_of(asked, rules));
            (asked, hops)
        });
        let explaining: Vec<_> = explaining.collect();
        let explained = explaining.into_iter().map(|(asked, hops)| {
            let hops = hops.join().unwrap_or_else(|panic| resume_unwind(panic));
            Ok(ExplainedForward {
                address: asked.address,
                port: asked.port,
                protocol: asked.protocol.to_string(),
                hops: hops?,
            })
        });
        explained.collect()
    })
}

fn hops_of(asked: &Asked, rules: &Rules) -> Result<Vec<Hop>, ApplyError> {
    with_engine(log_sink(), |engine| {
        let facts = super::gather::facts(asked.clone(), Some(rules), engine)?;
        Ok(super::judge::hops(&facts))
    })
}

fn text(report: &Report<'_>, failing: Option<&Hop>, colors: Colors) -> String {
    let mut text = format!("domain '{}'\n", report.guest.escape_debug());
    let tell = |hops: &[Hop]| hops.iter().map(|hop| hop.line(colors)).collect::<String>();
    text += &tell(&report.hops);
    for interface in &report.interfaces {
        text += &format!("interface {}", interface.mac);
        if let Some(network) = &interface.network {
            text += &format!(" on network '{}'", network.escape_debug());
        }
        if let Some(to) = interface.to {
            text += &format!(", to {to}");
        }
        text.push('\n');
        text += &tell(&interface.hops);
    }
    for forward in &report.forwards {
        let address = forward
            .address
            .map_or(String::new(), |address| format!(" of {address}"));
        text += &format!("{} port {}{address}: ", forward.protocol, forward.port);
        text += &match first_failing(&forward.hops) {
            Some(failing) => failing.conclusion(),
            None => "every hop holds that can be seen from here\n".to_owned(),
        };
    }
    match failing {
        Some(failing) => text + &failing.conclusion(),
        None => text + "Every hop holds that can be seen from here.\n",
    }
}
