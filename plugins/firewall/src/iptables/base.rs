//! portero's own chains that are there once: which table each is in, what jumps to it, and what it jumps to.

use portero_model::{Family, Owner, Ruleset};
use std::collections::BTreeMap;
use strum::IntoEnumIterator;

/// An iptables table that portero has chains in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Table {
    /// `filter`.
    Filter,
    /// `nat`.
    Nat,
    /// `mangle`.
    Mangle,
}

impl Table {
    /// All, in the order of a transaction: what accepts comes before what sends.
    pub const ALL: [Self; 3] = [Self::Filter, Self::Nat, Self::Mangle];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// What the names of all chains of portero start with.
pub(crate) const CHAIN_PREFIX: &str = "PORTERO-";

/// What the names of libvirt's own chains start with (src/network/network_iptables.c). Those of FORWARD
/// end in REJECT, those of INPUT and OUTPUT accept DNS and DHCP, that of POSTROUTING masquerades: where
/// a missing jump to them is made anew, libvirt puts it first.
pub(crate) const LIBVIRT_CHAIN_PREFIX: &str = "LIBVIRT_";

/// A chain that is there once, to which built-in chains jump and which jumps to every owner's.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, strum::EnumIter, strum::IntoStaticStr,
)]
#[strum(prefix = "PORTERO-", serialize_all = "SCREAMING-KEBAB-CASE")]
pub enum Base {
    /// Judges packets from guests by the policy of their network (filter).
    Out,
    /// Judges packets to guests (filter).
    In,
    /// Accepts forwarded connections (filter).
    Forward,
    /// Accepts what policies have let pass to guests and libvirt may reject (filter).
    To,
    /// Accepts what policies have let pass from guests and libvirt may reject (filter).
    From,
    /// Accepts packets that come from a network with a policy; jumped to from [`Base::To`] (filter).
    Known,
    /// Judges packets from guests to the host (filter).
    ToHost,
    /// Judges packets from the host to guests (filter).
    FromHost,
    /// Guards 127.0.0.0/8 (filter).
    Input,
    /// Drops what was sent to a guest whose address the host has, too (filter).
    Local,
    /// Sends what comes for an address that a guest has as a whole to it (nat).
    AddressDnat,
    /// Sends connections to guests (nat).
    Dnat,
    /// Changes their source where the guest could not answer (nat).
    Snat,
    /// Gives such a guest that address as source (nat).
    AddressSnat,
    /// Changes the source of connections that guests open, or keeps it (nat).
    Nat,
    /// Marks connections by the host's address that they came for (mangle).
    Mark,
    /// Gives answers the mark of their connection before they are routed (mangle).
    Answer,
}

impl Base {
    /// All of them; those of one built-in chain in the order in which they have to stand there.
    pub fn all() -> impl DoubleEndedIterator<Item = Self> {
        Self::iter()
    }

    /// The table it is in.
    #[must_use]
    pub fn table(self) -> Table {
        match self {
            Self::AddressDnat | Self::Dnat | Self::Snat | Self::AddressSnat | Self::Nat => {
                Table::Nat
            }
            Self::Mark | Self::Answer => Table::Mangle,
            _ => Table::Filter,
        }
    }

    /// Its name.
    #[must_use]
    pub fn chain(self) -> &'static str {
        self.into()
    }

    /// The name of an owner's chain: 27 of the 28 characters iptables takes.
    #[must_use]
    pub fn owner_chain(self, owner: &Owner) -> String {
        let part = match self {
            Self::Out => "PO",
            Self::In => "PI",
            Self::Forward => "FW",
            Self::To => "TO",
            Self::From => "FR",
            Self::Known => "KN",
            Self::ToHost => "TH",
            Self::FromHost => "FH",
            Self::Input => "IN",
            Self::Local => "LO",
            Self::AddressDnat => "AD",
            Self::Dnat => "DN",
            Self::Snat => "SN",
            Self::AddressSnat => "AS",
            Self::Nat => "NA",
            Self::Mark => "MA",
            Self::Answer => "AN",
        };
        format!("{CHAIN_PREFIX}{part}-{}", owner.hash())
    }

    /// The built-in chains that jump here.
    #[must_use]
    pub fn built_in_chains(self) -> &'static [&'static str] {
        match self {
            Self::Out | Self::In | Self::Forward | Self::To | Self::From | Self::Mark => {
                &["FORWARD"]
            }
            Self::Answer => &["PREROUTING"],
            Self::Known => &[],
            Self::Input | Self::Local | Self::ToHost => &["INPUT"],
            Self::FromHost => &["OUTPUT"],
            Self::AddressDnat | Self::Dnat => &["PREROUTING", "OUTPUT"],
            Self::Snat | Self::AddressSnat | Self::Nat => &["POSTROUTING"],
        }
    }

    /// The jump from a built-in chain, without the chain's name.
    #[must_use]
    pub fn built_in_jump(self) -> String {
        let matches = match self {
            Self::Forward | Self::Local | Self::Snat | Self::Mark => "-m conntrack --ctstate DNAT ",
            Self::Answer => "-m conntrack --ctdir REPLY ",
            Self::AddressDnat | Self::Dnat => "-m addrtype --dst-type LOCAL ",
            _ => "",
        };
        format!("{matches}-m comment --comment portero -j {}", self.chain())
    }

    /// The jump to an owner's chain, without this chain's name.
    #[must_use]
    pub fn owner_jump(self, ruleset: &Ruleset) -> String {
        let bridge = ruleset.policy.as_ref().map(|policy| &policy.bridge);
        let interface = match (self, bridge) {
            (Self::Out | Self::From | Self::Known | Self::ToHost, Some(bridge)) => {
                format!("-i {bridge} ")
            }
            (Self::In | Self::To | Self::FromHost, Some(bridge)) => format!("-o {bridge} "),
            _ => String::new(),
        };
        let owner = &ruleset.owner;
        format!(
            "{interface}-m comment --comment \"{}\" -j {}",
            owner.comment(),
            self.owner_chain(owner)
        )
    }
}

/// libvirt's chain with its verdicts on packets to guests.
pub(crate) const LIBVIRT_TO_GUESTS: &str = "LIBVIRT_FWI";
/// The same on packets from guests.
pub(crate) const LIBVIRT_FROM_GUESTS: &str = "LIBVIRT_FWO";

/// Whether libvirt's chains can be jumped to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LibvirtChains {
    /// They are there.
    Standing,
    /// libvirt has not made them yet: it accepts nothing and rejects nothing either.
    Missing,
}

/// The rules of one owner's chains; chains without a rule are left out.
pub(crate) type Chains = BTreeMap<(Family, Base), Vec<String>>;
