//! The numbers of nf_tables' attributes and of what is in them (linux/netfilter/nf_tables.h), and those of what nft notes for
//! itself (libnftnl/udata.h).

/// `NFTA_LIST_ELEM`.
pub(crate) const LIST_ELEMENT: u16 = 1;

/// `NFTA_CHAIN_...` and `NFTA_HOOK_...`.
pub(crate) mod chain {
    pub(crate) const HOOK: u16 = 4;
    pub(crate) const POLICY: u16 = 5;
    pub(crate) const TYPE: u16 = 7;
    pub(crate) const HOOK_NUMBER: u16 = 1;
    pub(crate) const HOOK_PRIORITY: u16 = 2;
    /// `NF_ACCEPT`.
    pub(crate) const ACCEPT: u32 = 1;
}

/// `NFTA_SET_...`, `NFTA_SET_DESC_...` and `NFTA_SET_FIELD_...`.
pub(crate) mod set {
    pub(crate) const FLAGS: u16 = 3;
    pub(crate) const KEY_TYPE: u16 = 4;
    pub(crate) const KEY_LENGTH: u16 = 5;
    pub(crate) const DATA_TYPE: u16 = 6;
    pub(crate) const DATA_LENGTH: u16 = 7;
    pub(crate) const DESCRIPTION: u16 = 9;
    pub(crate) const ID: u16 = 10;
    pub(crate) const USERDATA: u16 = 13;
    pub(crate) const EXPRESSION: u16 = 17;
    pub(crate) const DESCRIPTION_FIELDS: u16 = 2;
    pub(crate) const FIELD_LENGTH: u16 = 1;
    /// `NFT_SET_ANONYMOUS`: part of a rule.
    pub(crate) const ANONYMOUS: u32 = 0x1;
    /// `NFT_SET_CONSTANT`, `_INTERVAL`, `_MAP` and `_CONCAT`.
    pub(crate) const CONSTANT: u32 = 0x2;
    pub(crate) const INTERVAL: u32 = 0x4;
    pub(crate) const MAP: u32 = 0x8;
    pub(crate) const CONCATENATION: u32 = 0x80;
    /// `NFTNL_UDATA_SET_KEYBYTEORDER`, `_DATABYTEORDER` and `_MERGE_ELEMENTS`.
    pub(crate) const KEY_ORDER: u8 = 0;
    pub(crate) const DATA_ORDER: u8 = 1;
    pub(crate) const MERGES: u8 = 2;
}

/// `NFTA_SET_ELEM_LIST_...` and `NFTA_SET_ELEM_...`.
pub(crate) mod element {
    pub(crate) const LIST: u16 = 3;
    pub(crate) const LIST_ID: u16 = 4;
    pub(crate) const KEY: u16 = 1;
    pub(crate) const DATA: u16 = 2;
    pub(crate) const FLAGS: u16 = 3;
    pub(crate) const USERDATA: u16 = 6;
    pub(crate) const EXPRESSION: u16 = 7;
    pub(crate) const KEY_END: u16 = 10;
    pub(crate) const EXPRESSIONS: u16 = 11;
    /// `NFT_SET_ELEM_INTERVAL_END`.
    pub(crate) const IS_INTERVAL_END: u32 = 1;
    /// `NFTNL_UDATA_SET_ELEM_FLAGS`, in which 1 is what nft calls an open interval.
    pub(crate) const NOTES: u8 = 1;
}

/// `NFTA_DATA_...` and `NFTA_VERDICT_...`.
pub(crate) mod data {
    pub(crate) const VALUE: u16 = 1;
    pub(crate) const VERDICT: u16 = 2;
    pub(crate) const CODE: u16 = 1;
    pub(crate) const CHAIN: u16 = 2;
}

/// `NFTA_EXPR_...`, `NFTA_COUNTER_...`, `NFTA_IMMEDIATE_DATA` and `NFTA_LOOKUP_SET_ID`.
pub(crate) mod expression {
    pub(crate) const NAME: u16 = 1;
    pub(crate) const DATA: u16 = 2;
    pub(crate) const BYTES: u16 = 1;
    pub(crate) const PACKETS: u16 = 2;
    pub(crate) const IMMEDIATE_DATA: u16 = 2;
    pub(crate) const SET_ID: u16 = 4;
}

/// `NFTA_RULE_...`.
pub(crate) mod rule {
    pub(crate) const HANDLE: u16 = 3;
    pub(crate) const EXPRESSIONS: u16 = 4;
    pub(crate) const USERDATA: u16 = 7;
    /// `NFTNL_UDATA_RULE_COMMENT`.
    pub(crate) const COMMENT: u8 = 0;
}
