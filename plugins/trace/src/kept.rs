//! Which rules are kept of those that are read.

/// What somebody asks for who does not ask for everything gets along with less memory: a rule takes a hundred times as much as
/// its text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Kept {
    /// Every rule.
    #[default]
    All,
    /// Those that send packets elsewhere (DNAT), but for portero's: enough for
    /// [`published_by_others`](crate::Rules::published_by_others) and for nothing else.
    DnatOfOthers,
}
