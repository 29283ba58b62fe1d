//! Where the data that may not be committed is.

use std::path::{Path, PathBuf};

/// The shared research data, beside the repository unless `FACELATCH_SHARED` says where.
pub fn shared(file: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let folder = std::env::var_os("FACELATCH_SHARED").map_or_else(beside, PathBuf::from);
    let path = folder.join("data").join(file);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIP: {} is not there; set FACELATCH_SHARED to its folder", path.display());
    None
}
