//! Why no bridge can be planned; each is one line that names the file, the place and what was
//! expected.

use crate::SyntaxError;
use portero_libvirt::InterfaceName;
use portero_xml::Sanitised;

/// The result of a plan, or of a part of it.
pub(crate) type Result<T, E = BridgeError> = std::result::Result<T, E>;

/// Why no bridge can be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BridgeError {
    /// A file cannot be read safely.
    #[error("{}, {source}", Sanitised(file))]
    Syntax {
        /// The file's name.
        file: String,
        /// What is wrong with it.
        source: SyntaxError,
    },
    /// A value in a file does not fit what is wanted.
    #[error("{}{}: {}", Sanitised(file), line.map(|line| format!(", line {line}")).unwrap_or_default(), Sanitised(reason))]
    Value {
        /// The file's name.
        file: String,
        /// The line, from 1; none when it is about the whole file.
        line: Option<usize>,
        /// What is wrong with it.
        reason: String,
    },
    /// The host has no such NIC.
    #[error("{nic} is not there, expected the name of an interface of this host")]
    NoNic {
        /// Its name.
        nic: String,
    },
    /// The NIC cannot be put into a bridge.
    #[error("{nic} {}", Sanitised(reason))]
    Unfit {
        /// Its name.
        nic: String,
        /// Why not.
        reason: String,
    },
    /// No file configures the NIC.
    #[error(
        "no file configures {nic}, expected one in /etc, of NetworkManager, systemd-networkd, netplan, ifupdown or \
         an ifcfg file that names it or its MAC address; if NetworkManager has a connection for it in memory or in /run, \
         'nmcli connection modify CONNECTION connection.interface-name {nic} connection.autoconnect yes' writes it to /etc; if \
         systemd-networkd has a file for it in /run or /usr/lib, copy that to /etc/systemd/network"
    )]
    NoFile {
        /// The NIC.
        nic: String,
    },
    /// A file of SUSE's wicked configures the NIC.
    #[error(
        "{} is of wicked, whose files portero does not write; move its addresses to sysconfig/network/ifcfg-{bridge} with \
         STARTMODE='auto', BRIDGE='yes' and BRIDGE_PORTS='{nic}', rename ifroute-{nic} to ifroute-{bridge}, set BOOTPROTO='none' in \
         the first, and run 'wicked ifreload {bridge} {nic}'",
        Sanitised(file)
    )]
    Wicked {
        /// The path of the file below /etc.
        file: String,
        /// The NIC.
        nic: String,
        /// The bridge.
        bridge: String,
    },
    /// A file is there that would be written.
    #[error(
        "{} is there already, expected no configuration of {name}",
        Sanitised(file)
    )]
    Exists {
        /// The file.
        file: String,
        /// The interface it configures.
        name: String,
    },
    /// Files of two formats configure the NIC.
    #[error(
        "both {} and {} configure {nic}, expected one of them, or --renderer to say which counts",
        Sanitised(first),
        Sanitised(second)
    )]
    Formats {
        /// The NIC.
        nic: String,
        /// The path of one file below /etc.
        first: String,
        /// The path of the other.
        second: String,
    },
    /// Two files configure the NIC.
    #[error(
        "both {} and {} configure {nic}, expected one of them",
        Sanitised(first),
        Sanitised(second)
    )]
    Ambiguous {
        /// The NIC.
        nic: String,
        /// One file.
        first: String,
        /// The other.
        second: String,
    },
}

impl BridgeError {
    /// What is wrong with a value, or with the whole file without a line.
    pub(crate) fn value(
        file: impl Into<String>,
        line: Option<usize>,
        reason: impl Into<String>,
    ) -> Self {
        Self::Value {
            file: file.into(),
            line,
            reason: reason.into(),
        }
    }

    /// The NIC cannot be put into a bridge.
    pub(crate) fn unfit(nic: &InterfaceName, reason: impl Into<String>) -> Self {
        Self::Unfit {
            nic: nic.to_string(),
            reason: reason.into(),
        }
    }

    /// No file configures the NIC.
    pub(crate) fn no_file(nic: &InterfaceName) -> Self {
        Self::NoFile {
            nic: nic.to_string(),
        }
    }
}
