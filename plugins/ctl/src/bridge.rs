//! `portero bridge`: shows what a bridge would change in the host's network files.

use portero_apply::{host_files, nics, ApplyError, Paths};
use portero_host_bridge::{plan, Bridge, BridgeError, Plan, Renderer};
use similar::TextDiff;

/// Why a bridge cannot be planned.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file cannot be read.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The NICs or their files are not fit for it.
    #[error(transparent)]
    Bridge(#[from] BridgeError),
}

/// What would change.
pub(crate) fn planned(bridge: &Bridge, renderer: Option<Renderer>) -> Result<Plan, Error> {
    let paths = Paths::default();
    let files = host_files(&paths)?;
    Ok(plan(bridge, renderer, &files, &nics(&bridge.nics))?)
}

/// The plan as a unified diff that patch(1) takes.
pub(crate) fn diff(plan: &Plan) -> String {
    let nothing = "/dev/null";
    let mut text = String::new();
    for change in &plan.changes {
        let path = format!("etc/{}", change.path);
        let side = |content: &Option<String>, start: &str| match content {
            Some(_) => format!("{start}/{path}"),
            None => nothing.to_owned(),
        };
        let (old, new) = (side(&change.before, "a"), side(&change.after, "b"));
        let before = change.before.as_deref().unwrap_or_default();
        let after = change.after.as_deref().unwrap_or_default();
        let diff = TextDiff::from_lines(before, after);
        text += &diff.unified_diff().header(&old, &new).to_string();
    }
    text
}
