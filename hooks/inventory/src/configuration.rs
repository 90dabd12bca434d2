//! What of /etc/portero and of libvirt's metadata cannot be used, be it of a guest that is off: nothing else tells of
//! that before its next start.

use crate::{DesiredForwards, Object, ObjectState, Snapshot};
use portero_engine::{group, ApplyError};
use portero_libvirt::ObjectName;
use portero_model::{Owner, OwnerKind};
use portero_system::files;
use std::path::PathBuf;

/// Something that is written and cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigProblem {
    /// portero.toml, or a group of peers: what is wrong.
    File(String),
    /// What is written for a domain or network, in its metadata or its file.
    Object {
        /// Whose it is.
        owner: Owner,
        /// What is wrong.
        error: String,
    },
    /// A file for a domain or network that libvirt does not have.
    NoObject {
        /// Of which kind.
        kind: OwnerKind,
        /// Its name by the file's.
        name: String,
        /// The file.
        path: PathBuf,
    },
}

impl Snapshot<'_, '_> {
    /// Everything that is written and cannot be used, but the policies of active networks
    /// ([`crate::ActiveNetwork::written`]).
    ///
    /// # Errors
    /// [`ApplyError`] when the folders cannot be read.
    pub fn config_problems(
        &mut self,
        desired: &[DesiredForwards],
    ) -> Result<Vec<ConfigProblem>, ApplyError> {
        let mut wrong: Vec<String> = Vec::new();
        wrong.extend(self.engine.configure().err().map(|error| error.to_string()));
        let folder = self.engine.paths.config.join("groups");
        for name in files::names(&folder, ".xml")? {
            let name = name.strip_suffix(".xml").and_then(|name| name.parse().ok());
            let read =
                |name: ObjectName| group(&self.engine.paths, &name, self.engine.trusted_user);
            let error = name.and_then(|name| read(name).err());
            wrong.extend(error.map(|error| error.to_string()));
        }
        let mut problems: Vec<ConfigProblem> = wrong.into_iter().map(ConfigProblem::File).collect();
        for one in desired {
            let error = self.error_of(one);
            problems.extend(error.map(|error| ConfigProblem::Object {
                owner: one.owner.clone(),
                error,
            }));
        }
        for kind in [OwnerKind::Domain, OwnerKind::Network] {
            problems.extend(self.files_of_nobody(kind, desired)?);
        }
        Ok(problems)
    }

    /// What is wrong with what is written for somebody.
    fn error_of(&self, desired: &DesiredForwards) -> Option<String> {
        let checked = match &desired.object {
            Object::Network(network) if desired.state == ObjectState::Off => {
                self.engine.check_written(network)
            }
            _ => Ok(()),
        };
        let errors = [checked.as_ref().err(), desired.written.as_ref().err()];
        let later = desired.wrong_from_next_start.as_ref();
        let mut errors = errors.into_iter().flatten().chain(later);
        errors.next().map(ToString::to_string)
    }

    /// Files for domains or networks that libvirt does not have.
    fn files_of_nobody(
        &self,
        kind: OwnerKind,
        desired: &[DesiredForwards],
    ) -> Result<Vec<ConfigProblem>, ApplyError> {
        let folder = self.engine.paths.config.join(match kind {
            OwnerKind::Domain => "domains",
            OwnerKind::Network => "networks",
        });
        let is_known = |name: &str| {
            let mut owners = desired.iter().map(|one| &one.owner);
            owners.any(|owner| owner.kind == kind && owner.name == name)
        };
        let names = files::names(&folder, ".xml")?;
        let unknown = names.iter().filter_map(|file| {
            let name = file.strip_suffix(".xml")?;
            (!is_known(name)).then(|| ConfigProblem::NoObject {
                kind,
                name: name.to_owned(),
                path: folder.join(file),
            })
        });
        Ok(unknown.collect())
    }
}
