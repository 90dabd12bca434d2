//! What a command does to a domain's forwards, or would do: for people and for programs.

use super::args::AffectedState;
use super::list::{rows, Row};
use crate::json::to_json;
use portero_port_forward::Forward;
use serde::Serialize;

/// What is done to the forwards of a domain.
#[derive(Debug, Serialize)]
pub(super) struct Done {
    /// Its name.
    domain: String,
    /// Whether anything is.
    changed: bool,
    /// The forwards that it has now, where they are affected.
    live: Option<Difference>,
    /// Those that it has from its next start on, where they are affected.
    config: Option<Difference>,
    /// The same for people.
    #[serde(serialize_with = "lines")]
    messages: String,
}

/// The forwards of one state of a domain.
#[derive(Debug, Serialize)]
struct Difference {
    before: Vec<Row>,
    after: Vec<Row>,
}

fn lines<S: serde::Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(text.lines())
}

impl Done {
    /// Nothing yet.
    pub(super) fn nothing(domain: &str) -> Self {
        Self {
            domain: domain.to_owned(),
            changed: false,
            live: None,
            config: None,
            messages: String::new(),
        }
    }

    /// Notes what a state has and what it gets.
    pub(super) fn note(&mut self, state: AffectedState, before: &[Forward], after: &[Forward]) {
        let place = match state {
            AffectedState::Live => &mut self.live,
            AffectedState::Config => &mut self.config,
        };
        *place = Some(Difference {
            before: rows(before),
            after: rows(after),
        });
    }

    /// It with the words for people; something is done.
    pub(super) fn changed(self, messages: String) -> Self {
        Self {
            changed: true,
            ..self.unchanged(messages)
        }
    }

    /// It with the words for people; nothing is done.
    pub(super) fn unchanged(self, messages: String) -> Self {
        Self { messages, ..self }
    }

    /// For programs.
    pub(super) fn json(&self) -> String {
        to_json(self)
    }

    /// For people.
    pub(super) fn messages(self) -> String {
        self.messages
    }
}
