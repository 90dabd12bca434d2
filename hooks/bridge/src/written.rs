//! What a NIC has that none of its files brings about: a bridge that is made by these files would not have it, and neither
//! would the NIC when it comes up again.

use crate::difference::Difference;
use crate::noted::{Noted, What};
use crate::outcome::Kind;
use crate::rule::RoutingRule;
use portero_host_bridge::BridgePlan;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// What files say: the addresses in them, and whether a server or a router gives more.
struct Written {
    addresses: BTreeSet<IpAddr>,
    has_dhcp: bool,
}

/// Words that leave addresses and routes to somebody else in one of the formats.
const OTHERS: [&str; 5] = ["dhcp", "auto", "bootp", "ppp", "slaac"];

impl Written {
    fn read<'a>(texts: impl Iterator<Item = &'a str>) -> Self {
        let mut written = Self {
            addresses: BTreeSet::new(),
            has_dhcp: false,
        };
        for line in texts.flat_map(str::lines) {
            if line.trim_start().starts_with('#') {
                continue;
            }
            let is_in_address = |letter: char| letter.is_ascii_hexdigit() || ".:".contains(letter);
            for word in line.split(|letter| !is_in_address(letter)) {
                // netplan's and YAML's keys end in a colon.
                let found = [
                    word,
                    word.trim_end_matches(':'),
                    word.trim_start_matches(':'),
                ];
                let address: Option<IpAddr> = found.into_iter().find_map(|word| word.parse().ok());
                written.addresses.extend(address);
            }
            let line = line.to_ascii_lowercase();
            // `auto eth0` brings an interface up, and does not say how.
            let is_up = line.trim_start().starts_with("auto ");
            written.has_dhcp |= !is_up && OTHERS.iter().any(|word| line.contains(word));
        }
        written
    }
}

/// What the first NIC has, and rules about it, that is neither in a file which the plan changes nor in the text of one for all
/// NICs.
pub(super) fn unwritten(
    plan: &BridgePlan,
    global: &str,
    noted: &Noted,
    rules: &[RoutingRule],
) -> Vec<Difference> {
    let texts = plan.changes.iter();
    let texts = texts.filter_map(|change| change.before.as_deref());
    let written = Written::read(texts.chain([global]));
    let knows = |addresses: &[IpAddr]| {
        let mut addresses = addresses.iter();
        addresses.any(|address| written.addresses.contains(address))
    };
    let mut found = Vec::new();
    for entry in &noted.entries {
        // A client of DHCP can write down what it was given as if somebody had typed it.
        let is_given = written.has_dhcp && entry.what != What::Neighbor;
        let addresses = entry.addresses();
        let is_unknown = !addresses.is_empty() && !knows(&addresses);
        if entry.is_written() && !entry.is_of_link() && !is_given && is_unknown {
            found.push(Difference::new(Kind::from(entry.what), entry.text.clone()));
        }
    }
    let own: Vec<IpAddr> = noted
        .entries
        .iter()
        .flat_map(|entry| match entry.what {
            What::Address => entry.addresses(),
            _ => Vec::new(),
        })
        .collect();
    for rule in rules {
        let addresses = rule.addresses();
        let is_of_nic = rule.is_by(&noted.nic) || addresses.iter().any(|one| own.contains(one));
        let is_told = rule.is_by(&noted.nic)
            && plan.changes.iter().any(|change| {
                let before = change.before.as_deref().unwrap_or_default();
                before.contains("iif") || before.contains("oif") || before.contains("Interface=")
            });
        if is_of_nic && !is_told && !knows(&addresses) {
            found.push(Difference::new(Kind::Rules, format!("rule {}", rule.text)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::Written;
    use std::net::IpAddr;

    fn knows(texts: &[&str], address: &str) -> bool {
        let written = Written::read(texts.iter().copied());
        let address: Option<IpAddr> = address.parse().ok();
        address.is_some_and(|address| written.addresses.contains(&address))
    }

    #[test]
    fn an_address_is_known_in_each_format() {
        for text in [
            "iface eth0 inet static\n  address 192.0.2.10/24\n",
            "IPADDR='192.0.2.10'\nPREFIX=24\n",
            "IPADDR0=192.0.2.10\n",
            "address1=192.0.2.10/24,192.0.2.1\n",
            "Address=192.0.2.10/24\n",
            "addresses: [192.0.2.10/24, \"2001:db8::1/64\"]\n",
            "up ip address add 192.0.2.10/24 dev $IFACE\n",
        ] {
            assert!(knows(&[text], "192.0.2.10"), "{text}");
            assert!(
                !knows(&[text], "192.0.2.1") || text.contains("192.0.2.1\n"),
                "{text}"
            );
        }
        // However it is written.
        assert!(knows(&["IPV6ADDR=2001:DB8:0:0::10/64\n"], "2001:db8::10"));
        assert!(knows(&["default via: \"2001:db8::1\"\n"], "2001:db8::1"));
        assert!(!knows(&["# address 192.0.2.10\n"], "192.0.2.10"));
    }

    #[test]
    fn who_asks_a_server_may_have_more() {
        let has_dhcp = |text: &str| Written::read(std::iter::once(text)).has_dhcp;
        for text in [
            "iface eth0 inet dhcp\n",
            "iface eth0 inet6 auto\n",
            "BOOTPROTO=dhcp\n",
            "method=auto\n",
            "DHCP=yes\n",
            "dhcp4: true\n",
        ] {
            assert!(has_dhcp(text), "{text}");
        }
        assert!(!has_dhcp("auto eth0\niface eth0 inet static\n"));
        assert!(!has_dhcp("# no dhcp here\n"));
    }
}
