//! Why what there is now cannot be shown, of everybody or of one guest or network that is named.

use crate::candidates::did_you_mean_object;
use portero_engine::ApplyError;
use portero_libvirt::ObjectName;

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NamedError {
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

impl NamedError {
    /// There is nobody of this name.
    pub(crate) fn nobody(name: &ObjectName) -> Self {
        Self::Nobody {
            name: name.clone(),
            tip: did_you_mean_object(name),
        }
    }
}
