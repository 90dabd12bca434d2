//! What comes of policies, and the verdicts on packets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by a panic"
)]

mod compile;
mod explain;
mod networks;
