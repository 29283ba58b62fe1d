//! The names of the log's files and their order: `audit.1.log` is the oldest, `audit.log` the newest.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Where the log is in a state folder.
pub fn folder(state: &Path) -> PathBuf {
    state.join("audit")
}

/// The file being written.
pub(crate) fn current(dir: &Path) -> PathBuf {
    dir.join("audit.log")
}

/// A file that is full. Numbers only grow, so a file keeps its name until it is deleted: moving on to
/// the next is one rename, which a power cut cannot leave half done.
pub(super) fn archive(dir: &Path, number: u64) -> PathBuf {
    dir.join(name(number))
}

pub(super) fn name(number: u64) -> String {
    format!("audit.{number}.log")
}

/// The numbers of the full files, oldest first.
pub(super) fn archives(dir: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir)? {
        let file = entry?.file_name();
        let number = file.to_str().and_then(|f| f.strip_prefix("audit.")?.strip_suffix(".log"));
        // A number written otherwise than here (`01`, `+1`) is somebody else's file.
        let number = number.and_then(|n| n.parse().ok()).filter(|&n| file == *name(n));
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Every file there is, oldest first.
pub(super) fn all(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files: Vec<_> = archives(dir)?.into_iter().map(|n| archive(dir, n)).collect();
    files.extend(Some(current(dir)).filter(|file| file.exists()));
    Ok(files)
}
