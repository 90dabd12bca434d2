//! The host whose guests are meant: a connection to its libvirt, and what can be done there.

use super::error::Error;
use std::fmt;
use virt::connect::Connect;

/// What virsh asks first when it is not told whom to connect to; libvirt itself asks the others.
const VIRSH_URI: &str = "VIRSH_DEFAULT_CONNECT_URI";

/// A connection to the libvirt of a host.
pub(crate) struct Host {
    pub(crate) connect: Connect,
    pub(crate) place: HostPlace,
}

/// Where the host is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HostPlace {
    /// It is this one: what is written is checked against everything and applied at once.
    Here,
    /// Another: what is written is checked for itself, and applied there by portero-watch.
    Elsewhere {
        /// Its libvirt's URI.
        uri: String,
    },
}

impl Host {
    /// Connects as virsh does.
    ///
    /// # Errors
    /// [`Error::Libvirt`]; [`Error::Uri`] when it has no guests on networks of a host's.
    pub(crate) fn connect(uri: Option<&str>) -> Result<Self, Error> {
        // It would print every error by itself.
        virt::error::clear_error_callback();
        let virsh = std::env::var(VIRSH_URI).ok().filter(|uri| !uri.is_empty());
        let connect = Connect::open(uri.or(virsh.as_deref()));
        let connect = connect.map_err(failed("connect to the hypervisor"))?;
        let driver = connect.get_type();
        let driver = driver.map_err(failed("get the hypervisor's type"))?;
        let uri = connect.get_uri();
        let uri = uri.map_err(failed("get the connection's URI"))?;
        let place = HostPlace::from_uri(&uri, &driver)?;
        Ok(Self { connect, place })
    }
}

/// An error of libvirt's while it was asked to do something.
pub(crate) fn failed(action: impl fmt::Display) -> impl FnOnce(virt::error::Error) -> Error {
    move |source| Error::Libvirt {
        action: action.to_string(),
        source,
    }
}

impl HostPlace {
    /// Where the guests are that a connection leads to (<https://libvirt.org/uri.html>).
    fn from_uri(uri: &str, driver: &str) -> Result<Self, Error> {
        let uri = uri.to_owned();
        if !["QEMU", "LXC"].contains(&driver) {
            let reason = "is of another hypervisor";
            return Err(Error::Uri { uri, reason });
        }
        let (scheme, rest) = uri.split_once("://").unwrap_or((&uri, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = path.split(['?', '#']).next().unwrap_or(path);
        if path != "system" {
            let reason = "has guests on no network of the host's";
            return Err(Error::Uri { uri, reason });
        }
        let transport = scheme.split_once('+').map(|(_, transport)| transport);
        Ok(match (transport, authority) {
            (None | Some("unix"), "") => Self::Here,
            _ => Self::Elsewhere { uri },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::HostPlace;

    fn place(uri: &str) -> Option<HostPlace> {
        HostPlace::from_uri(uri, "QEMU").ok()
    }

    #[test]
    fn only_a_socket_of_this_host_leads_here() {
        for uri in [
            "qemu:///system",
            "qemu+unix:///system",
            "qemu+unix:///system?socket=/run/libvirt/libvirt-sock",
        ] {
            assert_eq!(place(uri), Some(HostPlace::Here), "{uri}");
        }
        for uri in [
            "qemu://host/system",
            "qemu+ssh://root@host:22/system?keyfile=/x",
            "qemu+tls://[2001:db8::1]/system",
            "qemu+ssh:///system",
            "qemu+ext:///system?command=/bin/x",
        ] {
            let uri = uri.to_owned();
            assert_eq!(
                place(&uri),
                Some(HostPlace::Elsewhere { uri: uri.clone() }),
                "{uri}"
            );
        }
    }

    #[test]
    fn guests_that_are_on_no_network_of_a_host_are_refused() {
        for uri in [
            "qemu:///session",
            "qemu+ssh://host/session",
            "qemu:///embed?root=/x",
            "qemu",
        ] {
            assert_eq!(place(uri), None, "{uri}");
        }
        let container = HostPlace::from_uri("lxc:///system", "LXC");
        assert_eq!(container.ok(), Some(HostPlace::Here));
        assert!(HostPlace::from_uri("test:///default", "Test").is_err());
    }
}
