//! Reads `nft -j list ruleset` and walks a packet through everybody's chains.

mod chain;
mod expression;
mod listing;

pub(crate) use chain::base_chains;
pub(crate) use listing::Listing;
