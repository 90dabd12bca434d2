//! `portero explain`: walks a packet's way to a forwarded port and back, hop by hop, and names the
//! first that fails and what mends it.

mod find;
mod gather;
mod judge;
mod target;
mod value;

pub(crate) use judge::by;
pub(crate) use target::HostPort;

use crate::args::Explained;
use crate::exit::{DONE, FAILED};
use crate::json::to_json;
use judge::{first_failing, hops, Hop};
use portero_engine::{ApplyError, Engine};
use serde::Serialize;
use std::fmt::Write as _;
use std::net::IpAddr;
use value::{Asked, Facts};

/// Why a port cannot be explained.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The host cannot be read.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// A packet has one family.
    #[error("{from} and {to} are of two families, expected two IPv4 or two IPv6 addresses")]
    TwoFamilies {
        /// The client.
        from: IpAddr,
        /// The host's address.
        to: IpAddr,
    },
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    address: Option<IpAddr>,
    port: u16,
    protocol: String,
    from: Option<IpAddr>,
    hops: &'a [Hop],
    /// The name of the first hop that fails.
    fails: Option<&'static str>,
    /// The command that mends it, or what to do.
    mend: Option<&'a str>,
}

/// Explains a port; gives what to print and the exit status.
pub(crate) fn run(explained: &Explained, engine: &mut Engine<'_>) -> Result<(String, u8), Error> {
    let HostPort {
        address,
        port,
        protocol,
    } = explained.port;
    if let (Some(from), Some(to)) = (explained.from, address) {
        if from.is_ipv4() != to.is_ipv4() {
            return Err(Error::TwoFamilies { from, to });
        }
    }
    let asked = Asked {
        address,
        port,
        protocol,
        from: explained.from,
    };
    let facts = gather::facts(asked, engine)?;
    let hops = hops(&facts);
    let failing = first_failing(&hops);
    let code = if failing.is_some() { FAILED } else { DONE };
    let text = if explained.json {
        to_json(&Report {
            address,
            port,
            protocol: protocol.to_string(),
            from: explained.from,
            hops: &hops,
            fails: failing.map(|hop| hop.hop),
            mend: failing.and_then(|hop| hop.mend.as_deref()),
        })
    } else {
        text(&facts, &hops)
    };
    Ok((text, code))
}

fn text(facts: &Facts, hops: &[Hop]) -> String {
    let asked = &facts.asked;
    let mut text = format!("{} port {}", asked.protocol, asked.port);
    // Writing to a String cannot fail.
    let _ = match asked.address {
        Some(address) => write!(text, " of {address}"),
        None => write!(text, " of the host"),
    };
    let _ = match asked.from {
        Some(from) => write!(text, ", from {from}"),
        None => write!(text, ", from any machine outside"),
    };
    if let Some(outside) = facts.way.as_ref().and_then(|way| way.outside.as_ref()) {
        let _ = write!(text, " by {outside}");
    }
    text.push('\n');
    for hop in hops {
        let _ = writeln!(
            text,
            "  {:<8} {:<10} {}",
            hop.state.name(),
            hop.hop,
            hop.text
        );
    }
    match first_failing(hops) {
        None => text += "Every hop holds that can be seen from here.\n",
        Some(hop) => {
            let _ = writeln!(text, "{} fails: {}", hop.hop, hop.text);
            if let Some(mend) = &hop.mend {
                let _ = writeln!(text, "  mend it: {mend}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests;
