//! Decides about the door: events and time in, actions out.
//!
//! Nothing here does anything: no I/O, no clock, no thread, no allocation. The daemon turns what
//! happens into an [`Event`] with its moment, hands it to [`Core::handle`], carries out the
//! [`Action`]s in their order, and sends [`Event::Tick`] at [`Core::next_deadline`]. So every rule
//! of the house is a plain test, and the same events always open the same doors.
//!
//! A face opens when enough of the last frames of *one* track vote for *one* person
//! ([`VotePolicy`]), that person is let in now ([`Roster`]), and the door opens for faces at all
//! (no lockdown, no lockout, an audit that can be written).
//!
//! An *attempt* is a track of at least [`AttemptPolicy::frames`] frames; it ends with the track or
//! when it times out. One that ends without a grant is recorded, and is one *miss* if it had as
//! many frames of good quality outside a lockout, unless it was recognised and refused for no fault
//! of the face ([`Denial::is_miss`]). Misses lead to a lockout ([`LockoutPolicy`]).
//!
//! # What it cannot promise
//!
//! That the strike locks in time when the daemon stalls: the hardware should time out by itself.
//! And it believes what it is told: a tracker that swaps faces, or a gallery with the wrong one.

mod action;
mod alarm;
mod core;
mod door;
mod event;
mod lockout;
mod policy;
mod roster;
mod schedule;
mod strike;
#[cfg(test)]
mod tests;
mod time;
mod track;
mod votes;

pub use self::core::Core;
pub use action::{
    Action, Actions, AlarmKind, Cause, Denial, Evidence, Hint, MAX_ACTIONS, Outcome, Record,
};
pub use event::{
    Candidate, Command, Event, Flaw, Liveness, LivenessScore, Margin, Observation, PersonId,
    Quality, Score, TrackId,
};
pub use lockout::SavedState;
pub use policy::{
    AttemptPolicy, DoorPolicy, LEAST_THRESHOLD, LivenessPolicy, LockoutPolicy, MAX_FRAMES, Policy,
    PolicyError, StrikePolicy, Threshold, VotePolicy,
};
pub use roster::{Permission, Roster};
pub use schedule::{
    LocalTime, MAX_SLOTS, MinuteOfDay, Schedule, ScheduleError, Slot, Weekday, Weekdays,
};
pub use time::Millis;
