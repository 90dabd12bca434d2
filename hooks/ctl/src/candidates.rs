//! Names that may be meant: what a shell may complete an argument with, the names of this host's domains, networks and
//! interfaces; and the one that is nearest to a wrong one.

use clap_complete::{ArgValueCandidates, CompletionCandidate};
use portero_libvirt::ObjectName;
use portero_model::OwnerKind;
use portero_system::{interface_names, object_names, Paths};

/// Characters beside letters and digits that mean nothing to a shell.
const PLAIN: &str = "._-+@%,/";

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

/// `, did you mean 'web'?` where one of these names is near; nothing where none is.
pub(crate) fn did_you_mean(wrong: &str, names: impl IntoIterator<Item = String>) -> String {
    nearest(wrong, names).map_or(String::new(), |name| {
        format!(", did you mean '{}'?", name.escape_debug())
    })
}

/// The same of the host's domains and networks.
pub(crate) fn did_you_mean_object(wrong: &ObjectName) -> String {
    let kinds = [OwnerKind::Domain, OwnerKind::Network];
    let names = kinds.map(|kind| object_names(&Paths::default(), kind));
    let names = names.into_iter().flatten();
    did_you_mean(wrong.as_str(), names.map(|name| name.as_str().to_owned()))
}

/// The nearest of some names, if it is one to two slips of the keys away, or begins with what was written.
pub(crate) fn nearest(wrong: &str, names: impl IntoIterator<Item = String>) -> Option<String> {
    let slips = match wrong.chars().count() {
        0..=2 => 1,
        _ => 2,
    };
    let distance = |name: &String| match name.to_lowercase() == wrong.to_lowercase() {
        true => 0,
        false => strsim::osa_distance(wrong, name),
    };
    let near = |name: &String| {
        let distance = distance(name);
        let is_begun = wrong.chars().count() > 2 && name.starts_with(wrong);
        (is_begun || distance <= slips && distance < name.chars().count()).then_some(distance)
    };
    let names = names.into_iter().filter(|name| name != wrong);
    let near = names.filter_map(|name| Some((near(&name)?, name)));
    near.min().map(|(_, name)| name)
}

/// Those of which nothing is read by a shell in another way: bash puts them into the line as they
/// are.
pub(crate) fn candidates(names: impl IntoIterator<Item = String>) -> Vec<CompletionCandidate> {
    let is_plain = |name: &String| {
        let plain = |character: char| character.is_alphanumeric() || PLAIN.contains(character);
        name.chars().all(plain) && !name.starts_with('-')
    };
    let names = names.into_iter().filter(is_plain);
    names.map(CompletionCandidate::new).collect()
}

#[cfg(test)]
mod tests {
    use super::{candidates, did_you_mean};

    #[test]
    fn the_nearest_name_is_meant_and_none_that_is_far() {
        let names = || ["web", "db", "default", "database"].map(str::to_owned);
        for (wrong, meant) in [
            ("wbe", "web"),
            ("WEB", "web"),
            ("defualt", "default"),
            ("databse", "database"),
            ("data", "database"),
        ] {
            let expected = format!(", did you mean '{meant}'?");
            assert_eq!(did_you_mean(wrong, names()), expected, "{wrong}");
        }
        for wrong in ["web", "x", "mail", "", "frob"] {
            let names = names().into_iter().filter(|name| name != "web");
            assert_eq!(did_you_mean(wrong, names), "", "{wrong}");
        }
    }

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
