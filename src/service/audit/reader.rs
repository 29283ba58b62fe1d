use super::{Record, VerifyError, files, verify::Lines};
use crate::gallery::{Name, PersonId};
use jiff::Timestamp;
use serde_json::Value;
use std::{
    fs::File,
    path::{Path, PathBuf},
};

/// Which records to read; the default is all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Leaves out what is known to be earlier. Records without a time of day stay in: better a record
    /// too many than one that nobody sees.
    pub since: Option<Timestamp>,
    /// Only records of this kind.
    pub kind: Option<String>,
    /// Only records whose field `person` is this number.
    pub person: Option<PersonId>,
    /// Only records whose field `name` reads like this: people had these names when it was written.
    pub name: Option<Name>,
}

impl Filter {
    /// Whether it lets the record through.
    pub fn passes(&self, record: &Record) -> bool {
        let person = record.fields.get("person").and_then(Value::as_u64);
        let name = || Name::new(record.fields.get("name")?.as_str()?).ok();
        self.since.is_none_or(|since| record.wall.is_none_or(|wall| wall >= since))
            && self.kind.as_ref().is_none_or(|kind| *kind == record.kind)
            && self.person.is_none_or(|id| person == Some(id.0.into()))
            && self
                .name
                .as_ref()
                .is_none_or(|own| name().is_some_and(|found| own.reads_like(&found)))
    }
}

/// The records of the log in `dir` that pass, oldest first, also while it is being written. Each
/// record's own hash is checked, the chain is not: that is for [`verify`](super::verify).
///
/// # Errors
/// [`VerifyError`] for a folder or file that cannot be opened; and in place of a line that is no
/// record, after which the reading goes on.
pub fn read(dir: &Path, filter: Filter) -> Result<Records, VerifyError> {
    let failed = |file: &Path, e: std::io::Error| VerifyError {
        file: file.to_path_buf(),
        line: 0,
        why: e.to_string(),
    };
    let paths = files::all(dir).map_err(|e| failed(dir, e))?;
    // All at once: a file that is renamed or deleted meanwhile is read all the same.
    let open = |path: PathBuf| match File::open(&path) {
        Ok(file) => Ok((path, Lines::new(file))),
        Err(e) => Err(failed(&path, e)),
    };
    let mut files = paths.into_iter().map(open).collect::<Result<Vec<_>, _>>()?;
    files.reverse();
    Ok(Records { files, filter })
}

/// The iterator of [`read`].
pub struct Records {
    /// Oldest last.
    files: Vec<(PathBuf, Lines)>,
    filter: Filter,
}

impl Iterator for Records {
    type Item = Result<Record, VerifyError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let newest = self.files.len() == 1;
            let (path, lines) = self.files.last_mut()?;
            let file = path.clone();
            let found = match lines.next() {
                Ok(None) => None,
                // Half a line at the very end is one that is being written.
                Ok(Some(line)) if newest && !line.ends_with(b"\n") => None,
                Ok(Some(line)) => Some(Record::from_line(line)),
                Err(e) => {
                    self.files.pop();
                    return Some(Err(VerifyError { file, line: 0, why: e.to_string() }));
                }
            };
            match found {
                None => _ = self.files.pop(),
                Some(Ok((record, _))) if self.filter.passes(&record) => return Some(Ok(record)),
                Some(Ok(_)) => {}
                Some(Err(why)) => return Some(Err(VerifyError { file, line: lines.number, why })),
            }
        }
    }
}
