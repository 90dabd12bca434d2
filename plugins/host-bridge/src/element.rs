//! Reads `<hostBridge>`: what a network with forward mode `bridge` says of the bridge it needs.

use portero_event::{Element, InterfaceName, NameError, Problem, NAMESPACE};

/// What the network says of its bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostBridge {
    /// The NIC that belongs in it.
    pub nic: InterfaceName,
    /// The element, for messages.
    element: Element,
}

impl HostBridge {
    /// Reads the element of a `<portero:network>`, if there is one.
    ///
    /// # Errors
    /// [`Problem`] when it is not as the grammar has it, or asks for what this version cannot do.
    pub fn of(root: &Element) -> Result<Option<Self>, Problem> {
        let is_ours = |element: &&Element| {
            (element.namespace(), element.name()) == (Some(NAMESPACE), "hostBridge")
        };
        let mut found = root.children().iter().filter(is_ours);
        let Some(element) = found.next() else {
            return Ok(None);
        };
        if let Some(second) = found.next() {
            return Err(second.problem("a network has one bridge, expected one <hostBridge>"));
        }
        element.only_attributes(&["nic", "renderer", "activate"])?;
        let nic = element
            .attribute("nic")
            .ok_or_else(|| element.problem("nic is missing, expected the name of a NIC"))?
            .parse()
            .map_err(|error: NameError| element.problem(format!("nic: {error}")))?;
        match element.attribute("renderer") {
            None | Some("auto" | "ifcfg") => {}
            Some(other) => {
                return Err(element.problem(format!(
                    "renderer is '{}', expected auto or ifcfg",
                    other.escape_debug()
                )));
            }
        }
        match element.attribute("activate") {
            None | Some("no") => {}
            Some("yes") => {
                return Err(element.problem(
                    "activate='yes' is not supported by this version of portero, expected no",
                ));
            }
            Some(other) => {
                return Err(element.problem(format!(
                    "activate is '{}', expected yes or no",
                    other.escape_debug()
                )));
            }
        }
        Ok(Some(Self {
            nic,
            element: element.clone(),
        }))
    }

    /// What is wrong when the network has no bridge of the host for its guests.
    #[must_use]
    pub fn without_bridge(&self) -> Problem {
        self.element.problem(
            "the network uses no bridge of the host, expected <forward mode='bridge'/> and <bridge \
             name='...'/>",
        )
    }

    /// What is wrong when the bridge is not there, with the command that helps.
    #[must_use]
    pub fn missing(&self, bridge: &InterfaceName) -> Problem {
        self.element.problem(format!(
            "bridge {bridge} is not there; 'portero bridge plan --bridge {bridge} --nic {}' shows the \
             files that make it",
            self.nic
        ))
    }
}
