//! A hop of a packet's way, and what is found of it.

use crate::lasting;
use crate::terminal::Colors;
use anstyle::{AnsiColor, Style};
use serde::Serialize;

/// One hop, and whether it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(in crate::explain) struct Hop {
    /// Its name.
    pub(in crate::explain) hop: &'static str,
    /// Whether it holds.
    pub(in crate::explain) state: HopState,
    /// Why, in one line.
    pub(in crate::explain) text: String,
    /// The command that mends it, or what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::explain) mend: Option<String>,
}

impl Hop {
    /// As it is printed, with the end of the line.
    pub(in crate::explain) fn line(&self, colors: Colors) -> String {
        let state = format!("{:<8}", self.state.name());
        let state = colors.paint(self.state.style(), &state);
        format!("  {state} {:<10} {}\n", self.hop, self.text)
    }

    /// What is printed at the end of the first that fails.
    pub(in crate::explain) fn conclusion(&self) -> String {
        let mend = self.mend.as_ref();
        let mend = mend.map(|mend| format!("  repair: {mend}\n{}", lasting::note(mend)));
        let mend = mend.unwrap_or_default();
        format!("{} fails: {}\n{mend}", self.hop, self.text)
    }
}

/// Whether a hop holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::explain) enum HopState {
    /// It does.
    Ok,
    /// It does not.
    Fails,
    /// That cannot be seen from here.
    Unknown,
}

impl HopState {
    /// As it is printed.
    pub(in crate::explain) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Fails => "FAILS",
            Self::Unknown => "unknown",
        }
    }

    fn style(self) -> Style {
        match self {
            Self::Ok => AnsiColor::Green.on_default(),
            Self::Fails => AnsiColor::Red.on_default().bold(),
            Self::Unknown => AnsiColor::Yellow.on_default(),
        }
    }
}

/// What is found of a hop, before it has its name.
#[derive(Debug)]
pub(in crate::explain) enum Seen {
    Ok(String),
    Fails { text: String, mend: String },
    Unknown(String),
}

impl Seen {
    pub(in crate::explain) fn fails(text: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::Fails {
            text: text.into(),
            mend: mend.into(),
        }
    }

    pub(in crate::explain) fn into_hop(self, hop: &'static str) -> Hop {
        let (state, text, mend) = match self {
            Self::Ok(text) => (HopState::Ok, text, None),
            Self::Fails { text, mend } => (HopState::Fails, text, Some(mend)),
            Self::Unknown(text) => (HopState::Unknown, text, None),
        };
        Hop {
            hop,
            state,
            text,
            mend,
        }
    }
}
