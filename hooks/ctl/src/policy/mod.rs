//! `portero policy`: shows, checks and explains the policies of networks.

mod check;
mod error;
mod explain;
mod forward;
mod rules;
mod ruling;
mod show;
mod table;
mod words;

pub(crate) use error::Error;
pub(crate) use forward::end;
pub(crate) use ruling::{rulings, Ruling, NOBODY};

use crate::args::PolicyCommand;
use portero_engine::Engine;

/// Does what a command says; gives what to print and the exit status.
pub(crate) fn run(command: &PolicyCommand, engine: &mut Engine<'_>) -> Result<(String, u8), Error> {
    match command {
        PolicyCommand::Show { network, json } => show::run(network.as_ref(), *json, engine),
        PolicyCommand::Check(asked) => check::run(asked, engine),
        PolicyCommand::Explain(question) => explain::run(question, engine),
    }
}
