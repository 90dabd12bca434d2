//! Reads what the documentation shows: blocks of code with what a test has to do with them, code in
//! the text, links and headings. Pure, but for [`pages`] and [`read`].
//!
//! - `console` is a session: `host# ` runs on the host, `laptop$ ` and `office$ ` on other machines.
//!   What is shown below a command has to be what it says; `...` is anything, alone any lines. A
//!   command has to succeed, unless its output has a line of `error:`, `ERROR` or `curl: (`: then it
//!   has to fail. `echo $?` after it shows its status.
//! - `sh` is run on the host, and has to succeed.
//! - `xml`, `toml`, `json` and `yaml` (and a script) stand below a comment that says where they belong:
//!   `<!-- file: PATH -->`, `<!-- virsh edit DOMAIN -->`, `<!-- virsh net-edit NETWORK -->` for their
//!   metadata, or `<!-- virsh net-define -->`. The text has to say that too.
//! - `rust` is compiled by cargo.
//! - What cannot be run stands below `<!-- not run: REASON -->`.

mod block;
mod page;
mod session;

pub use block::{Block, Object, Place, Problem, Task};
pub use page::{pages, project, read, slug, Link, Page};
pub use session::{Machine, Step};

/// Its Rust is compiled as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/plugins.md")]
mod plugins {}
