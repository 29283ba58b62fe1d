use super::{
    AuditError, Entry, Head, MAX_LINE, MAX_TEXT, Moment, VerifyError, files,
    record::{RECOVERED, ROTATED, Record},
    tail::Tail,
};
use serde_json::{Map, Value, json};
use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

/// How much of the log is kept: at most about `files` times `file_bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A file is full before it would grow beyond this, unless by a single record.
    pub file_bytes: u64,
    /// How many files are kept, the one being written among them; at least 2 are.
    pub files: u32,
}

/// The log of what happened at the door, for one writer.
///
/// A record is on the disk when [`append`](Self::append) returns. Nothing is ever rewritten: a full
/// `audit.log` becomes `audit.N.log`, and when there are too many of those the oldest is deleted, which
/// the log itself records. What a power cut leaves half-written is cut off when the log is opened, and
/// recorded as well.
#[derive(Debug)]
pub struct AuditLog {
    dir: PathBuf,
    /// Holds the lock, and syncs renames.
    folder: File,
    limits: Limits,
    head: Head,
    /// `None` after a failed change of files: the next append looks at what is there.
    tail: Option<Tail>,
    /// The records in the file being written.
    records: u64,
}

impl AuditLog {
    /// Opens the log in `dir`, an existing folder, or begins one. A last line that was cut short is
    /// taken off, and a record of kind `recovered`, of the time `now`, says so.
    ///
    /// # Errors
    /// [`AuditError::Unwritable`], [`AuditError::InUse`], or [`AuditError::Damaged`] if more than the
    /// last line of the newest file is broken.
    pub fn open(dir: &Path, limits: Limits, now: &Moment) -> Result<Self, AuditError> {
        let folder = File::open(dir).map_err(unwritable(dir))?;
        folder.try_lock().map_err(|e| match e {
            TryLockError::WouldBlock => AuditError::InUse(dir.to_path_buf()),
            TryLockError::Error(source) => unwritable(dir)(source),
        })?;
        let (head, dir) = (Head::default(), dir.to_path_buf());
        let mut log = Self { dir, folder, limits, head, tail: None, records: 0 };
        log.recover(now)?;
        Ok(log)
    }

    /// Adds a record and returns its place in the chain once it is on the disk.
    ///
    /// # Errors
    /// [`AuditError::Unwritable`] if the disk is full or fails; the log is then as before, and a later
    /// append goes on from there. [`AuditError::Damaged`] if files change and an old one turns out to be broken; once
    /// that is moved away, the log must be opened anew. [`AuditError::Reserved`], [`AuditError::Field`] or
    /// [`AuditError::TooLong`] for an entry that does not belong in the log.
    pub fn append(&mut self, now: &Moment, entry: Entry) -> Result<Head, AuditError> {
        check(&entry)?;
        if self.tail.is_none() {
            self.recover(now)?;
        }
        let (line, _) = Record::after(self.head, now, entry.kind, &entry.fields).to_line();
        if line.len() > MAX_LINE {
            return Err(AuditError::TooLong(line.len()));
        }
        let length = self.tail.as_ref().map_or(0, Tail::len) + line.len() as u64;
        // A file with nothing but the record that begins it would only be followed by another such.
        if length > self.limits.file_bytes && self.records > 1 {
            self.rotate(now)?;
        }
        self.write(now, entry.kind, &entry.fields)
    }

    /// The last record's place, to be noted elsewhere (in the journal, say): with it,
    /// [`verify`](super::verify) shows a cut tail, which the chain alone cannot.
    pub fn head(&self) -> Head {
        self.head
    }

    fn write(
        &mut self,
        now: &Moment,
        kind: &str,
        fields: &Map<String, Value>,
    ) -> Result<Head, AuditError> {
        let path = files::current(&self.dir);
        let (line, head) = Record::after(self.head, now, kind, fields).to_line();
        let Some(tail) = &mut self.tail else {
            return Err(unwritable(&path)(io::ErrorKind::NotFound.into()));
        };
        tail.append(&line).map_err(unwritable(&path))?;
        self.head = head;
        self.records += 1;
        Ok(head)
    }

    /// Takes up the log where the files end, after a start, a crash or a failed change of files.
    fn recover(&mut self, now: &Moment) -> Result<(), AuditError> {
        let current = files::current(&self.dir);
        let archives = files::archives(&self.dir).map_err(unwritable(&self.dir))?;
        let end = End::of(&current)?;
        self.head = match (end.head, archives.last()) {
            (Some(head), _) => head,
            (None, None) => Head::default(),
            (None, Some(&newest)) => last_of(&files::archive(&self.dir, newest))?,
        };
        self.records = end.records;
        let tail = Tail::open(&current, end.good).map_err(unwritable(&current))?;
        self.folder.sync_all().map_err(unwritable(&self.dir))?;
        self.tail = Some(tail);
        let begun = if end.head.is_none() { self.begin(now, &archives) } else { Ok(()) };
        let noted = begun.and_then(|()| match end.torn {
            0 => Ok(()),
            torn => self.write(now, RECOVERED, &object(json!({ "cut_bytes": torn }))).map(drop),
        });
        if noted.is_err() {
            self.tail = None;
        }
        noted
    }

