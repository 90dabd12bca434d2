//! The target of what other hooks were given.

use crate::one_line::one_line;
use crate::Reached;
use portero_import::{conflicts, Imported, Metadata};
use portero_model::{Origin, OwnerKind};
use portero_port_forward::{check_own, parse, Forward};
use portero_xml::{Element, NAMESPACE};

/// Any text as hooks.json or as a hook in shell: what is printed of it is what portero reads again, and its
/// command is one for a shell.
pub fn import(input: &[u8]) -> Reached {
    let imported = match Imported::read(input) {
        Ok(imported) => imported,
        Err(remark) => {
            let lines = input.iter().filter(|byte| **byte == b'\n').count() + 1;
            let text = one_line(&remark);
            assert!((1..=lines).contains(&remark.line), "{text}: of {lines}");
            return Reached::Refused;
        }
    };
    for warning in &imported.warnings {
        one_line(warning);
    }
    let mut all = Vec::new();
    for domain in &imported.domains {
        for warning in &domain.warnings {
            one_line(warning);
        }
        match Metadata::new(domain) {
            Ok(metadata) => {
                is_read_again(&metadata, domain.forwards.len());
                all.push(metadata);
            }
            Err(remark) => {
                one_line(&remark);
                return Reached::Refused;
            }
        }
    }
    for remark in conflicts(&all) {
        one_line(&remark);
    }
    if all.is_empty() {
        Reached::Nothing
    } else {
        Reached::Taken
    }
}

fn is_read_again(metadata: &Metadata<'_>, ranges: usize) {
    let printed = metadata.to_string();
    let (document, command) = printed
        .trim_end()
        .rsplit_once("\n\n")
        .expect("a document and a command");
    let shown = forwards(document);
    let bare = metadata.for_libvirt();
    let with_namespace = bare.replacen("<domain>", &format!("<domain xmlns='{NAMESPACE}'>"), 1);
    let set = forwards(&with_namespace);
    let essence = |forwards: &[Forward]| -> Vec<_> {
        let forwards = forwards.iter().cloned();
        forwards
            .map(|forward| Forward { line: 0, ..forward })
            .collect()
    };
    assert_eq!(essence(&shown), essence(&set), "{printed}");
    let mappings: usize = shown.iter().map(|forward| forward.mappings.len()).sum();
    assert_eq!(mappings, ranges, "{printed}");
    let words = shlex::split(command).expect("words for a shell");
    let domain = metadata.domain.name.as_str();
    let expected = [
        "virsh", "metadata", "--domain", domain, "--uri", NAMESPACE, "--key", "portero",
        "--config", "--set", &bare,
    ];
    assert_eq!(words, expected);
}

/// The forwards of a document, which have to be what a domain may have.
fn forwards(document: &str) -> Vec<Forward> {
    let root = Element::parse(document.as_bytes()).expect("XML");
    let origin = Origin::File(String::new());
    let forwards = parse(&root, OwnerKind::Domain, &origin).expect("what portero takes");
    check_own(&forwards).expect("no port twice");
    forwards
}
