use rustix::fs::OFlags;
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Opens the file at `path` itself. A link there is an error, and what it points to is left alone: whoever may
/// write the folder could otherwise have root write, or give away, a file elsewhere.
pub(crate) fn file_itself(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    unfollowed(path, options, OFlags::NOFOLLOW, "file")
}

/// Opens the folder at `path` itself, as [`file_itself`] does a file.
pub(crate) fn folder_itself(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::DIRECTORY;
    unfollowed(path, OpenOptions::new().read(true), flags, "folder")
}

fn unfollowed(
    path: &Path,
    options: &mut OpenOptions,
    flags: OFlags,
    what: &str,
) -> io::Result<File> {
    // The numbers of these flags differ between kinds of CPU.
    options.custom_flags(flags.bits().cast_signed()).open(path).map_err(|e| {
        // The system's own words are of loops, or of what is no folder.
        match fs::symlink_metadata(path) {
            Ok(found) if found.is_symlink() => {
                let text =
                    format!("it is a link, which is not followed; put a {what} in its place");
                io::Error::new(e.kind(), text)
            }
            _ => e,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_a_link_points_to_is_neither_opened_nor_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("file"), "a").unwrap();
        fs::create_dir(path("folder")).unwrap();
        let make = || OpenOptions::new().append(true).create(true).to_owned();
        file_itself(&path("file"), &mut make()).unwrap();
        file_itself(&path("new"), &mut make()).unwrap();
        folder_itself(&path("folder")).unwrap().sync_all().unwrap();
        for to in ["file", "folder", "absent"] {
            symlink(path(to), path("link")).unwrap();
            for opened in [file_itself(&path("link"), &mut make()), folder_itself(&path("link"))] {
                let error = opened.unwrap_err().to_string();
                assert!(error.contains("it is a link"), "{to}: {error}");
            }
            fs::remove_file(path("link")).unwrap();
        }
        assert!(!path("absent").exists());
        // What is no link is called what it is.
        let error = folder_itself(&path("file")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
        let error = file_itself(&path("gone"), OpenOptions::new().read(true)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
