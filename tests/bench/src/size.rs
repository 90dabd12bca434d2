//! Measurement 5: the hooks on disk, and the libraries they need.

use crate::hooks::Hooks;
use crate::table::Row;
use std::io;
use std::process::Command;

/// The most bytes of one hook.
const LIMIT: u64 = 3_000_000;

/// What the libraries may be, by the beginning of their names.
const PERMITTED: [&str; 3] = ["linux-vdso.so", "libc.so", "ld-linux"];

/// A row for each hook's size and one for its libraries.
///
/// # Errors
/// When a hook cannot be read, or `ldd` fails.
pub fn measure(hooks: &Hooks) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for name in ["qemu", "network", "daemon"] {
        let program = hooks.program(name);
        let size = std::fs::metadata(&program)?.len();
        rows.push(Row {
            what: format!("size of portero-{name}-hook"),
            measured: format!("{size} B"),
            against: String::new(),
            ratio: String::new(),
            instructions: String::new(),
            limit: format!("{LIMIT} B"),
            within: Some(size <= LIMIT),
        });
        let ldd = Command::new("ldd").arg(&program).output()?;
        let libraries = libraries(&String::from_utf8_lossy(&ldd.stdout));
        let is_permitted = |library: &String| {
            PERMITTED
                .iter()
                .any(|permitted| library.starts_with(permitted))
        };
        let strange: Vec<&str> = libraries
            .iter()
            .filter(|library| !is_permitted(library))
            .map(String::as_str)
            .collect();
        let mut what = format!("libraries of portero-{name}-hook");
        if !strange.is_empty() {
            what += &format!(", beside libc's: {}", strange.join(" "));
        }
        rows.push(Row {
            what,
            measured: libraries.len().to_string(),
            against: String::new(),
            ratio: String::new(),
            instructions: String::new(),
            limit: "libc's".into(),
            within: Some(ldd.status.success() && strange.is_empty()),
        });
    }
    Ok(rows)
}

/// The names in the output of `ldd`, without their folders.
fn libraries(ldd: &str) -> Vec<String> {
    ldd.lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(|path| path.rsplit('/').next().unwrap_or(path).to_owned())
        .collect()
}
