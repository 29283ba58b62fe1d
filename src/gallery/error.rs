use super::{KeyError, MAX_PEOPLE, MAX_SCHEDULE, MAX_TEMPLATES, ModelHash, Name, PersonId};
use std::{io, path::PathBuf};

/// Why the gallery was not opened, read or changed. A failed change changed nothing, except where
/// the text says so.
#[derive(Debug, thiserror::Error)]
pub enum GalleryError {
    /// The system does not let the file be read or written.
    #[error("gallery {path}: {source}; free some space or mend the path, then open it again")]
    File {
        /// The gallery's or the backup's file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is in the place of a new one.
    #[error("{path} is there already and is left alone; move it away first")]
    Exists {
        /// That file.
        path: PathBuf,
    },
    /// Another process has it open.
    #[error("gallery {path} is open in another process; stop that one or ask it to do this")]
    InUse {
        /// The gallery's file.
        path: PathBuf,
    },
    /// The bytes are not those that were written.
    #[error("{path} is damaged ({why}); restore it from a backup, or move it away and enrol again")]
    Corrupt {
        /// The gallery's or the backup's file.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// Made by another version of this program.
    #[error("{path} has format {found}, this version reads {needed}; use the version that made it")]
    Format {
        /// The gallery's file.
        path: PathBuf,
        /// The format in the file.
        found: u32,
        /// The format of this version.
        needed: u32,
    },
    /// Encrypted under another key.
    #[error("{path} was encrypted under another key; give the key that it was made with")]
    WrongKey {
        /// The gallery's or the backup's file.
        path: PathBuf,
    },
    /// Templates of two networks cannot be compared.
    #[error(
        "{path} was enrolled with the model {found}, not with {needed}; name the network of those \
         weights in models.embedding (`doctor` and the networks' cards say which they have), or enrol everybody \
         again without this file"
    )]
    OtherModel {
        /// The gallery's or the backup's file.
        path: PathBuf,
        /// The model of the templates.
        found: ModelHash,
        /// The model now in use.
        needed: ModelHash,
    },
    /// No such person.
    #[error("there is no person {0}; list the gallery to see who is enrolled")]
    Unknown(PersonId),
    /// A name that reads like somebody else's.
    #[error("the name `{name}` reads like that of person {id}; choose another")]
    NameTaken {
        /// The name asked for.
        name: Name,
        /// Who has it.
        id: PersonId,
    },
    /// The gallery is full.
    #[error("the gallery holds {MAX_PEOPLE} people and no more; remove somebody first")]
    Full,
    /// Too few or too many templates for one person.
    #[error("a person has 1 to {MAX_TEMPLATES} templates, this would make {0}; enrol afresh")]
    Templates(usize),
    /// A schedule too long to be one.
    #[error("the schedule has {0} bytes, at most {MAX_SCHEDULE} are kept; shorten it")]
    Schedule(usize),
    /// The change was made, but what it took away is still in the file.
    #[error(
        "the change was made, but old templates may still be in {path}, encrypted ({why}); free some \
         space and scrub the gallery"
    )]
    NotScrubbed {
        /// The gallery's file.
        path: PathBuf,
        /// What stood in the way.
        why: String,
    },
    /// No random numbers for a nonce.
    #[error(transparent)]
    Key(#[from] KeyError),
}
