//! Why a status cannot be told.

use portero_engine::ApplyError;
use portero_libvirt::ObjectName;

/// Why there is nothing to say.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StatusError {
    /// The host cannot be read.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// Nobody has that name.
    #[error("there is no running guest and no active network '{}'{tip}", name.as_str().escape_debug())]
    Nobody {
        /// What was given.
        name: ObjectName,
        /// Who may be meant.
        tip: String,
    },
}
