//! How the crates and files of hooks/ and plugins/ may need each other: what is in plugins/ is pure and needs nothing of
//! hooks/, and no file needs one that needs it, be it by others in between.
//!
//! Only what is written in the sources is read. A file needs another when it names something that is defined there, by a
//! `use` or by a path; a `pub use` hands a name on and needs nothing. Tests may need what they like.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use syn::visit::Visit;
use syn::{Attribute, Item, ItemMod, Meta, UseTree, Visibility};
use toml::Table;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The crates in a folder of the project.
fn crates_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut crates: Vec<PathBuf> = paths
        .filter(|path| path.join("Cargo.toml").exists())
        .collect();
    crates.sort();
    crates
}

/// What the crates of `plugins` need of `hooks`, `portero-trace needs portero-engine`.
fn arrows_back(plugins: &[PathBuf], hooks: &[PathBuf]) -> Vec<String> {
    let manifest = |folder: &PathBuf| -> Table {
        read(&folder.join("Cargo.toml"))
            .parse()
            .expect("a manifest")
    };
    let name = |manifest: &Table| {
        manifest["package"]["name"]
            .as_str()
            .unwrap_or("")
            .to_owned()
    };
    let hooks: BTreeSet<String> = hooks.iter().map(|folder| name(&manifest(folder))).collect();
    let mut arrows = Vec::new();
    for plugin in plugins.iter().map(manifest) {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let needs = plugin.get(kind).and_then(|needs| needs.as_table());
            for need in needs.into_iter().flat_map(Table::keys) {
                if hooks.contains(need) {
                    arrows.push(format!("{} needs {need}", name(&plugin)));
                }
            }
        }
    }
    arrows
}

/// A module by its path in its crate; the root has none.
type Module = Vec<String>;

/// What one file says.
#[derive(Default)]
struct Source {
    /// Paths that it names, as they are written.
    paths: Vec<Vec<String>>,
    /// Names that it takes by a `use`, each with its path.
    taken: BTreeMap<String, Vec<String>>,
    /// Names that it hands on, each with its path.
    handed_on: BTreeMap<String, Vec<String>>,
    /// The modules of other files that it declares.
    children: BTreeSet<String>,
    /// Those of them that are there for tests alone.
    for_tests: BTreeSet<String>,
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        _ => false,
    })
}

/// Each path of a `use` with the name that it gets.
fn each_use(tree: &UseTree, before: &[String], each: &mut impl FnMut(String, Vec<String>)) {
    let with = |name: String| [before, &[name]].concat();
    match tree {
        UseTree::Path(path) => each_use(&path.tree, &with(path.ident.to_string()), each),
        UseTree::Name(name) if name.ident == "self" => {
            each(before.last().cloned().unwrap_or_default(), before.to_vec());
        }
        UseTree::Name(name) => each(name.ident.to_string(), with(name.ident.to_string())),
        UseTree::Rename(name) => each(name.rename.to_string(), with(name.ident.to_string())),
        UseTree::Glob(_) => each("*".to_owned(), before.to_vec()),
        UseTree::Group(group) => {
            for tree in &group.items {
                each_use(tree, before, each);
            }
        }
    }
}

impl<'ast> Visit<'ast> for Source {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Mod(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            _ => &Vec::new(),
        };
        if let (true, Item::Mod(ItemMod { ident, .. })) = (is_for_tests(attributes), item) {
            self.for_tests.insert(ident.to_string());
        }
        if is_for_tests(attributes) {
            return;
        }
        match item {
            Item::Use(item) => {
                let is_private = matches!(item.vis, Visibility::Inherited);
                each_use(&item.tree, &[], &mut |name, path| {
                    if is_private {
                        self.paths.push(path.clone());
                        self.taken.insert(name, path);
                    } else {
                        self.handed_on.insert(name, path);
                    }
                });
            }
            Item::Mod(ItemMod {
                ident,
                content: None,
                ..
            }) => {
                self.children.insert(ident.to_string());
            }
            item => syn::visit::visit_item(self, item),
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments = path.segments.iter();
        self.paths
            .push(segments.map(|segment| segment.ident.to_string()).collect());
        syn::visit::visit_path(self, path);
    }

