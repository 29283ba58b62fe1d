use super::give_to_owner_of;
use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

/// Writes `bytes` to `path` so that a reader finds the old file or the whole new one, never a part:
/// a temporary file beside it is written, synced and renamed over it, and the folder is synced.
///
/// # Errors
/// Whatever the file system says; `path` is untouched then and the temporary file is gone. A device, a pipe
/// or a folder is not replaced.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        let text = "something other than a file is there; name another";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    let mut file = tempfile::Builder::new()
        .prefix(".")
        .suffix(".part")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder)
        .map_err(without_path)?;
    give_to_owner_of(folder, file.as_file())?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    File::open(folder)?.sync_all()
}

/// The error without the name of a temporary file, which `tempfile` puts into it and which tells nobody
/// anything.
pub fn without_path(error: io::Error) -> io::Error {
    let text = error.to_string();
    match text.split_once(" at path ") {
        Some((what, _)) => io::Error::new(error.kind(), what),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_new_file_replaces_the_old_one_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        write_atomically(&path, b"old").unwrap();
        write_atomically(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_file_is_not_replaced_by_one() {
        let dir = tempfile::tempdir().unwrap();
        for path in [Path::new("/dev/full"), dir.path()] {
            let error = write_atomically(path, b"new").unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists, "{}", path.display());
        }
    }

    #[test]
    fn what_root_writes_belongs_to_the_owner_of_the_folder() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIP: only root can give files away");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(dir.path(), Some(1234), Some(1235)).unwrap();
        write_atomically(&dir.path().join("a.txt"), b"a").unwrap();
        let found = std::fs::metadata(dir.path().join("a.txt")).unwrap();
        assert_eq!((found.uid(), found.gid()), (1234, 1235));
    }

    #[test]
    fn a_failed_write_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let error = write_atomically(&dir.path().join("absent/a.txt"), b"x").unwrap_err();
        assert_eq!(error.to_string(), "No such file or directory (os error 2)");
        std::fs::create_dir(dir.path().join("taken")).unwrap();
        assert!(write_atomically(&dir.path().join("taken"), b"x").is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
