//! `portero sync`, `withdraw` and `plan`: everybody's rules at once.

use crate::args::RulesCommand;
use crate::exit::{DONE, FAILED, WOULD_CHANGE};
use crate::json::to_json;
use portero_engine::{ApplyError, Engine};
use portero_firewall::Script;
use portero_inventory::runs_watch;
use std::fmt::Write as _;

/// Why a command is refused before anything is done.
pub(crate) fn refusal(command: &RulesCommand) -> Option<&'static str> {
    let is_vain = matches!(command, RulesCommand::Withdraw) && runs_watch();
    is_vain.then_some(
        "portero-watch runs and would restore all rules at once, expected to be stopped: \
         'systemctl disable --now portero-watch', then: portero withdraw",
    )
}

/// Does what a command says; gives what to print and the exit status.
pub(crate) fn run(
    command: &RulesCommand,
    engine: &mut Engine<'_>,
) -> Result<(String, u8), ApplyError> {
    match command {
        RulesCommand::Sync => engine
            .sync()
            .map(|()| (String::new(), status(engine, DONE))),
        RulesCommand::Withdraw => engine.withdraw().map(|()| (String::new(), DONE)),
        RulesCommand::Plan { json } => {
            let scripts = engine.plan()?;
            let code = if scripts.is_empty() {
                DONE
            } else {
                WOULD_CHANGE
            };
            let code = status(engine, code);
            let text = if *json {
                to_json(&scripts.iter().map(json_of).collect::<Vec<_>>())
            } else {
                text(&scripts)
            };
            Ok((text, code))
        }
    }
}

/// Failed for those who keep what they had, of whom the log has said why; or else what is given.
fn status(engine: &Engine<'_>, otherwise: u8) -> u8 {
    match engine.kept.as_slice() {
        [] => otherwise,
        _ => FAILED,
    }
}

fn json_of(script: &Script) -> serde_json::Value {
    serde_json::json!({ "program": script.tool.program(), "input": script.text() })
}

fn text(scripts: &[Script]) -> String {
    let mut text = String::new();
    for script in scripts {
        // Writing to a String cannot fail.
        let arguments = script.tool.arguments().join(" ");
        let _ = write!(
            text,
            "# {} {arguments}\n{}",
            script.tool.program(),
            script.text()
        );
    }
    text
}