    fn rotate(&mut self, now: &Moment) -> Result<(), AuditError> {
        // Whatever fails below, what is on the disk is what a crash there would leave.
        self.tail = None;
        let mut archives = files::archives(&self.dir).map_err(unwritable(&self.dir))?;
        let number = archives.last().map_or(1, |newest| newest + 1);
        let (current, full) = (files::current(&self.dir), files::archive(&self.dir, number));
        fs::rename(&current, full).map_err(unwritable(&current))?;
        archives.push(number);
        let tail = Tail::open(&current, 0).map_err(unwritable(&current))?;
        self.folder.sync_all().map_err(unwritable(&self.dir))?;
        (self.tail, self.records) = (Some(tail), 0);
        let begun = self.begin(now, &archives);
        if begun.is_err() {
            self.tail = None;
        }
        begun
    }

    /// Begins a file that follows others: says which is before it and which are too many, and when
    /// that is on the disk deletes those, oldest first. If a crash comes between, the next file does it.
    fn begin(&mut self, now: &Moment, archives: &[u64]) -> Result<(), AuditError> {
        let Some(&newest) = archives.last() else { return Ok(()) };
        let kept = self.limits.files.max(2) as usize - 1;
        let surplus = &archives[..archives.len().saturating_sub(kept)];
        let deleted = surplus.last().map(|&last| {
            let head = last_of(&files::archive(&self.dir, last))?;
            Ok::<_, AuditError>(json!({ "up_to": files::name(last), "head": head.to_string() }))
        });
        let deleted = deleted.transpose()?;
        let fields = json!({ "after": files::name(newest), "deleted": deleted });
        self.write(now, ROTATED, &object(fields))?;
        for &number in surplus {
            let path = files::archive(&self.dir, number);
            fs::remove_file(&path).map_err(unwritable(&path))?;
        }
        self.folder.sync_all().map_err(unwritable(&self.dir))
    }
}

/// What is in the file being written, and where its last whole record ends.
struct End {
    head: Option<Head>,
    records: u64,
    good: u64,
    torn: u64,
}

impl End {
    /// Reads the file, which need not be there. Records are synced one by one, so a power cut can tear
    /// the last line and no other.
    fn of(path: &Path) -> Result<Self, AuditError> {
        let bytes = match fs::read(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            bytes => bytes.map_err(unwritable(path))?,
        };
        let mut end = Self { head: None, records: 0, good: 0, torn: 0 };
        let mut lines = bytes.split_inclusive(|&b| b == b'\n');
        while let Some(line) = lines.next() {
            let record = Record::from_line(line).and_then(|(record, head)| {
                end.head.map_or(Ok(()), |before| record.follows(before))?;
                Ok(head)
            });
            match record {
                Ok(head) => {
                    end.head = Some(head);
                    end.records += 1;
                    end.good += line.len() as u64;
                }
                Err(_) if lines.next().is_none() => end.torn = line.len() as u64,
                Err(why) => {
                    let (file, line) = (path.to_path_buf(), end.records + 1);
                    return Err(VerifyError { file, line, why }.into());
                }
            }
        }
        Ok(end)
    }
}

/// The place of a full file's last record.
fn last_of(path: &Path) -> Result<Head, AuditError> {
    let end = End::of(path)?;
    end.head.filter(|_| end.torn == 0).ok_or_else(|| {
        let why = "it is cut short".to_owned();
        VerifyError { file: path.to_path_buf(), line: end.records + 1, why }.into()
    })
}

fn check(entry: &Entry) -> Result<(), AuditError> {
    if [ROTATED, RECOVERED].contains(&entry.kind) {
        return Err(AuditError::Reserved(entry.kind.to_owned()));
    }
    let plain = |value: &Value| match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => text.chars().count() <= MAX_TEXT,
        Value::Array(_) | Value::Object(_) => false,
    };
    match entry.fields.iter().find(|(_, value)| !plain(value)) {
        Some((key, _)) => Err(AuditError::Field(key.clone())),
        None => Ok(()),
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn unwritable(path: &Path) -> impl FnOnce(io::Error) -> AuditError {
    let path = path.to_path_buf();
    |source| AuditError::Unwritable { path, source }
}
