//! Bytes in and bytes out: pictures from a folder or a zip archive, results written whole or not at all.

mod atomic;
mod tree;

pub use atomic::write_atomically;
pub use tree::{Tree, TreeError};
