//! What of the host itself matters to virtual networks, for `portero doctor`.

use crate::daemons::is_program;
use crate::Snapshot;
use portero_libvirt::Hook;
use portero_model::Family;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What of the host itself matters to virtual networks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// Hooks that libvirt does not find.
    pub missing_hooks: Vec<MissingHook>,
    /// Families whose packets the host passes on.
    pub passes_on: Vec<Family>,
    /// Families of which iptables judges what goes from port to port of one bridge.
    pub judges_bridged: Vec<Family>,
}

/// A hook that libvirt does not find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingHook {
    /// Where libvirt looks.
    pub folder: PathBuf,
    /// The program that should be there.
    pub program: &'static str,
    /// The file that is there and cannot be run; nothing is there when absent.
    pub not_executable: Option<PathBuf>,
}

impl Snapshot<'_, '_> {
    /// What of the host itself matters to virtual networks.
    pub fn host_facts(&mut self) -> HostFacts {
        let hooks = self.engine.paths.libvirt.join("hooks");
        let missing = Hook::ALL.into_iter().filter_map(|hook| {
            let folder = hooks.join(hook.folder());
            let program = hook.program();
            // Under whatever name: itself, or a link to it.
            let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
            let links = entries.map(|entry| entry.path());
            let links = links.filter(|link| is_program(link, program));
            let files: Vec<PathBuf> = links.flat_map(fs::canonicalize).collect();
            (!files.iter().any(|file| is_executable(file))).then(|| MissingHook {
                folder,
                program,
                not_executable: files.into_iter().next(),
            })
        });
        let system = &mut self.engine.system;
        let mut families = Family::ALL.to_vec();
        families.retain(|family| system.passes_on(*family));
        let mut judged = Family::ALL.to_vec();
        judged.retain(|family| system.judges_bridged(*family));
        HostFacts {
            missing_hooks: missing.collect(),
            passes_on: families,
            judges_bridged: judged,
        }
    }
}

/// libvirt runs what is executable (`virHookCheck` in src/util/virhook.c).
fn is_executable(file: &Path) -> bool {
    let mode = fs::metadata(file).map(|file| file.permissions().mode());
    mode.is_ok_and(|mode| mode & 0o111 != 0)
}
