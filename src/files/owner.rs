use rustix::process::geteuid;
use std::{
    fs::{self, File},
    io,
    os::unix::fs::{MetadataExt, fchown},
    path::Path,
};

/// Gives a file, or a folder, to whoever the folder around it belongs to, where root has made it: the
/// daemon runs as a user of its own, and what root left in its state would lock it out.
pub(crate) fn give_to_owner_of(folder: &Path, file: &File) -> io::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let owner = fs::metadata(folder)?;
    fchown(file, Some(owner.uid()), Some(owner.gid()))
}