    /// `pub(crate)` names no need.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    /// What is given to `format!` and its like is no syntax, but mostly expressions with commas between.
    fn visit_macro(&mut self, given: &'ast syn::Macro) {
        use syn::punctuated::Punctuated;
        let parser = Punctuated::<syn::Expr, syn::Token![,]>::parse_terminated;
        if let Ok(expressions) = given.parse_body_with(parser) {
            for expression in &expressions {
                self.visit_expr(expression);
            }
        }
    }
}

/// The files of a crate by their modules.
#[derive(Default)]
struct Crate(BTreeMap<Module, Source>);

impl Crate {
    /// Reads all that is below `src`.
    fn read(folder: &Path) -> Self {
        let mut found = Self::default();
        found.add(&folder.join("src"), &[]);
        found
    }

    fn add(&mut self, folder: &Path, module: &[String]) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let stem = path.file_stem().expect("a name").to_string_lossy();
            let below = [module, &[stem.to_string()]].concat();
            if path.is_dir() {
                self.add(&path, &below);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let is_root = ["lib", "main"].contains(&&*stem) && module.is_empty();
                let of = if is_root || stem == "mod" {
                    module.to_vec()
                } else {
                    below
                };
                self.add_source(of, &read(&path));
            }
        }
    }

    fn add_source(&mut self, module: Module, text: &str) {
        let file = syn::parse_file(text).unwrap_or_else(|error| panic!("{module:?}: {error}"));
        let mut source = Source::default();
        source.visit_file(&file);
        self.0.insert(module, source);
    }

    /// The module in which what a path names is defined; nothing when that is another crate, or a name of the file's own.
    fn resolve(&self, from: &Module, path: &[String], depth: u8) -> Option<Module> {
        let (first, mut rest) = path.split_first()?;
        let mut at = match first.as_str() {
            "crate" => Vec::new(),
            "self" => from.clone(),
            "super" => from[..from.len().checked_sub(1)?].to_vec(),
            // Alone it is a variable of the same name.
            name if !rest.is_empty() && self.0[from].children.contains(name) => {
                rest = path;
                from.clone()
            }
            // A module that a `use` has named.
            name if !rest.is_empty() && depth < 8 => {
                let taken = self.0[from].taken.get(name)?;
                return self.resolve(from, &[taken, rest].concat(), depth + 1);
            }
            _ => return None,
        };
        while let Some((name, further)) = rest.split_first() {
            if name == "super" {
                at.pop();
            } else if self.0.get(&at)?.children.contains(name) {
                at.push(name.clone());
            } else {
                break;
            }
            rest = further;
        }
        let handed_on = rest
            .first()
            .and_then(|name| self.0.get(&at)?.handed_on.get(name));
        match handed_on {
            Some(path) if depth < 8 => self.resolve(&at, path, depth + 1).or(Some(at)),
            _ => Some(at),
        }
    }

    /// Whom each file needs.
    fn arrows(&self) -> BTreeMap<&Module, BTreeSet<Module>> {
        let mut arrows = BTreeMap::new();
        for (module, source) in &self.0 {
            let is_for_tests = (1..=module.len()).any(|length| {
                let parent = self.0.get(&module[..length - 1]);
                parent.is_some_and(|parent| parent.for_tests.contains(&module[length - 1]))
            });
            if is_for_tests {
                continue;
            }
            let needs = source.paths.iter();
            let needs = needs.filter_map(|path| self.resolve(module, path, 0));
            arrows.insert(module, needs.filter(|need| need != module).collect());
        }
        arrows
    }

    /// The circles: files of which each needs the next, and the last the first.
    fn circles(&self) -> Vec<String> {
        let arrows = self.arrows();
        let mut reached: BTreeMap<&Module, BTreeSet<&Module>> = BTreeMap::new();
        for start in arrows.keys() {
            let (mut seen, mut open) = (BTreeSet::new(), vec![*start]);
            while let Some(module) = open.pop() {
                for need in arrows.get(module).into_iter().flatten() {
                    if seen.insert(need) {
                        open.push(need);
                    }
                }
            }
            reached.insert(start, seen);
        }
        let circles = reached
            .iter()
            .filter(|(module, seen)| seen.contains(*module));
        let circles = circles.map(|(module, seen)| -> BTreeSet<String> {
            let back = seen
                .iter()
                .filter(|other| reached.get(*other).is_some_and(|of| of.contains(*module)));
            back.map(|module| match module.as_slice() {
                [] => "the crate's root".to_owned(),
                names => names.join("::"),
            })
            .collect()
        });
        let circles: BTreeSet<BTreeSet<String>> = circles.collect();
        let lines = circles
            .into_iter()
            .map(|circle| Vec::from_iter(circle).join(", "));
        lines.collect()
    }
}

