use rustix::process::geteuid;
use std::{
    fs::{self, File},
    io,
    os::unix::fs::{MetadataExt, fchown},
    path::Path,
};

/// Gives a file, or a folder, to whoever the folder around it belongs to, where root has made it: the
/// daemon runs as a user of its own, and what root left in its state would lock it out.
///
/// Nothing of a third user's is given away, nor a file of root's that has another name elsewhere: that one was
/// not made here.
pub(crate) fn give_to_owner_of(folder: &Path, file: &File) -> io::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let (owner, found) = (fs::metadata(folder)?, file.metadata()?);
    let is_made_here = found.uid() == 0 && (found.is_dir() || found.nlink() <= 1);
    if found.uid() != owner.uid() && !is_made_here {
        let text = format!(
            "it belongs to user {} and has {} names, and its folder to user {}; give it to that user if it is yours \
             to give",
            found.uid(),
            found.nlink(),
            owner.uid()
        );
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    fchown(file, Some(owner.uid()), Some(owner.gid()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::chown;

    #[test]
    fn only_what_root_made_here_is_given_away() {
        if !geteuid().is_root() {
            eprintln!("SKIP: only root can give files away");
            return;
        }
        let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        chown(dir.path(), Some(1234), Some(1235)).unwrap();
        // Whose the file is, whether it has another name, and whose it is then.
        for (before, is_linked, after) in
            [(0, false, 1234), (0, true, 0), (1234, true, 1234), (1236, false, 1236)]
        {
            let path = dir.path().join("file");
            let file = File::create(&path).unwrap();
            chown(&path, Some(before), None).unwrap();
            if is_linked {
                fs::hard_link(&path, elsewhere.path().join("file")).unwrap();
            }
            let given = give_to_owner_of(dir.path(), &file);
            let found = file.metadata().unwrap().uid();
            assert_eq!(found, after, "{before}, {is_linked}: {given:?}");
            assert_eq!(given.is_ok(), after == 1234, "{before}, {is_linked}: {given:?}");
            fs::remove_file(&path).unwrap();
            let _ = fs::remove_file(elsewhere.path().join("file"));
        }
    }
}
