//! Bytes in and bytes out: pictures from a folder or a zip archive, results written whole or not at all.

mod atomic;
mod itself;
mod owner;
mod tree;

pub use atomic::{without_path, write_atomically};
pub(crate) use itself::{file_itself, folder_itself};
pub(crate) use owner::give_to_owner_of;
pub use tree::{Tree, TreeError};

use std::path::Path;

/// Whether a file is a picture that can be decoded, by its name.
pub fn is_picture(path: &Path) -> bool {
    let kind = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    matches!(kind.as_deref(), Some("jpg" | "jpeg" | "png" | "webp"))
}
