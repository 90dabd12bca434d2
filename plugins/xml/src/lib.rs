//! XML that others have written, as a small tree with bounds in which every element knows its line, and text of
//! others made fit for one line of a message.
//!
//! A hook's input comes from users of libvirt who need not be root: it is bounded before it is read (length, depth,
//! number of elements), document types and entities are refused, and what is wrong is told with its line.

mod element;
mod own;
mod sanitised;

pub use element::{Element, Problem, XmlError, INPUT_LIMIT};
pub use own::{check_root, own_metadata, NAMESPACE};
pub use sanitised::{is_misleading, Sanitised};
