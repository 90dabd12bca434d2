//! Commands that mend what was found, as a shell takes them.

use portero_engine::{ActiveNetwork, OwnFile};
use portero_xml::NAMESPACE;

/// What brings the firewall to what is wanted.
pub(super) const SYNC: &str = "portero sync";

/// Gives a network the policy that says no more than libvirt does, and so closes what libvirt leaves
/// open without saying it.
pub(super) fn plain_policy(network: &ActiveNetwork) -> String {
    if let Ok(Some(_)) = &network.written {
        return SYNC.to_owned();
    }
    match &network.file {
        OwnFile::Missing(path) => format!(
            "echo {} > {} && {SYNC}",
            word(&format!(
                "<network xmlns=\"{NAMESPACE}\"><policy/></network>"
            )),
            word(&path.display().to_string())
        ),
        OwnFile::There(path) => format!(
            "write <portero:policy/> into {}, then {SYNC}",
            path.display()
        ),
    }
}

/// A word of a shell's.
pub(crate) fn word(text: &str) -> String {
    // Only a NUL cannot be quoted, which neither XML nor a path has.
    shlex::try_quote(text).map_or_else(|_| text.to_owned(), |word| word.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_one_word_of_a_shell() {
        assert_eq!(
            word("/etc/portero/networks/lan.xml"),
            "/etc/portero/networks/lan.xml"
        );
        assert_eq!(word("my lan"), "'my lan'");
        assert_eq!(word("it's; rm"), r#""it's; rm""#);
        assert_eq!(word(""), "''");
    }
}