#[test]
fn plugins_need_nothing_of_hooks() {
    let (plugins, hooks) = (
        crates_in(&root().join("plugins")),
        crates_in(&root().join("hooks")),
    );
    assert!(plugins.len() >= 8 && hooks.len() >= 8);
    assert_eq!(arrows_back(&plugins, &hooks), Vec::<String>::new());
    // The control: the hooks do need the plugins.
    assert!(arrows_back(&hooks, &plugins).len() > 10);
}

#[test]
fn no_file_needs_one_that_needs_it() {
    let mut circles = Vec::new();
    for folder in ["plugins", "hooks"] {
        for member in crates_in(&root().join(folder)) {
            let name = member.file_name().expect("a name").to_string_lossy();
            let of_crate = Crate::read(&member).circles();
            circles.extend(
                of_crate
                    .iter()
                    .map(|circle| format!("{folder}/{name}: {circle}")),
            );
        }
    }
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

/// The control: what a circle looks like, by a `use`, by a path and by a name that is handed on.
#[test]
fn a_circle_is_found() {
    let circles = |files: &[(&str, &str)]| {
        let mut sources = Crate::default();
        for (module, text) in files {
            let names = module.split("::").filter(|name| !name.is_empty());
            sources.add_source(names.map(str::to_owned).collect(), text);
        }
        sources.circles()
    };
    let root = ("", "mod a; mod b; pub use b::Thing;");
    let by_use = ("a", "use crate::b::Other;");
    let by_path = ("a", "fn f() { println!(\"{}\", crate::b::g()); }");
    let by_root = ("a", "use crate::Thing;");
    for a in [by_use, by_path, by_root] {
        assert_eq!(circles(&[root, a, ("b", "use super::a::f;")]), ["a, b"]);
        assert_eq!(circles(&[root, a, ("b", "pub use super::a::f;")]).len(), 0);
        let tests = ("b", "#[cfg(test)] mod tests { use crate::a::f; }");
        assert_eq!(circles(&[root, a, tests]).len(), 0);
    }
    let calls_child = ("", "mod a; fn main() { a::run(); } const LIMIT: u8 = 1;");
    let needs_root = ("a", "fn run() -> u8 { crate::LIMIT }");
    assert_eq!(circles(&[calls_child, needs_root]), ["a, the crate's root"]);
    let root = ("", "mod a; mod b;");
    let by_module = ("a", "use crate::b; fn f() { b::g(); }");
    let hands_on = ("b", "mod c; pub use c::g;");
    let needs_a = ("b::c", "use crate::a::f;");
    assert_eq!(circles(&[root, by_module, hands_on, needs_a]), ["a, b::c"]);
}
