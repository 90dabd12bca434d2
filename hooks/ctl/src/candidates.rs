//! What a shell may complete an argument with: the names of this host's domains, networks and interfaces.

use clap_complete::{ArgValueCandidates, CompletionCandidate};
use portero_model::OwnerKind;
use portero_system::{interface_names, object_names, Paths};

/// Characters beside letters and digits that mean nothing to a shell.
const PLAIN: &str = "._-+@%,";

/// The domains or networks that libvirt has.
pub(crate) fn objects(kind: OwnerKind) -> ArgValueCandidates {
    ArgValueCandidates::new(move || {
        let names = object_names(&Paths::default(), kind);
        candidates(names.iter().map(|name| name.as_str().to_owned()))
    })
}

/// The host's interfaces.
pub(crate) fn interfaces() -> ArgValueCandidates {
    ArgValueCandidates::new(|| candidates(interface_names()))
}

/// Those of which nothing is read by a shell in another way: bash puts them into the line as they
/// are.
fn candidates(names: impl IntoIterator<Item = String>) -> Vec<CompletionCandidate> {
    let is_plain = |name: &String| {
        let plain = |character: char| character.is_alphanumeric() || PLAIN.contains(character);
        name.chars().all(plain) && !name.starts_with('-')
    };
    let names = names.into_iter().filter(is_plain);
    names.map(CompletionCandidate::new).collect()
}

#[cfg(test)]
mod tests {
    use super::candidates;

    #[test]
    fn names_that_a_shell_would_read_otherwise_are_left_out() {
        let names = [
            "web-1.example",
            "größe",
            "my vm",
            "$(reboot)",
            "a;b",
            "a'b",
            "-h",
            "a\nb",
        ];
        let offered = candidates(names.map(str::to_owned));
        let offered: Vec<_> = offered
            .iter()
            .map(|candidate| candidate.get_value().to_string_lossy())
            .collect();
        assert_eq!(offered, ["web-1.example", "größe"]);
    }
}
