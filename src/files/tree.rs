use std::{
    borrow::Cow,
    fs, io,
    io::{Cursor, Read},
    path::{Path, PathBuf},
    sync::Arc,
};
use zip::ZipArchive;

/// No single file read from a tree may be larger: a picture never is, a zip bomb is.
const LARGEST_FILE: u64 = 256 << 20;

/// A folder or a zip archive, read the same way: a sorted list of relative paths and their bytes.
pub struct Tree {
    root: PathBuf,
    paths: Vec<String>,
    archive: Option<ZipArchive<Cursor<Arc<[u8]>>>>,
}

/// Why a [`Tree`] could not be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// Neither a folder nor a file is there.
    #[error("{0}: no such folder or zip file")]
    Missing(PathBuf),
    /// The file is not a zip archive, or is one that was cut short.
    #[error("{path}: not a readable zip archive ({source}); copy it again or name a folder")]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What the zip reader said.
        source: zip::result::ZipError,
    },
    /// One file in the tree cannot be read.
    #[error("{root}: {path}: {source}")]
    Read {
        /// The tree.
        root: PathBuf,
        /// The file in it.
        path: String,
        /// What went wrong.
        source: io::Error,
    },
}

impl Tree {
    /// Opens a folder or a zip archive; an archive is held in memory.
    ///
    /// # Errors
    /// [`TreeError::Missing`], [`TreeError::Archive`], or [`TreeError::Read`] for an unreadable folder.
    pub fn open(root: &Path) -> Result<Self, TreeError> {
        if root.is_file() {
            let bytes = fs::read(root).map_err(|source| unreadable(root, "", source))?;
            return Self::archive(root, bytes);
        }
        if !root.is_dir() {
            return Err(TreeError::Missing(root.to_path_buf()));
        }
        let mut paths = Vec::new();
        walk(root, "", &mut paths).map_err(|source| unreadable(root, "", source))?;
        paths.sort_unstable();
        Ok(Self { root: root.to_path_buf(), paths, archive: None })
    }

    /// Opens the bytes of a zip archive, which errors call `root`.
    ///
    /// # Errors
    /// [`TreeError::Archive`].
    pub fn archive(root: &Path, bytes: Vec<u8>) -> Result<Self, TreeError> {
        let broken = |source| TreeError::Archive { path: root.to_path_buf(), source };
        let archive = ZipArchive::new(Cursor::new(Arc::from(bytes))).map_err(broken)?;
        let names = archive.file_names().map(|name| name.map(Cow::into_owned));
        let mut paths: Vec<String> = names.collect::<Result<_, _>>().map_err(broken)?;
        paths.retain(|name| !name.ends_with('/'));
        paths.sort_unstable();
        Ok(Self { root: root.to_path_buf(), paths, archive: Some(archive) })
    }

    /// Where the tree was opened.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Every file, sorted, as a path relative to the root with `/` between its parts.
    pub fn paths(&self) -> &[String] {
        &self.paths
    }

    /// The bytes of one file. Any number of threads may read at once.
    ///
    /// # Errors
    /// [`TreeError::Read`]: not in the tree, unreadable, over 256 MiB, or a checksum that is off.
    pub fn read(&self, path: &str) -> Result<Vec<u8>, TreeError> {
        self.bytes(path).map_err(|source| unreadable(&self.root, path, source))
    }

    fn bytes(&self, path: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match &self.archive {
            None => fs::File::open(self.root.join(path))?
                .take(LARGEST_FILE + 1)
                .read_to_end(&mut bytes)?,
            Some(archive) => {
                archive.clone().by_name(path)?.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?
            }
        };
        if bytes.len() as u64 > LARGEST_FILE {
            return Err(io::Error::other("larger than 256 MiB"));
        }
        Ok(bytes)
    }
}

fn unreadable(root: &Path, path: &str, source: io::Error) -> TreeError {
    TreeError::Read { root: root.to_path_buf(), path: path.to_owned(), source }
}

fn walk(folder: &Path, prefix: &str, paths: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = format!("{prefix}{name}");
        if entry.path().is_dir() {
            walk(&entry.path(), &format!("{path}/"), paths)?;
        } else {
            paths.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn zip_of(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in files {
            zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    #[test]
    fn a_folder_and_a_zip_of_it_read_the_same() {
        let files: &[(&str, &[u8])] = &[("b/2.txt", b"two"), ("a.txt", b"one"), ("b/1.txt", b"")];
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("b")).unwrap();
        for (name, bytes) in files {
            fs::write(dir.path().join(name), bytes).unwrap();
        }
        let outside = tempfile::tempdir().unwrap();
        let zip = outside.path().join("t.zip");
        fs::write(&zip, zip_of(files)).unwrap();
        let (folder, archive) = (Tree::open(dir.path()).unwrap(), Tree::open(&zip).unwrap());
        assert_eq!(folder.paths(), ["a.txt", "b/1.txt", "b/2.txt"]);
        assert_eq!(folder.paths(), archive.paths());
        for path in folder.paths() {
            assert_eq!(folder.read(path).unwrap(), archive.read(path).unwrap());
        }
    }

    #[test]
    fn what_is_missing_or_broken_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let absent = Tree::open(&dir.path().join("absent")).err().unwrap();
        assert!(absent.to_string().contains("absent: no such folder"), "{absent}");
        let mut bytes = zip_of(&[("a.txt", b"one")]);
        bytes.truncate(bytes.len() - 10);
        let cut = dir.path().join("cut.zip");
        fs::write(&cut, bytes).unwrap();
        assert!(matches!(Tree::open(&cut), Err(TreeError::Archive { .. })));
        let tree = Tree::open(dir.path()).unwrap();
        assert!(tree.read("b.txt").unwrap_err().to_string().contains("b.txt"));
    }
}
