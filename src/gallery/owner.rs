use rustix::process::geteuid;
use std::{
    fs::{self, File},
    io,
    os::unix::fs::{MetadataExt, fchown},
    path::Path,
};

/// Gives a new file to whoever its folder belongs to, where root makes it: the daemon runs as a user of
/// its own, and reads what `sudo facelatch enroll` wrote.
pub(super) fn give_to_owner_of(folder: &Path, file: &File) -> io::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let owner = fs::metadata(folder)?;
    fchown(file, Some(owner.uid()), Some(owner.gid()))
}
