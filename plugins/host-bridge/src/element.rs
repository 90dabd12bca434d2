//! Reads `<hostBridge>`: what a network with forward mode `bridge` says of the bridge it needs.

use crate::Renderer;
use portero_libvirt::{ForwardMode, InterfaceName, Network};
use portero_xml::{Element, Problem};

/// Who makes the bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// The administrator, by `portero bridge apply`; until then the network does not start.
    ByHand,
    /// The start of the network.
    AtStart,
}

/// What the network says of its bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostBridge {
    /// The NIC that belongs in it.
    pub nic: InterfaceName,
    /// The format of the host's files; that of the NIC's own file without.
    pub renderer: Option<Renderer>,
    /// What to do at the network's start while the bridge is not there.
    pub activation: Activation,
    /// The element, for messages.
    element: Element,
}

impl HostBridge {
    /// Reads the element of a `<portero:network>`, if there is one.
    ///
    /// # Errors
    /// [`Problem`] when it is not as the grammar has it, or asks for what this version cannot do.
    pub fn read(root: &Element) -> Result<Option<Self>, Problem> {
        let mut found = root.all_own("hostBridge");
        let Some(element) = found.next() else {
            return Ok(None);
        };
        if let Some(second) = found.next() {
            return Err(second.problem("a network has one bridge, expected one <hostBridge>"));
        }
        element.only_attributes(&["nic", "renderer", "activate"])?;
        element.expect_nothing()?;
        let nic = element.required("nic", "the name of a NIC", str::parse)?;
        let renderer = element.optional("renderer", |word| match word {
            "auto" => Ok(None),
            word => word.parse().map(Some),
        })?;
        let activation = match element.attribute("activate") {
            None | Some("no") => Activation::ByHand,
            Some("yes") => Activation::AtStart,
            Some(other) => {
                return Err(element.problem(format!(
                    "activate is '{}', expected yes or no",
                    other.escape_debug()
                )));
            }
        };
        Ok(Some(Self {
            nic,
            renderer: renderer.flatten(),
            activation,
            element: element.clone(),
        }))
    }

    /// The bridge of the host that the network's guests are on.
    ///
    /// # Errors
    /// [`Problem`] when the network has none.
    pub fn bridge_of<'a>(&self, network: &'a Network) -> Result<&'a InterfaceName, Problem> {
        match (&network.bridge, network.mode) {
            (Some(bridge), ForwardMode::Bridge) => Ok(bridge),
            _ => Err(self.element.problem(
                "the network uses no bridge of the host, expected <forward mode='bridge'/> and \
                 <bridge name='...'/>",
            )),
        }
    }

    /// What is wrong when the bridge is not there, with the command that helps.
    #[must_use]
    pub fn missing(&self, bridge: &InterfaceName) -> Problem {
        self.element.problem(format!(
            "bridge {bridge} is not there, expected it; it is made by 'portero bridge apply --bridge {bridge} \
             --nic {}'",
            self.nic
        ))
    }
}
