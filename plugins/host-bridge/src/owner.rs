//! Programs that bring interfaces up, and what each says of a NIC.

/// What brings interfaces up, as far as it can be asked whether it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display)]
pub enum NicOwner {
    /// NetworkManager.
    NetworkManager,
    /// systemd-networkd.
    #[strum(serialize = "systemd-networkd")]
    Networkd,
    /// Debian's ifupdown.
    #[strum(serialize = "ifupdown")]
    Ifupdown,
    /// The scripts of the network service, initscripts or network-scripts.
    #[strum(serialize = "the network service")]
    NetworkScripts,
}

/// What an owner says of a NIC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Says {
    /// It has it up, or brings it up.
    Has,
    /// It has not brought it up; its own word for what it is instead.
    IsIdle(String),
    /// It is told to leave it alone; its own word for that.
    LeavesAlone(String),
    /// It does not run, or is not installed.
    IsAbsent,
}

/// What `nmcli -g GENERAL.STATE device show NIC` says: `100 (connected)`, a number of
/// `NMDeviceState`. What is connected externally was brought up by somebody else.
#[must_use]
pub fn read_nmcli(output: &str) -> Says {
    const UNMANAGED: u32 = 10;
    const PREPARE: u32 = 40;
    const ACTIVATED: u32 = 100;
    let word = output.trim().to_owned();
    let number: Option<u32> = word.split(' ').next().and_then(|word| word.parse().ok());
    match number {
        Some(PREPARE..=ACTIVATED) if !word.contains("externally") => Says::Has,
        Some(state) if state > UNMANAGED => Says::IsIdle(word),
        Some(_) => Says::LeavesAlone(word),
        None => Says::LeavesAlone(format!("its state is '{word}'")),
    }
}

/// What `networkctl list --no-legend` says of a NIC: its name is in the second column, its setup in
/// the last, and before that its operational state, which nobody knows when networkd does not run.
#[must_use]
pub fn read_networkctl(output: &str, nic: &str) -> Says {
    let lines = output.lines().map(|line| {
        // Some versions begin a line with a dot.
        let words = line.trim_start_matches(['●', '*', ' ']).split_whitespace();
        words.collect::<Vec<&str>>()
    });
    let mut found = lines.filter(|words| words.get(1) == Some(&nic));
    match found.next().as_deref() {
        Some([_, _, .., "-" | "n/a", _]) => Says::IsAbsent,
        // That is also what no file is for.
        Some([_, _, .., setup @ ("unmanaged" | "n/a" | "-")]) => Says::IsIdle((*setup).to_owned()),
        Some(_) => Says::Has,
        None => Says::IsIdle("not listed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{read_networkctl, read_nmcli, Says};

    #[test]
    fn what_nmcli_says() {
        let left = |word: &str| Says::LeavesAlone(word.to_owned());
        let idle = |word: &str| Says::IsIdle(word.to_owned());
        for (said, expected) in [
            ("100 (connected)\n", Says::Has),
            ("70 (connecting (getting IP configuration))\n", Says::Has),
            (
                "100 (connected (externally))\n",
                idle("100 (connected (externally))"),
            ),
            ("30 (disconnected)\n", idle("30 (disconnected)")),
            ("120 (connection failed)\n", idle("120 (connection failed)")),
            ("10 (unmanaged)\n", left("10 (unmanaged)")),
            ("0 (unknown)\n", left("0 (unknown)")),
            ("", left("its state is ''")),
        ] {
            assert_eq!(read_nmcli(said), expected, "{said}");
        }
    }

    /// As systemd 252 and 257 write it.
    #[test]
    fn what_networkctl_says() {
        let idle = |word: &str| Says::IsIdle(word.to_owned());
        let runs = "  1 lo   loopback carrier  unmanaged\n  2 p0   ether    degraded unmanaged\n  3 lan0 ether    routable configured\n";
        let stopped = "  1 lo   loopback - unmanaged\n  3 lan0 ether    - unmanaged\n";
        let old = "● 3 lan0             ether              routable    configuring\n";
        for (said, nic, expected) in [
            (runs, "lan0", Says::Has),
            (runs, "p0", idle("unmanaged")),
            (runs, "lan", idle("not listed")),
            (stopped, "lan0", Says::IsAbsent),
            ("  3 lan0 ether n/a n/a\n", "lan0", Says::IsAbsent),
            ("  3 lan0 ether off -\n", "lan0", idle("-")),
            (old, "lan0", Says::Has),
            ("", "lan0", idle("not listed")),
        ] {
            assert_eq!(read_networkctl(said, nic), expected, "{nic}: {said}");
        }
    }
}
