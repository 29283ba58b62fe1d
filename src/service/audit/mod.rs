//! What happened at the door, in a log that shows whether somebody changed it.
//!
//! One JSON line a record, each with the hash of the one before: see [`AuditLog`] for writing,
//! [`verify`] for what the chain proves, and [`read`] for looking things up.

mod error;
mod files;
mod log;
mod reader;
mod record;
mod tail;
#[cfg(test)]
mod tests;
mod verify;

pub use error::{AuditError, VerifyError};
pub(crate) use files::current;
pub use files::folder;
pub use log::{AuditLog, Limits};
pub use reader::{Filter, Records, read};
pub use record::{BootId, Entry, Hash, Head, HeadError, MAX_LINE, MAX_TEXT, Moment, Record};
pub(crate) use record::{RECOVERED, ROTATED};
pub use verify::{Verified, verify};
