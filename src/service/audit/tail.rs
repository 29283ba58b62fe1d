use crate::files::{file_itself, give_to_owner_of};
use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// The end of the file being written. What is before it is on the disk; what a failed write left after
/// it is cut off before the next one.
#[derive(Debug)]
pub(super) struct Tail {
    file: File,
    len: u64,
    failed: bool,
}

impl Tail {
    /// Opens or makes the file, and cuts it to `len` bytes. A link in its place is an error.
    pub(super) fn open(path: &Path, len: u64) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = file_itself(path, options.append(true).create(true).mode(0o600))?;
        // The folder's owner is who writes it: a log that root once made would shut the daemon out.
        if let Some(folder) = path.parent() {
            give_to_owner_of(folder, &file)?;
        }
        let mut tail = Self { file, len, failed: true };
        tail.mend()?;
        Ok(tail)
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Adds a line and waits until it is on the disk; after an error it is as if it never was.
    pub(super) fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if self.failed {
            self.mend()?;
        }
        let written = self.write(line);
        match &written {
            Ok(()) => self.len += line.len() as u64,
            Err(_) => {
                self.failed = true;
                // At once, so that a reader sees no torn line; what counts is the first error.
                let _ = self.mend();
            }
        }
        written
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        faults::write(line, |line| self.file.write_all(line))?;
        faults::sync()?;
        self.file.sync_data()
    }

    /// Even bytes that were written whole must go if syncing them failed: the kernel may have dropped
    /// them from its list of things to write, and would never say so again.
    fn mend(&mut self) -> io::Result<()> {
        faults::cut()?;
        self.file.set_len(self.len)?;
        self.file.sync_data()?;
        self.failed = false;
        Ok(())
    }
}

#[cfg(not(test))]
mod faults {
    use std::io;

    pub(super) fn write(line: &[u8], f: impl FnOnce(&[u8]) -> io::Result<()>) -> io::Result<()> {
        f(line)
    }

    pub(super) fn sync() -> io::Result<()> {
        Ok(())
    }

    pub(super) fn cut() -> io::Result<()> {
        Ok(())
    }
}

/// A disk that fails on demand, on the test's own thread.
#[cfg(test)]
pub(super) mod faults {
    use std::{cell::Cell, io};

    thread_local! {
        /// Bytes left on the disk.
        pub(crate) static ROOM: Cell<usize> = const { Cell::new(usize::MAX) };
        pub(crate) static SYNC_FAILS: Cell<bool> = const { Cell::new(false) };
        pub(crate) static CUT_FAILS: Cell<bool> = const { Cell::new(false) };
    }

    pub(super) fn write(line: &[u8], f: impl FnOnce(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let room = ROOM.get().min(line.len());
        f(&line[..room])?;
        if room < line.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    pub(super) fn sync() -> io::Result<()> {
        if SYNC_FAILS.get() { Err(io::Error::other("a bad sector")) } else { Ok(()) }
    }

    pub(super) fn cut() -> io::Result<()> {
        if CUT_FAILS.get() { Err(io::Error::other("a bad sector")) } else { Ok(()) }
    }
}
