//! Writes down what galleries of this thread do to the disk while a test wants it.

use redb::{StorageBackend, backends::FileBackend};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

/// A file, whatever its name is.
pub type Inode = u64;

/// One thing done to the disk.
#[derive(Debug, Clone)]
pub enum Step {
    Created(Inode, PathBuf),
    Write(Inode, u64, Vec<u8>),
    SetLen(Inode, u64),
    Synced(Inode),
    Renamed(PathBuf, PathBuf),
    FolderSynced,
    /// What was asked of the gallery has returned, and it was done.
    Done,
}

type Steps = Arc<Mutex<Vec<Step>>>;

thread_local! {
    static STEPS: RefCell<Option<Steps>> = const { RefCell::new(None) };
}

/// What `work` does to the disk.
pub fn of(work: impl FnOnce()) -> Vec<Step> {
    let steps = Steps::default();
    STEPS.set(Some(steps.clone()));
    work();
    STEPS.set(None);
    let steps = steps.lock().unwrap();
    steps.clone()
}

pub fn note(step: Step) {
    STEPS.with_borrow(|steps| {
        steps.iter().for_each(|steps| steps.lock().unwrap().push(step.clone()))
    });
}

pub fn opened(path: &Path) -> io::Result<Option<Recorded>> {
    let Some(steps) = STEPS.with_borrow(Clone::clone) else { return Ok(None) };
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let inode = file.metadata()?.ino();
    let file = FileBackend::new(file).map_err(io::Error::other)?;
    Ok(Some(Recorded { file, inode, steps }))
}

pub fn created(path: &Path) -> io::Result<Option<Recorded>> {
    let recorded = opened(path)?;
    recorded.iter().for_each(|r| note(Step::Created(r.inode, path.to_owned())));
    Ok(recorded)
}

pub fn renamed(from: &Path, to: &Path) {
    note(Step::Renamed(from.to_owned(), to.to_owned()));
}

pub fn folder_synced() {
    note(Step::FolderSynced);
}

pub fn zeroed(file: &File, length: u64) -> io::Result<()> {
    let inode = file.metadata()?.ino();
    note(Step::Write(inode, 0, vec![0; length as usize]));
    note(Step::Synced(inode));
    Ok(())
}

/// A file whose changes are written down.
#[derive(Debug)]
pub struct Recorded {
    file: FileBackend,
    inode: Inode,
    steps: Steps,
}

impl Recorded {
    fn note(&self, step: Step) {
        self.steps.lock().unwrap().push(step);
    }
}

impl StorageBackend for Recorded {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.note(Step::SetLen(self.inode, len));
        self.file.set_len(len)
    }

    // What is no power cut needs no sync.
    fn sync_data(&self) -> io::Result<()> {
        self.note(Step::Synced(self.inode));
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.note(Step::Write(self.inode, offset, data.to_vec()));
        self.file.write(offset, data)
    }
}

/// What is on a disk to which such steps were done.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    pub names: BTreeMap<PathBuf, Inode>,
    files: BTreeMap<Inode, Vec<u8>>,
}

impl Disk {
    pub fn file(&self, name: &Path) -> Option<&[u8]> {
        self.names.get(name).map(|inode| self.files[inode].as_slice())
    }

    pub fn apply(&mut self, step: &Step) {
        match step {
            Step::Created(inode, name) => {
                self.names.insert(name.clone(), *inode);
                self.files.insert(*inode, Vec::new());
            }
            Step::Write(inode, offset, data) => self.write(*inode, *offset as usize, data),
            Step::SetLen(inode, len) => self.files.get_mut(inode).unwrap().resize(*len as usize, 0),
            Step::Renamed(from, to) => {
                let inode = self.names.remove(from).unwrap();
                self.names.insert(to.clone(), inode);
            }
            Step::Synced(_) | Step::FolderSynced | Step::Done => {}
        }
    }

    pub fn write(&mut self, inode: Inode, offset: usize, data: &[u8]) {
        let file = self.files.get_mut(&inode).unwrap();
        let end = offset + data.len();
        if file.len() < end {
            file.resize(end, 0);
        }
        file[offset..end].copy_from_slice(data);
    }
}
