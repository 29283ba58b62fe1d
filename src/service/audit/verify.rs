use super::{
    Head, MAX_LINE, VerifyError, files,
    record::{ROTATED, Record},
};
use serde_json::Value;
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

/// A log whose chain holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// How many records there are.
    pub records: u64,
    /// In how many files.
    pub files: usize,
    /// The oldest record's place; `None` in an empty log.
    pub first: Option<Head>,
    /// The newest record's place.
    pub last: Option<Head>,
}

/// Checks every record of the log in `dir`: each hash, each number, and that each follows the one
/// before across all files. If the oldest records are gone, a later record must say that the log itself
/// deleted them.
///
/// # What it cannot show
/// A chain does not know its end: records cut off the tail, to the last, leave a chain that holds, and
/// whoever may write the folder can write a whole new one. Against both, note
/// [`AuditLog::head`](super::AuditLog::head) elsewhere from time to time and give it here as `anchor`:
/// the log must then still have that very record, unless it is older than all that were kept.
///
/// # Errors
/// [`VerifyError`], by the first place where something is wrong. A log that is being written, or whose
/// writer lost power, may end in half a line; that is an error, too, until the log is opened again.
pub fn verify(dir: &Path, anchor: Option<Head>) -> Result<Verified, VerifyError> {
    let paths = files::all(dir).map_err(|e| whole(dir, &e.to_string()))?;
    let mut walk = Walk { anchor, ..Walk::default() };
    for path in &paths {
        walk.file(path)?;
    }
    let last = walk.last.unwrap_or_default();
    if let Some(missing) = walk.missing {
        let why = format!("what was before it, up to record {}, is gone unaccounted", missing.seq);
        return Err(VerifyError { file: paths[0].clone(), line: 1, why });
    }
    if let Some(anchor) = anchor.filter(|anchor| anchor.seq > last.seq) {
        let (file, line) = (files::current(dir), 0);
        let why = format!("the log ends at record {}, before the anchor {}", last.seq, anchor.seq);
        return Err(VerifyError { file, line, why });
    }
    Ok(Verified { records: walk.records, files: paths.len(), first: walk.first, last: walk.last })
}

#[derive(Default)]
struct Walk {
    anchor: Option<Head>,
    records: u64,
    first: Option<Head>,
    last: Option<Head>,
    /// The record before the first that is there, as long as no record says it was deleted.
    missing: Option<Head>,
}

impl Walk {
    fn file(&mut self, path: &Path) -> Result<(), VerifyError> {
        let file = File::open(path).map_err(|e| whole(path, &e.to_string()))?;
        let mut lines = Lines::new(file);
        while let Some(line) = lines.next().map_err(|e| whole(path, &e.to_string()))? {
            let checked =
                Record::from_line(line).and_then(|(record, head)| self.step(&record, head));
            checked.map_err(|why| VerifyError { file: path.into(), line: lines.number, why })?;
        }
        Ok(())
    }

    fn step(&mut self, record: &Record, head: Head) -> Result<(), String> {
        match self.last {
            Some(last) => record.follows(last)?,
            None => {
                let before = Head { seq: record.seq.wrapping_sub(1), hash: record.prev };
                self.missing = Some(before).filter(|before| *before != Head::default());
                self.first = Some(head);
            }
        }
        if self.anchor.is_some_and(|anchor| anchor.seq == head.seq && anchor.hash != head.hash) {
            return Err("it is another record than the anchor's".into());
        }
        if record.kind == ROTATED && deleted(record).is_some_and(|d| Some(d) == self.missing) {
            self.missing = None;
        }
        self.last = Some(head);
        self.records += 1;
        Ok(())
    }
}

/// The last record that the log deleted itself, if that is what this record says.
fn deleted(record: &Record) -> Option<Head> {
    record.fields.get("deleted").and_then(|d| d.get("head")).and_then(Value::as_str)?.parse().ok()
}

fn whole(path: &Path, why: &str) -> VerifyError {
    VerifyError { file: PathBuf::from(path), line: 0, why: why.to_owned() }
}

/// Lines with their ends, none held longer than a record may be.
pub(super) struct Lines {
    input: BufReader<File>,
    line: Vec<u8>,
    /// The last line's number, from 1.
    pub number: u64,
}

impl Lines {
    pub(super) fn new(file: File) -> Self {
        Self { input: BufReader::new(file), line: Vec::new(), number: 0 }
    }

    /// The next line; one that is too long or has no end is cut short.
    pub(super) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        self.line.clear();
        self.number += 1;
        let mut input = (&mut self.input).take(MAX_LINE as u64);
        let length = input.read_until(b'\n', &mut self.line)?;
        Ok((length > 0).then_some(&self.line))
    }
}
