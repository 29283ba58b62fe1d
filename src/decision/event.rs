use super::schedule::LocalTime;
pub use crate::{embed::Score, gallery::PersonId};
use std::{fmt, time::Duration};

/// One face that the tracker follows from frame to frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackId(pub u64);

impl Score {
    /// Whether this is a cosine at all. What is not one (NaN, infinity, 1.5) is the sign of a fault
    /// further up, and a fault must not open a door.
    pub fn is_valid(self) -> bool {
        (-1.0..=1.0).contains(&self.0)
    }
}

/// How far the best person is ahead of the second-best *person*: a difference of scores, 0 to 2.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Margin(pub f32);

/// How sure the liveness check is of its verdict, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct LivenessScore(pub f32);

/// A person of the gallery, and how alike the probe is to them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Who.
    pub person: PersonId,
    /// The score against the mean of this person's templates.
    pub score: Score,
}

/// Why a face is not fit to be recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Too far away.
    TooSmall,
    /// Moving, or out of focus.
    Blurred,
    /// Too little light on it.
    TooDark,
    /// Too much light on it.
    TooBright,
    /// Not looking this way.
    Turned,
    /// A hand, a scarf or a mask before it.
    Covered,
    /// Partly outside the picture.
    Cut,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooSmall => "too far away",
            Self::Blurred => "blurred",
            Self::TooDark => "too dark",
            Self::TooBright => "too bright",
            Self::Turned => "turned away",
            Self::Covered => "covered",
            Self::Cut => "partly outside the picture",
        })
    }
}

/// Whether a face is fit to be recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quality {
    /// It is.
    Good,
    /// It is not, mostly because of this.
    Poor(Flaw),
}

/// Whether a face is a living one, and not a picture of one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Liveness {
    /// Nobody checked.
    Unknown,
    /// It lives, this sure.
    Live(LivenessScore),
    /// It is a picture, a screen or a mask, this sure.
    Spoof(LivenessScore),
}

/// A tracked face in one frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// Which face.
    pub track: TrackId,
    /// The person most like it; `None` where nobody is enrolled or the face was not compared.
    pub best: Option<Candidate>,
    /// The score of the second-best *person*, not template; `None` where only one is enrolled.
    pub second: Option<Score>,
    /// Whether the face is fit to be recognised.
    pub quality: Quality,
    /// Whether it lives.
    pub liveness: Liveness,
}

impl Observation {
    /// How far the best person is ahead; `None` where there is no second one to be confused with.
    pub fn margin(&self) -> Option<Margin> {
        Some(Margin(self.best?.score.0 - self.second?.0))
    }
}

/// What somebody with authority asks for. Whoever sends it has checked that authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Open once, for one pulse.
    Unlock,
    /// Lock at once.
    Lock,
    /// Open for nobody (true) until released (false). Locks at once.
    Lockdown(bool),
}

/// A face that is told later than this after it was there counts as none: a queue behind a disk that hung must
/// not let in whoever has long gone. 1 s: of a face whose looks take longer than 700 ms the votes never gather
/// anyway, and who is still there is in the next frame.
const FACE_COUNTS: Duration = Duration::from_secs(1);
/// A press of the exit button that is told later than this does nothing. 5 s: so long somebody waits at the door for
/// it to open; later they have pressed again or gone, and a release would let in whoever stands outside.
const PRESS_COUNTS: Duration = Duration::from_secs(5);

/// What the core is told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event {
    /// A tracked face in one frame. A frame with two faces is two events of the same moment.
    Face(Observation),
    /// A frame without a face. Votes start anew after it, as nobody can tell any more that the next
    /// face is the last one; the track itself goes on until it has been gone for its gap, so that a
    /// detector that misses a frame makes neither a second miss nor a second record.
    NoFace,
    /// The request-to-exit button (REX), debounced. Each `pressed: true` is a request, whether a
    /// release was seen before it or not: a lost release must not shut somebody in.
    RequestToExit {
        /// Whether it is pressed.
        pressed: bool,
    },
    /// The door contact. The first one tells how the door stands and is no opening.
    DoorContact {
        /// Whether the door stands open.
        open: bool,
    },
    /// The tamper switch.
    Tamper {
        /// Whether somebody is at the device.
        active: bool,
    },
    /// The camera came or went. It counts as there until told otherwise.
    Camera {
        /// Whether it delivers frames.
        up: bool,
    },
    /// The audit can or cannot be written. It counts as not writable until told otherwise.
    Audit {
        /// Whether records are kept.
        writable: bool,
    },
    /// The local time, to be sent at every minute's change and every step of the clock; `None`
    /// while it is not synchronised. It holds for
    /// [`Policy::clock_valid`](super::Policy::clock_valid).
    Clock(Option<LocalTime>),
    /// An operator's command.
    Command(Command),
    /// The strike's line is about to be driven, for the last [`Action::Unlock`](super::Action::Unlock): to be
    /// sent with the time right before. What had to be done before took its time, and the pulse of a strike
    /// that was locked counts from here. Drive nothing where it is
    /// [over by then](super::Core::released_until).
    Energised,
    /// The last [`Action::Unlock`](super::Action::Unlock) is not carried out, since it could not be recorded: the
    /// strike is as it was before, or locked.
    Unrecorded,
    /// Time has passed: to be sent at [`Core::next_deadline`](super::Core::next_deadline).
    Tick,
}

impl Event {
    /// What it counts as when it is told so long after it happened: a face of long ago is a frame without one, and
    /// nobody presses the exit button any more. All else holds however late.
    pub fn told_late(self, by: Duration) -> Self {
        match self {
            Self::Face(_) if by > FACE_COUNTS => Self::NoFace,
            Self::RequestToExit { .. } if by > PRESS_COUNTS => {
                Self::RequestToExit { pressed: false }
            }
            event => event,
        }
    }
}
