//! Networks with policies, as folders of XML: `NAME.xml` for each network, `groups/NAME.xml` for
//! each group.

use portero_libvirt::{Network, ObjectName};
use portero_model::{Owner, Ruleset};
use portero_routed_policy::{compile, Compiled, Context, Group, WrittenPolicy};
use portero_xml::Element;
use std::fs;
use std::path::{Path, PathBuf};

/// What is in a folder: networks, all of them active.
#[derive(Debug, Clone)]
pub struct Policies {
    folder: PathBuf,
    /// The folder's networks, by the names of their files.
    pub networks: Vec<Network>,
    /// Those that have no policy, of the folder `common` beside.
    pub common: Vec<Network>,
}

/// All folders below tests/policies, with what is in each.
///
/// # Panics
/// When one cannot be read.
#[must_use]
pub fn example_policies() -> Vec<(PathBuf, Policies)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies");
    let folders = sorted(&folder).into_iter();
    folders
        .filter(|folder| !folder.ends_with("common"))
        .map(|folder| (folder.clone(), Policies::read(&folder)))
        .collect()
}

impl Policies {
    /// Reads a folder and the folder `common` beside it.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn read(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            networks: networks(folder),
            common: networks(&folder.with_file_name("common")),
        }
    }

    /// Every network.
    #[must_use]
    pub fn all(&self) -> Vec<Network> {
        self.common.iter().chain(&self.networks).cloned().collect()
    }

    /// What the policy of one of the networks comes to; nothing when it has none. The error is the
    /// line that refuses it.
    ///
    /// # Errors
    /// When the grammar or the networks do not allow it.
    pub fn compile(&self, network: &Network) -> Result<Option<Compiled>, String> {
        let groups = |name: &ObjectName| {
            let path = self.folder.join("groups").join(format!("{name}.xml"));
            let root = element(&path)?;
            Group::read(&root).map_err(|problem| problem.to_string())
        };
        compile_in(network, &self.all(), &groups)
    }

    /// The rulesets of all networks with a policy.
    ///
    /// # Panics
    /// When a policy is refused.
    #[must_use]
    pub fn rulesets(&self) -> Vec<Ruleset> {
        let networks = self.networks.iter();
        networks
            .filter_map(|network| {
                let compiled = self.compile(network).expect("a policy");
                Some(ruleset(network, compiled?))
            })
            .collect()
    }
}

/// What a network's policy comes to among others.
///
/// # Errors
/// The line that refuses it.
pub(crate) fn compile_in(
    network: &Network,
    networks: &[Network],
    groups: &dyn Fn(&ObjectName) -> Result<Group, String>,
) -> Result<Option<Compiled>, String> {
    let line = |problem: portero_xml::Problem| problem.to_string();
    let Some(metadata) = network.metadata().map_err(line)? else {
        return Ok(None);
    };
    let Some(written) = WrittenPolicy::find_in(&metadata).map_err(line)? else {
        return Ok(None);
    };
    let context = Context { networks, groups };
    compile(network, &written, &context).map(Some).map_err(line)
}

/// A network's ruleset with nothing but its policy.
#[must_use]
pub fn ruleset(network: &Network, compiled: Compiled) -> Ruleset {
    let owner = Owner::from(network);
    Ruleset {
        policy: Some(compiled.policy),
        ..Ruleset::empty(owner)
    }
}

fn networks(folder: &Path) -> Vec<Network> {
    let files = sorted(folder).into_iter();
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "xml"))
        .map(|path| {
            let root = element(&path).expect("XML");
            Network::from_element(&root)
                .unwrap_or_else(|problem| panic!("{}: {problem}", path.display()))
        })
        .collect()
}

fn element(path: &Path) -> Result<Element, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = fs::read(path).map_err(|error| wrong(&error))?;
    Element::parse(&text).map_err(|error| wrong(&error))
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a file").path()).collect();
    paths.sort();
    paths
}
