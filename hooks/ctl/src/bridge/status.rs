//! `portero bridge status`: the bridges that portero has made.

use crate::json::to_json;
use crate::table::{draw, Cell};
use crate::terminal::Colors;
use anstyle::AnsiColor;
use portero_bridge::{made_bridges, ChangeError, MadeBridge, Stage};
use portero_system::{Linux, Paths};
use serde::Serialize;

/// One bridge.
#[derive(Debug, Serialize)]
pub(super) struct BridgeStatus {
    bridge: String,
    nics: Vec<String>,
    addresses: Vec<String>,
    state: &'static str,
    /// How long it waits to be confirmed, in seconds.
    seconds_left: Option<u64>,
    #[serde(skip)]
    stage: Stage,
}

impl BridgeStatus {
    fn new(made: MadeBridge, addresses: Vec<String>) -> Self {
        let (state, seconds_left) = match made.stage {
            Stage::Confirmed => ("confirmed", None),
            Stage::Waiting(left) => ("waiting", Some(left.as_secs())),
            Stage::Changing => ("changing", None),
            Stage::HalfDone => ("half done", None),
        };
        Self {
            bridge: made.name.to_string(),
            nics: made.nics,
            addresses,
            state,
            seconds_left,
            stage: made.stage,
        }
    }

    /// Its state in words, with what to do.
    fn in_words(&self) -> Cell {
        let name = &self.bridge;
        match self.stage {
            Stage::Confirmed => Cell::colored("confirmed", AnsiColor::Green),
            Stage::Waiting(left) => {
                let left = left.as_secs();
                let text = format!("rolls back in {left} s unless: portero bridge confirm {name}");
                Cell::colored(text, AnsiColor::Yellow)
            }
            Stage::Changing => Cell::colored("changing now", AnsiColor::Yellow),
            Stage::HalfDone => {
                let text = format!("half done: portero bridge rollback {name}");
                Cell::colored(text, AnsiColor::Red)
            }
        }
    }
}

/// Prints them.
///
/// # Errors
/// [`ChangeError`] when what is kept of them cannot be read.
pub(super) fn show(paths: &Paths, json: bool, colors: Colors) -> Result<String, ChangeError> {
    let interfaces = Linux::interfaces();
    let of = |made: MadeBridge| {
        let mut found = interfaces.iter();
        let found = found.find(|one| one.name == made.name.as_str());
        let addresses = found.map(|one| one.addresses.iter().map(ToString::to_string).collect());
        BridgeStatus::new(made, addresses.unwrap_or_default())
    };
    let all: Vec<BridgeStatus> = made_bridges(paths)?.into_iter().map(of).collect();
    Ok(match (json, all.is_empty()) {
        (true, _) => to_json(&all),
        (false, true) => "portero has made no bridge\n".to_owned(),
        (false, false) => table(&all, colors),
    })
}

fn table(all: &[BridgeStatus], colors: Colors) -> String {
    let rows = all.iter().map(|one| {
        let list = |texts: &[String]| Cell::optional((!texts.is_empty()).then(|| texts.join(", ")));
        [
            Cell::plain(one.bridge.clone()),
            list(&one.nics),
            list(&one.addresses),
            one.in_words(),
        ]
    });
    draw(
        ["BRIDGE", "NICS", "ADDRESSES", "STATE"],
        rows.collect(),
        colors,
    )
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn each_stage_has_its_words() {
        let made = |name: &str, stage| MadeBridge {
            name: name.parse().expect("a name"),
            nics: vec!["eth0".to_owned()],
            stage,
        };
        let has = || vec!["192.0.2.10/24".to_owned()];
        let all = [
            BridgeStatus::new(made("br0", Stage::Confirmed), has()),
            BridgeStatus::new(made("br1", Stage::Waiting(Duration::from_secs(90))), has()),
            BridgeStatus::new(made("br2", Stage::Changing), Vec::new()),
            BridgeStatus::new(made("br3", Stage::HalfDone), Vec::new()),
        ];
        let expected = "\
BRIDGE  NICS  ADDRESSES      STATE
br0     eth0  192.0.2.10/24  confirmed
br1     eth0  192.0.2.10/24  rolls back in 90 s unless: portero bridge confirm br1
br2     eth0  -              changing now
br3     eth0  -              half done: portero bridge rollback br3
";
        assert_eq!(table(&all, Colors::None), expected);
    }
}
