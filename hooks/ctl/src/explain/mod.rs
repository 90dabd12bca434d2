//! `portero explain`: walks a packet's way to a forwarded port and back, or what a guest needs of the host, hop by
//! hop, and names the first that fails and what mends it.

mod asking;
mod error;
mod find;
mod gather;
mod judge;
mod leaving;
mod picture;
mod published;
mod value;
mod view;
mod whose;

pub(crate) use judge::{forwarding_mend, forwarding_sysctl};

use crate::args::{ExplainFormat, Explained, What};
use crate::exit::{DONE, FAILED};
use crate::host_port::HostPort;
use crate::json::to_json;
use crate::lasting;
use crate::terminal::Colors;
use error::Error;
use judge::{first_failing, hops, Hop};
use leaving::Form;
use portero_engine::Engine;
use serde::Serialize;
use std::net::IpAddr;
use value::{Asked, Facts};

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
    /// Where to write what it changes, if the next boot undoes it.
    until_boot: Option<&'static str>,
}

/// Explains a port; gives what to print and the exit status.
pub(crate) fn run(
    explained: &Explained,
    colors: Colors,
    engine: &mut Engine<'_>,
) -> Result<(String, u8), Error> {
    let form = match explained.json {
        true => Form::Json,
        false => Form::Text(colors),
    };
    let HostPort {
        address,
        port,
        protocol,
    } = match &explained.what {
        What::Port(port) => *port,
        What::Guest(_) if explained.format == ExplainFormat::Svg => return Err(Error::NoPicture),
        What::Guest(name) => return leaving::run(name, explained.to, form, engine),
    };
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
    let facts = gather::facts(asked, None, engine)?;
    let hops = hops(&facts);
    let failing = first_failing(&hops);
    let code = if failing.is_some() { FAILED } else { DONE };
    let text = if explained.format == ExplainFormat::Svg {
        picture::draw(&facts, &hops)
    } else if explained.json {
        to_json(&Report {
            address,
            port,
            protocol: protocol.to_string(),
            from: explained.from,
            hops: &hops,
            fails: failing.map(|hop| hop.hop),
            mend: failing.and_then(|hop| hop.mend.as_deref()),
            until_boot: failing
                .and_then(|hop| hop.mend.as_deref())
                .and_then(lasting::place_to_last),
        })
    } else {
        text(&facts, &hops, colors)
    };
    Ok((text, code))
}

fn text(facts: &Facts, hops: &[Hop], colors: Colors) -> String {
    let asked = &facts.asked;
    let name = |address: Option<IpAddr>, nobody: &str| {
        address.map_or(nobody.to_owned(), |address| address.to_string())
    };
    let to = name(asked.address, "the host");
    let from = name(asked.from, "any machine outside");
    let mut text = format!(
        "{} port {} of {to}, from {from}",
        asked.protocol, asked.port
    );
    if let Some(outside) = facts.way.as_ref().and_then(|way| way.outside.as_ref()) {
        text += &format!(" by {outside}");
    }
    text.push('\n');
    hops.iter().for_each(|hop| text += &hop.line(colors));
    match first_failing(hops) {
        Some(failing) => text + &failing.conclusion(),
        None => text + "Every hop holds that can be seen from here.\n",
    }
}

#[cfg(test)]
mod tests;
