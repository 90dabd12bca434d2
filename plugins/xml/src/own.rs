//! The root elements that are portero's own, by their namespace: in an object's `<metadata>` and in the files of
//! /etc/portero. A later version of the grammar gets another namespace, so that an old portero refuses what it cannot
//! know instead of leaving half of it out.

use crate::{Element, Problem};

/// The namespace of portero's own elements in libvirt's `<metadata>` and in /etc/portero.
pub const NAMESPACE: &str = "urn:portero:1";

/// What every version of portero's namespace starts with.
const NAMESPACE_FAMILY: &str = "urn:portero:";

impl Element {
    /// The name, if the element is of portero's namespace.
    #[must_use]
    pub fn own_name(&self) -> Option<&str> {
        (self.namespace() == Some(NAMESPACE)).then(|| self.name())
    }

    /// All children of portero's namespace with this name.
    pub fn all_own<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> + 'a {
        let children = self.children().iter();
        children.filter(move |child| child.own_name() == Some(name))
    }
}

/// The `portero` element inside an object's `<metadata>`, if there is one.
///
/// # Errors
/// [`Problem`] when the element is of another version of the namespace, or is not called `expected`.
pub fn own_metadata(object: &Element, expected: &'static str) -> Result<Option<Element>, Problem> {
    let Some(metadata) = object.child("metadata") else {
        return Ok(None);
    };
    let mut found = None;
    for element in metadata.children() {
        let Some(namespace) = element.namespace() else {
            continue;
        };
        if !namespace.starts_with(NAMESPACE_FAMILY) {
            continue;
        }
        check_root(element, expected)?;
        if found.is_some() {
            return Err(element.problem(format!(
                "a second <{expected}> of portero's, expected one with everything in it"
            )));
        }
        found = Some(element.clone());
    }
    Ok(found)
}

/// Checks that `element` is the root that portero expects: its name and its namespace.
///
/// # Errors
/// [`Problem`] naming what was found and what was expected.
pub fn check_root(element: &Element, expected: &'static str) -> Result<(), Problem> {
    if element.namespace() != Some(NAMESPACE) {
        return Err(element.problem(format!(
            "namespace '{}' is not known, expected '{NAMESPACE}'",
            element.namespace().unwrap_or("")
        )));
    }
    if element.name() != expected {
        return Err(element.problem(format!("expected <{expected}> here")));
    }
    Ok(())
}
