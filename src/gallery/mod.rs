//! The enrolled household: who may be known at the door, and by which templates.
//!
//! On disk a [`Gallery`], encrypted and bound to one network's weights; in memory a [`Matcher`] built
//! from it, which answers one probe at a time.

mod backup;
mod disk;
mod enrolment;
mod error;
mod key;
mod matcher;
mod person;
mod rows;
mod store;
#[cfg(test)]
mod tests;

pub use enrolment::{EnrolmentError, check_agreement, check_same, check_stranger};
pub use error::GalleryError;
pub use key::{CREDENTIAL_NAME, Key, KeyError};
pub use matcher::{Found, Match, Matcher};
pub use person::{ModelHash, Name, NameError, Person, PersonId};
pub use store::Gallery;

/// The most people a gallery holds.
pub const MAX_PEOPLE: usize = 1000;

/// The most templates a person has.
pub const MAX_TEMPLATES: usize = 8;

/// The longest schedule text, in bytes: far above any schedule, far below what would weigh on a read.
pub const MAX_SCHEDULE: usize = 4096;
