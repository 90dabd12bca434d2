//! What a format of network files does for a plan, and the draft that it works on.

use crate::bridge::{Bridge, HostFiles, HostNic};
use crate::{BridgeError, NicOwner, Result};

/// The files of a bridge while they are planned.
pub(crate) struct Draft<'a> {
    pub(crate) bridge: &'a Bridge,
    /// Its NICs as the host has them.
    pub(crate) nics: &'a [&'a HostNic],
    /// The files as they are.
    pub(crate) before: &'a HostFiles,
    /// The files as they are to be.
    pub(crate) after: HostFiles,
    /// What the administrator should know.
    pub(crate) warnings: Vec<String>,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(bridge: &'a Bridge, nics: &'a [&'a HostNic], files: &'a HostFiles) -> Self {
        Self {
            bridge,
            nics,
            before: files,
            after: files.clone(),
            warnings: Vec::new(),
        }
    }

    pub(crate) fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    /// An IPv6 address that is made of the interface's name (RFC 7217) is another on the bridge.
    pub(crate) fn warn_of_address(&mut self, file: &str) {
        let (name, nic) = (&self.bridge.name, &self.nics[0].name);
        self.warn(format!(
            "{file}: the IPv6 address that {name} gives itself has the interface's name in it, so it is \
             another than that of {nic}"
        ));
    }

    /// A VLAN on a NIC that is in a bridge gets no more packets.
    pub(crate) fn warn_of_vlan(&mut self, vlan: &str, nic: &str) {
        let name = &self.bridge.name;
        self.warn(format!(
            "{vlan} is a VLAN on {nic}, whose packets {name} takes: put the VLAN on {name}"
        ));
    }
}

/// What a NIC's entry comes to when it becomes that of a port.
pub(crate) struct Port<Moved> {
    /// The MAC address that it sets.
    pub(crate) mac: Option<String>,
    /// What goes to the bridge.
    pub(crate) moved: Moved,
}

impl<Moved> Port<Moved> {
    pub(crate) fn new(mac: Option<&str>, moved: Moved) -> Self {
        Self {
            mac: mac.map(str::to_owned),
            moved,
        }
    }
}

/// A NIC's entry as that of a port, or why it can be none.
pub(crate) type MadePort<F> = Result<Port<<F as Format>::Moved>>;

/// A format: its files as they were read, and each step of a plan in them.
pub(crate) trait Format: Sized {
    /// What configures one NIC: a file, or a place in one.
    type Entry;
    /// What of the first NIC's entry goes to the bridge.
    type Moved;

    /// Where the files are, below /etc.
    const FOLDER: &'static str;

    /// The path of a file in the folder.
    fn path(file: &str) -> String {
        format!("{}/{file}", Self::FOLDER)
    }

    /// The path of the file that configures the NIC. One that cannot be read counts: the plan says
    /// what is wrong with it.
    fn owner(files: &HostFiles, nic: &HostNic) -> Option<String>;

    /// Reads the files.
    ///
    /// # Errors
    /// [`BridgeError`] when one cannot be understood that matters whatever NIC is meant.
    fn read(files: &HostFiles) -> Result<Self>;

    /// The file that makes or configures an interface of the bridge's name.
    fn find_bridge(&self, draft: &Draft<'_>) -> Result<Option<String>>;

    /// All that configures a NIC and nothing but it.
    fn find(&self, draft: &Draft<'_>, nic: &HostNic) -> Result<Vec<Self::Entry>>;

    /// What configures a further NIC that nothing has configured yet, `first` being the first NIC's.
    fn add(&self, draft: &Draft<'_>, nic: &HostNic, first: &Self::Entry) -> Result<Self::Entry>;

    /// Where an entry is, as errors name it; no two have one place.
    fn place(&self, entry: &Self::Entry) -> String;

    /// An error about an entry.
    fn error(&self, entry: &Self::Entry, reason: String) -> BridgeError {
        BridgeError::value(self.place(entry), None, reason)
    }

    /// What is wrong with a further NIC's entry that configures addresses or asks for any.
    fn ip_error(
        &self,
        draft: &Draft<'_>,
        nic: &HostNic,
        entry: &Self::Entry,
    ) -> Option<BridgeError>;

    /// Makes a NIC's entry that of a port of the bridge.
    fn make_port(
        &mut self,
        draft: &mut Draft<'_>,
        nic: &HostNic,
        entry: &Self::Entry,
    ) -> MadePort<Self>;

    /// Makes the bridge of what the first NIC had, pinned to a MAC address where one is known, and
    /// writes whatever is not written yet.
    fn make_bridge(
        &mut self,
        draft: &mut Draft<'_>,
        entries: &[Self::Entry],
        first: Port<Self::Moved>,
    ) -> Result<()>;

    /// The program that an entry leaves its NIC to, where it says one.
    fn left_to(&self, _entry: &Self::Entry) -> Result<Option<NicOwner>> {
        Ok(None)
    }
}
