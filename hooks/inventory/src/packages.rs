//! Which program installs packages on this host.

use portero_system::Paths;
use std::fs;

/// What installs packages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Packages {
    /// Fedora's and RHEL's.
    #[default]
    Dnf,
    /// SUSE's.
    Zypper,
    /// Debian's and Ubuntu's.
    Apt,
}

impl Packages {
    /// By os-release(5).
    #[must_use]
    pub fn of_host(paths: &Paths) -> Self {
        // A link on most systems.
        let text = fs::read_to_string(paths.etc.join("os-release"));
        Self::of(&text.unwrap_or_default())
    }

    fn of(os_release: &str) -> Self {
        let names = os_release.lines().filter_map(|line| {
            let (key, value) = line.split_once('=')?;
            ["ID", "ID_LIKE"].contains(&key).then_some(value)
        });
        let names: Vec<&str> = names
            .flat_map(|names| names.trim_matches('"').split(' '))
            .collect();
        match names.as_slice() {
            names if names.contains(&"debian") => Self::Apt,
            names if names.iter().any(|name| name.contains("suse")) => Self::Zypper,
            _ => Self::Dnf,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Packages;

    #[test]
    fn each_family_has_its_own() {
        let of = Packages::of;
        assert_eq!(of("ID=debian\n"), Packages::Apt);
        assert_eq!(of("NAME=x\nID=ubuntu\nID_LIKE=debian\n"), Packages::Apt);
        let leap = "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n";
        assert_eq!(of(leap), Packages::Zypper);
        assert_eq!(
            of("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n"),
            Packages::Dnf
        );
    }
}
