//! Bytes in and bytes out: pictures from a folder or a zip archive, results written whole or not at all.

mod atomic;
mod owner;
mod tree;

pub use atomic::write_atomically;
pub(crate) use owner::give_to_owner_of;
pub use tree::{Tree, TreeError};
