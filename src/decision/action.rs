use super::event::Flaw;
use super::{
    event::{Liveness, Margin, Observation, PersonId, Quality, Score, TrackId},
    lockout::SavedState,
    policy::{Threshold, VotePolicy},
    time::Millis,
    track::MAX_TRACKS,
};
use std::{fmt, time::Duration};

/// How many actions one event can call for: a record a track, and beside them a lock when time is
/// up, the start of a lockout, a door held open, two of the event's own (unlock and record, or
/// alarm and lock), the state to save and a hint. That is seven; one is to spare.
pub const MAX_ACTIONS: usize = MAX_TRACKS + 8;

/// What to do, in this order.
pub type Actions = heapless::Vec<Action, MAX_ACTIONS>;

/// One thing to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Action {
    /// Release the strike, until [`Action::Lock`] comes. While it is released, another one moves
    /// `until` and nothing else.
    Unlock {
        /// For whom.
        cause: Cause,
        /// When the lock will come at the latest, for a strike that can time itself as well.
        until: Millis,
    },
    /// Lock the strike. May come while it is locked, and must then do no harm.
    Lock,
    /// Write to the audit.
    Record(Record),
    /// Show to the person at the door, in place of what was shown.
    Hint(Hint),
    /// Raise or clear an alarm.
    Alarm {
        /// Which.
        kind: AlarmKind,
        /// True raises, false clears.
        raised: bool,
    },
    /// Keep this over a restart, in place of what was kept.
    Save(SavedState),
}

/// Appends an action. [`MAX_ACTIONS`] says why there is always room; tests hold it by this
/// assertion.
pub(super) fn emit(actions: &mut Actions, action: Action) {
    let pushed = actions.push(action);
    debug_assert!(pushed.is_ok(), "more than {MAX_ACTIONS} actions for one event");
}

/// Who asked for the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A face.
    Face,
    /// The request-to-exit button (REX).
    RequestToExit,
    /// A command.
    Command,
}

/// What is wrong with the door or the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AlarmKind {
    /// The door opened while locked.
    ForcedOpen,
    /// The door stands open for too long.
    HeldOpen,
    /// Somebody is at the device.
    Tamper,
    /// The camera is gone.
    CameraLost,
}

/// What the person at the door should see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// Nothing: nobody is there.
    Clear,
    /// Come closer.
    ComeCloser,
    /// Hold still: it is being looked at.
    HoldStill,
    /// Look at the camera.
    LookAtCamera,
    /// Find better light.
    BetterLight,
    /// Show the whole face.
    ShowFace,
    /// Not recognised. Also shown to those who are not let in any more: it is nobody's business
    /// whose templates are still there.
    NotRecognised,
    /// Recognised, but not at this time.
    NotNow,
    /// Locked out: wait.
    Wait {
        /// Until this moment; what shows it counts the seconds down itself.
        until: Millis,
    },
    /// Out of order: nobody can be recognised now.
    OutOfOrder,
    /// Open: push the door.
    Open,
    /// Close the door, or there will be an alarm.
    CloseDoor,
}

/// A decision, for the audit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Record {
    /// When.
    pub at: Millis,
    /// Who asked.
    pub cause: Cause,
    /// What was decided.
    pub outcome: Outcome,
    /// What it was decided by; only for faces.
    pub evidence: Option<Evidence>,
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outcome {
    /// The door was unlocked.
    Granted,
    /// It was not.
    Denied(Denial),
    /// Too many misses: no face opens for this long. The evidence is the last miss.
    LockoutStarted(Duration),
    /// Locked by command.
    Locked,
    /// Lockdown set (true) or released (false) by command.
    Lockdown(bool),
}

/// Why the door was not unlocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// No frames of good quality to speak of; mostly because of this.
    PoorQuality(Flaw),
    /// Like nobody enrolled (or the score was no number).
    NotRecognised,
    /// Too much like two people.
    Ambiguous,
    /// Not a living face, or not surely one.
    NotLive,
    /// Some frames qualified, but not enough in time.
    TooFewVotes,
    /// Recognised, but disabled or not on the roster.
    NotPermitted,
    /// Recognised, but not at this time of the week.
    OutsideSchedule,
    /// Recognised, but on a schedule, and nobody knows what time it is.
    ClockUnsynchronised,
    /// During a lockout.
    Lockout,
    /// During a lockdown.
    Lockdown,
    /// The audit cannot be written.
    AuditNotWritable,
}

impl Denial {
    /// Whether it counts towards a lockout: only where somebody may be trying out faces. Who was
    /// recognised and came at the wrong time, or to a door that opens for nobody now, is not
    /// guessing; somebody disabled counts as a stranger.
    pub fn is_miss(self) -> bool {
        match self {
            Self::NotRecognised
            | Self::Ambiguous
            | Self::NotLive
            | Self::TooFewVotes
            | Self::NotPermitted => true,
            Self::PoorQuality(_)
            | Self::OutsideSchedule
            | Self::ClockUnsynchronised
            | Self::Lockout
            | Self::Lockdown
            | Self::AuditNotWritable => false,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Face => "face",
            Self::RequestToExit => "the exit button",
            Self::Command => "command",
        })
    }
}

impl fmt::Display for AlarmKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ForcedOpen => "door forced open",
            Self::HeldOpen => "door held open",
            Self::Tamper => "tampering with the device",
            Self::CameraLost => "camera lost",
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Granted => f.write_str("granted"),
            Self::Denied(why) => write!(f, "denied, {why},"),
            Self::LockoutStarted(length) => write!(f, "locked out for {} s", length.as_secs()),
            Self::Locked => f.write_str("locked"),
            Self::Lockdown(true) => f.write_str("lockdown begun"),
            Self::Lockdown(false) => f.write_str("lockdown ended"),
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PoorQuality(flaw) => return write!(f, "no good picture ({flaw})"),
            Self::NotRecognised => "not recognised",
            Self::Ambiguous => "like two people",
            Self::NotLive => "not a living face",
            Self::TooFewVotes => "too few frames agree",
            Self::NotPermitted => "not permitted",
            Self::OutsideSchedule => "outside their times",
            Self::ClockUnsynchronised => "has times, and the clock is not synchronised",
            Self::Lockout => "during a lockout",
            Self::Lockdown => "during a lockdown",
            Self::AuditNotWritable => "could not be recorded",
        })
    }
}

/// What a face was judged by, in the frame that decided (for an attempt that came to nothing: the
/// frame that came nearest).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evidence {
    /// Which face.
    pub track: TrackId,
    /// The person most like it.
    pub person: Option<PersonId>,
    /// How alike they are.
    pub score: Option<Score>,
    /// How alike they had to be.
    pub threshold: Threshold,
    /// How far that person is ahead of the second-best one.
    pub margin: Option<Margin>,
    /// How far they had to be.
    pub margin_needed: Margin,
    /// Whether the face was fit to be recognised.
    pub quality: Quality,
    /// Whether it lives.
    pub liveness: Liveness,
}

impl Evidence {
    pub(super) fn of(seen: &Observation, policy: &VotePolicy) -> Self {
        Self {
            track: seen.track,
            person: seen.best.map(|best| best.person),
            score: seen.best.map(|best| best.score),
            threshold: policy.threshold,
            margin: seen.margin(),
            margin_needed: policy.margin,
            quality: seen.quality,
            liveness: seen.liveness,
        }
    }
}
