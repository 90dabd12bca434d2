//! The servers that the host asks for names: systemd-resolved's for an interface where resolv.conf(5) is its, otherwise
//! those of that file.

use crate::error::Result;
use portero_system::files::{self, Ownership};
use portero_system::programs::{find_program, read, run};
use portero_system::Deadline;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Where systemd-resolved keeps the file that resolv.conf is a link to.
const RESOLVED: &str = "/run/systemd/resolve";

/// Longest time for resolvectl(1).
const PROGRAM: Duration = Duration::from_secs(2);

/// Who is asked for names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Dns {
    /// Nobody, as far as can be seen.
    #[default]
    Nobody,
    /// systemd-resolved asks these servers for what leaves by the interface, and for these domains.
    Resolved {
        /// Its servers.
        servers: Vec<String>,
        /// Its domains, `~.` among them where it is asked for all.
        domains: Vec<String>,
    },
    /// The servers of resolv.conf.
    File {
        /// Its text.
        text: String,
    },
}

impl Dns {
    /// Who is asked now, by what leaves by an interface.
    pub(super) fn read(file: &Path, interface: &str) -> Self {
        let mut dns = Self::read_servers(file, interface);
        if let Self::Resolved { domains, .. } = &mut dns {
            *domains = words("domain", interface);
        }
        dns
    }

    /// The same without the domains, to compare with.
    pub(super) fn read_servers(file: &Path, interface: &str) -> Self {
        let target = fs::canonicalize(file).unwrap_or_default();
        if target.starts_with(RESOLVED) {
            if find_program("resolvectl").is_err() {
                return Self::Nobody;
            }
            return Self::Resolved {
                servers: words("dns", interface),
                domains: Vec::new(),
            };
        }
        match fs::read_to_string(file) {
            Ok(text) => Self::File { text },
            Err(_) => Self::Nobody,
        }
    }

    fn servers(&self) -> BTreeSet<&str> {
        match self {
            Self::Nobody => BTreeSet::new(),
            Self::Resolved { servers, .. } => servers.iter().map(String::as_str).collect(),
            Self::File { text } => text
                .lines()
                .filter_map(|line| line.trim().strip_prefix("nameserver"))
                .map(|server| without_zone(server.trim()))
                .collect(),
        }
    }

    /// Servers that are no longer asked.
    pub(super) fn missing_in(&self, now: &Self) -> Vec<String> {
        let now = now.servers();
        let gone = self.servers().into_iter();
        gone.filter(|server| !now.contains(server))
            .map(str::to_owned)
            .collect()
    }

    /// Lets these be asked again, by an interface in place of the one that they were noted of.
    ///
    /// # Errors
    /// [`crate::ChangeError`] when the file cannot be written, or systemd-resolved refuses.
    pub(super) fn put_back(&self, file: &Path, interface: &str, from: &str) -> Result<()> {
        match self {
            Self::Nobody => Ok(()),
            Self::Resolved { servers, domains } => {
                for (verb, words) in [("dns", servers), ("domain", domains)] {
                    if !words.is_empty() {
                        let words = words.iter().map(String::as_str);
                        // They can be a DHCP server's.
                        let words: Vec<&str> =
                            ["--", verb, interface].into_iter().chain(words).collect();
                        run("resolvectl", &words, "", Deadline::after(PROGRAM))?;
                    }
                }
                Ok(())
            }
            Self::File { text } => {
                // Where it is a link of somebody's, the file is his.
                let target = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
                let ownership = match target.exists() {
                    true => Ownership::read(&target)?,
                    false => Ownership::of_root(0o644),
                };
                let text = text.replace(&format!("%{from}\n"), &format!("%{interface}\n"));
                Ok(files::write_as(&target, text.as_bytes(), &ownership)?)
            }
        }
    }
}

/// A server of the link without the interface that it is asked by: that is another one for a bridge.
fn without_zone(server: &str) -> &str {
    server.split('%').next().unwrap_or(server)
}

/// What `resolvectl VERB INTERFACE` prints behind `Link 2 (eth0):`.
fn words(verb: &str, interface: &str) -> Vec<String> {
    let said = read(
        "resolvectl",
        &["--", verb, interface],
        Deadline::after(PROGRAM),
    );
    let said = String::from_utf8(said.unwrap_or_default()).unwrap_or_default();
    let (_, words) = said.split_once("):").unwrap_or_default();
    words.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by a panic")]
mod tests {
    use super::*;

    #[test]
    fn servers_of_a_file_come_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("resolv.conf");
        assert_eq!(Dns::read(&file, "lan0"), Dns::Nobody);
        let text = "# ours\nnameserver 192.0.2.53\nnameserver 2001:db8::53\nsearch example.org\n";
        fs::write(&file, text).expect("a file");
        let before = Dns::read(&file, "lan0");
        fs::write(&file, "nameserver 2001:db8::53\nnameserver 192.0.2.1\n").expect("a file");
        let now = Dns::read(&file, "lan0");
        assert_eq!(before.missing_in(&now), ["192.0.2.53"]);
        assert_eq!(before.missing_in(&before), [""; 0]);
        before.put_back(&file, "lan0", "lan0").expect("a file");
        assert_eq!(fs::read_to_string(&file).expect("a file"), text);
        // By another interface it is the same server.
        fs::write(&file, "nameserver fe80::1%lan0\n").expect("a file");
        let before = Dns::read(&file, "lan0");
        fs::write(&file, "nameserver fe80::1%br0\n").expect("a file");
        assert_eq!(before.missing_in(&Dns::read(&file, "br0")), [""; 0]);
        before.put_back(&file, "br0", "lan0").expect("a file");
        let now = fs::read_to_string(&file).expect("a file");
        assert_eq!(now, "nameserver fe80::1%br0\n");
    }
}
