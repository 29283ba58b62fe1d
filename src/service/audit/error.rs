use super::record::{MAX_LINE, MAX_TEXT};
use std::{io, path::PathBuf};

/// Why an entry is not in the log. The log stays as it was, and a later append may succeed.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The system does not let it be written: the daemon's "not writable".
    #[error(
        "audit log {path}: {source}; free some space or mend the path, the next record tries again"
    )]
    Unwritable {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process writes it.
    #[error("audit log {0} is being written by another process; stop that one first")]
    InUse(PathBuf),
    /// More is wrong than a last line cut short, so that going on would hide it.
    #[error(
        "the audit log is damaged: {0}; keep a copy of its folder as evidence, then move it away"
    )]
    Damaged(#[from] VerifyError),
    /// The log's own kind of record.
    #[error("`{0}` is what the log itself writes; use another kind")]
    Reserved(String),
    /// A list, an object or a long text, where only facts in a few words belong.
    #[error("field `{0}` is no number, flag or text of at most {MAX_TEXT} characters; shorten it")]
    Field(String),
    /// A line too long to be one event.
    #[error("the record has {0} bytes, at most {MAX_LINE} are written; leave some fields out")]
    TooLong(usize),
}

impl AuditError {
    /// Whether there is no room, and nothing else is wrong.
    pub fn is_full(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Self::Unwritable { source, .. } if [StorageFull, QuotaExceeded].contains(&source.kind()))
    }
}

/// Where the chain breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}, line {line}: {why}")]
pub struct VerifyError {
    /// The file.
    pub file: PathBuf,
    /// The line in it, from 1; 0 for the file as a whole.
    pub line: u64,
    /// What is wrong with it.
    pub why: String,
}
