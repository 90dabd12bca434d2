//! Whether what a command changes is still so after the next boot.

/// Programs that change the running kernel alone, and where what they do is written to last.
const UNTIL_THE_BOOT: [(&str, &str); 5] = [
    ("sysctl", "a file in /etc/sysctl.d"),
    ("ip", "the host's network configuration"),
    ("nft", "the configuration of that firewall"),
    ("iptables", "the configuration of that firewall"),
    ("ip6tables", "the configuration of that firewall"),
];

/// Where to write what these commands change, if the next boot undoes it.
pub(crate) fn place_to_last(commands: &str) -> Option<&'static str> {
    let mut programs = commands
        .split(" && ")
        .filter_map(|command| command.split_ascii_whitespace().next());
    programs.find_map(|program| {
        let mut known = UNTIL_THE_BOOT.iter();
        let (_, place) = known.find(|(name, _)| *name == program)?;
        Some(*place)
    })
}

/// The line that says so, or nothing.
pub(crate) fn note(commands: &str) -> String {
    place_to_last(commands).map_or(String::new(), |place| {
        format!("  The next boot undoes this; write it into {place} too.\n")
    })
}

#[cfg(test)]
mod tests {
    use super::note;

    #[test]
    fn what_changes_the_kernel_alone_is_undone_by_the_next_boot() {
        assert!(note("sysctl -w net.ipv4.ip_forward=1").contains("/etc/sysctl.d"));
        assert!(note("ip address add 192.0.2.9/32 dev eth0").contains("network configuration"));
        assert!(note("nft insert rule inet a b accept && portero sync").contains("firewall"));
        assert_eq!(note("portero sync"), "");
        assert_eq!(note("in the guest: ip route add default via 192.0.2.1"), "");
    }
}
