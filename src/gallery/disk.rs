//! What a gallery does to the disk; in tests each step is written down, so that they can cut the power
//! after any of them.

use super::store::folder_of;
#[cfg(test)]
use super::tests::journal;
use redb::{Builder, Database, DatabaseError};
use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

pub(super) fn open(builder: &Builder, path: &Path) -> Result<Database, DatabaseError> {
    #[cfg(test)]
    if let Some(backend) = journal::opened(path)? {
        return builder.create_with_backend(backend);
    }
    builder.open(path)
}

/// A new database in `path`, an empty file.
pub(super) fn create(builder: &Builder, path: &Path) -> Result<Database, DatabaseError> {
    #[cfg(test)]
    if let Some(backend) = journal::created(path)? {
        return builder.create_with_backend(backend);
    }
    builder.create(path)
}

/// Renames a whole and synced file to `path`, for good.
pub(super) fn put_in_place(new: &Path, path: &Path) -> io::Result<()> {
    fs::rename(new, path)?;
    #[cfg(test)]
    journal::renamed(new, path);
    File::open(folder_of(path))?.sync_all()?;
    #[cfg(test)]
    journal::folder_synced();
    Ok(())
}

/// Puts zeros over all of a file.
pub(super) fn zero(mut file: File) -> io::Result<()> {
    let length = file.metadata()?.len();
    #[cfg(test)]
    journal::zeroed(&file, length)?;
    io::copy(&mut io::Read::take(io::repeat(0), length), &mut file)?;
    file.flush()?;
    file.sync_all()
}
