//! What portero reads from others, given any bytes. Each target is a function of bytes that panics when
//! portero does, and when what comes of the bytes breaks a promise.
//!
//! `make fuzz` gives them to libFuzzer. corpus/TARGET holds inputs, which `cargo test` replays: those that reach
//! most of what documents of tests/, after the byte that chooses what is done with them, and libFuzzer came to (its
//! `-merge=1` tells), and under names that say so what was wrong once.

mod domain;
mod host_files;
mod import;
mod libvirt_files;
mod network;
mod observed;
mod one_line;
mod script;
mod settings;
mod world;
mod written;

pub use domain::{domain_written, qemu_hook};
pub use host_files::host_files;
pub use import::import;
pub use libvirt_files::libvirt_files;
pub use network::{network_hook, network_written};
pub use observed::observed;
pub use settings::settings;

/// How far an input came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reached {
    /// There was nothing to do.
    Nothing,
    /// It was refused.
    Refused,
    /// It was taken, and what came of it is as promised.
    Taken,
}

/// A target by its name.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The name of its program and of its folder in corpus.
    pub name: &'static str,
    /// What is done with an input.
    pub run: fn(&[u8]) -> Reached,
}

/// All of them.
pub const TARGETS: [Target; 9] = [
    Target {
        name: "network_hook",
        run: network_hook,
    },
    Target {
        name: "network_written",
        run: network_written,
    },
    Target {
        name: "qemu_hook",
        run: qemu_hook,
    },
    Target {
        name: "domain_written",
        run: domain_written,
    },
    Target {
        name: "host_files",
        run: host_files,
    },
    Target {
        name: "settings",
        run: settings,
    },
    Target {
        name: "import",
        run: import,
    },
    Target {
        name: "libvirt_files",
        run: libvirt_files,
    },
    Target {
        name: "observed",
        run: observed,
    },
];
