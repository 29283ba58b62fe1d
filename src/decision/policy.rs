use super::event::{LivenessScore, Margin, Score};
use std::{ops::RangeInclusive, time::Duration};

/// How many frames back votes can be counted: more than six seconds at five frames a second.
pub const MAX_FRAMES: usize = 32;

/// How alike a probe and a person must be: a score from 0 (excluded) to 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Threshold(pub f32);

impl Score {
    /// Whether it is a score, and as high as `threshold`.
    pub fn meets(self, threshold: Threshold) -> bool {
        self.is_valid() && self.0 >= threshold.0
    }
}

/// What must be known about a face's being a living one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LivenessPolicy {
    /// [`Liveness::Unknown`](super::Liveness::Unknown) will do. A face that was found to be a
    /// picture will not, however unsure that verdict.
    UnknownAccepted,
    /// It must have been found to live, at least this surely (over 0 to 1).
    Required(LivenessScore),
}

/// When a face has been recognised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VotePolicy {
    /// This many frames of one track must qualify. 3: one frame can match by chance, or by a
    /// moment's wrong crop; three take a moment, too, in which a passer-by has passed.
    pub needed: u8,
    /// Among so many of the track's last frames, up to [`MAX_FRAMES`]. 5: a blink or a turn spoils
    /// one or two.
    pub of: u8,
    /// Within this time. 2 s: five frames at the three a second of a slow board, and too short for
    /// votes to meet that are of different occasions.
    pub within: Duration,
    /// How alike probe and person must be. 0.46: of 2,687,149 pairs of strangers among LFW-dev's faces,
    /// found and aligned by our own detector and embedded from both sides, one in 10,000 scores 0.441 or more with the
    /// embedding network that ships, 0.448 with the smaller one (their cards in models/ say how, and how many genuine
    /// pairs it costs).
    pub threshold: Threshold,
    /// How far the person must be ahead of the second-best one. 0.05: enough that rounding and a
    /// frame's noise do not choose between two residents who look alike.
    pub margin: Margin,
    /// What must be known about liveness. Unknown is accepted, because there is no check yet; a
    /// house with one should require it.
    pub liveness: LivenessPolicy,
}

/// When a face's try has failed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttemptPolicy {
    /// So many frames make an attempt; fewer are somebody who passes by. 5: as many as votes are
    /// counted among, so a resident had every chance.
    pub frames: u16,
    /// A track without a grant has failed after this time, even where it goes on: else holding one
    /// picture after another before the camera would be one attempt. 15 s: a resident needs one.
    pub timeout: Duration,
    /// A track has ended when not seen for this time. 1 s: longer than a tracker bridges.
    pub gap: Duration,
    /// A track that was granted is not granted again for this time. 10 s: who missed the pulse need
    /// not step away, and the strike does not click at every frame.
    pub regrant_after: Duration,
}

/// What happens after too many misses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LockoutPolicy {
    /// So many misses without a grant between them start a lockout. 5, as phones and PIN pads do.
    pub misses: u8,
    /// How long the first one lasts; each further one lasts twice as long. 30 s: a resident who was
    /// unlucky can wait for that, and it already slows down who holds up pictures.
    pub first: Duration,
    /// The longest. 15 min: strangers must not keep a resident out for longer.
    pub longest: Duration,
    /// Without a miss and outside a lockout for this time, all is forgotten. 30 min: two of the
    /// longest.
    pub quiet: Duration,
}

/// How the strike moves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StrikePolicy {
    /// How long it is released. 3 s: time to push the door, and none for somebody behind.
    pub pulse: Duration,
    /// How long further grants to faces and commands can keep it released without a lock in
    /// between. 15 s: a family that comes home together. The exit button is not bound by it:
    /// whoever pressed it gets a whole pulse.
    pub longest: Duration,
    /// Lock this long after the door opened, where that is before the pulse ends; `None` lets the
    /// pulse run out. 1 s: the leaf is clear of the bolt, and the door locks when it falls shut.
    pub relock_on_open: Option<Duration>,
}

/// When the door's own movements are alarming.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DoorPolicy {
    /// An opening this long after the strike was last released is not forced. 2 s: contacts and
    /// latches report late, and a door that was let go may bounce.
    pub grace: Duration,
    /// A door open for longer is held open. 60 s: shopping is in by then.
    pub held_open: Duration,
    /// This long before that the person is asked to close it. 15 s.
    pub held_open_warning: Duration,
}

/// The rules of the house. `Policy::default()` is one that holds; every value says why it is what
/// it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// When a face has been recognised.
    pub votes: VotePolicy,
    /// When a face's try has failed.
    pub attempts: AttemptPolicy,
    /// What happens after too many misses.
    pub lockout: LockoutPolicy,
    /// How the strike moves.
    pub strike: StrikePolicy,
    /// When the door's own movements are alarming.
    pub door: DoorPolicy,
    /// The exit button works in a lockout. True: fire safety; a lockout is against faces outside.
    pub exit_in_lockout: bool,
    /// The exit button works in a lockdown. True: fire safety.
    pub exit_in_lockdown: bool,
    /// No face opens while the audit cannot be written. True: a full card must not make entries
    /// untraceable. The exit button and commands work all the same.
    pub faces_need_audit: bool,
    /// How long a time of day holds after it was told. 2 min: it is told every minute; one may be
    /// lost.
    pub clock_valid: Duration,
}

impl Default for VotePolicy {
    fn default() -> Self {
        Self {
            needed: 3,
            of: 5,
            within: Duration::from_secs(2),
            threshold: Threshold(0.46),
            margin: Margin(0.05),
            liveness: LivenessPolicy::UnknownAccepted,
        }
    }
}

impl Default for AttemptPolicy {
    fn default() -> Self {
        Self {
            frames: 5,
            timeout: Duration::from_secs(15),
            gap: Duration::from_secs(1),
            regrant_after: Duration::from_secs(10),
        }
    }
}

impl Default for LockoutPolicy {
    fn default() -> Self {
        Self {
            misses: 5,
            first: Duration::from_secs(30),
            longest: Duration::from_secs(15 * 60),
            quiet: Duration::from_secs(30 * 60),
        }
    }
}

impl Default for StrikePolicy {
    fn default() -> Self {
        Self {
            pulse: Duration::from_secs(3),
            longest: Duration::from_secs(15),
            relock_on_open: Some(Duration::from_secs(1)),
        }
    }
}

impl Default for DoorPolicy {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(2),
            held_open: Duration::from_secs(60),
            held_open_warning: Duration::from_secs(15),
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            votes: VotePolicy::default(),
            attempts: AttemptPolicy::default(),
            lockout: LockoutPolicy::default(),
            strike: StrikePolicy::default(),
            door: DoorPolicy::default(),
            exit_in_lockout: true,
            exit_in_lockdown: true,
            faces_need_audit: true,
            clock_valid: Duration::from_secs(120),
        }
    }
}

/// Rules that cannot be kept, or should not be.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum PolicyError {
    /// A count outside its range.
    #[error("{name} is {value}; choose {min} to {max}")]
    Count {
        /// Which value of the policy.
        name: &'static str,
        /// What it is.
        value: u16,
        /// The least it may be.
        min: u16,
        /// The most it may be.
        max: u16,
    },
    /// A number outside its range, or none.
    #[error("{name} is {value}; choose a number from {min} to {max}")]
    Number {
        /// Which value of the policy.
        name: &'static str,
        /// What it is.
        value: f32,
        /// The least it may be.
        min: f32,
        /// The most it may be.
        max: f32,
    },
    /// A time outside its range.
    #[error("{name} is {value:?}; choose {min:?} to {max:?}")]
    Time {
        /// Which value of the policy.
        name: &'static str,
        /// What it is.
        value: Duration,
        /// The least it may be.
        min: Duration,
        /// The most it may be.
        max: Duration,
    },
}

/// The least threshold that can be set: at 0 half of all strangers would pass.
pub const LEAST_THRESHOLD: f32 = 0.01;

impl Policy {
    /// Whether these rules can be kept and leave a door that is still one.
    ///
    /// # Errors
    /// [`PolicyError`]: the first value outside its range, with the range.
    pub fn check(&self) -> Result<(), PolicyError> {
        self.faults().next().map_or(Ok(()), Err)
    }

    /// Every value outside its range.
    pub fn faults(&self) -> impl Iterator<Item = PolicyError> {
        let clock = time("clock_valid", self.clock_valid, SECOND, HOUR);
        let checks = self.check_votes().into_iter().chain(self.check_attempts());
        checks.chain(self.check_door()).chain([clock]).filter_map(Result::err)
    }

    fn check_votes(&self) -> [Result<(), PolicyError>; 6] {
        let votes = &self.votes;
        let frames = MAX_FRAMES as u16;
        let most = bound(u16::from(votes.of), 1..=frames, frames);
        [
            count("votes.of", votes.of.into(), 1, MAX_FRAMES as u16),
            count("votes.needed", votes.needed.into(), 1, most),
            time("votes.within", votes.within, MILLISECOND, MINUTE),
            number("votes.threshold", votes.threshold.0, LEAST_THRESHOLD, 1.0),
            number("votes.margin", votes.margin.0, 0.0, 2.0),
            match votes.liveness {
                LivenessPolicy::UnknownAccepted => Ok(()),
                LivenessPolicy::Required(least) => {
                    number("votes.liveness", least.0, LEAST_THRESHOLD, 1.0)
                }
            },
        ]
    }

    fn check_attempts(&self) -> [Result<(), PolicyError>; 8] {
        let (attempts, lockout) = (&self.attempts, &self.lockout);
        let gap = bound(attempts.gap, MILLISECOND..=MINUTE, MILLISECOND);
        let first = bound(lockout.first, MILLISECOND..=HOUR, MILLISECOND);
        [
            count("attempts.frames", attempts.frames, 1, 1000),
            time("attempts.gap", attempts.gap, MILLISECOND, MINUTE),
            time("attempts.timeout", attempts.timeout, gap, HOUR),
            time("attempts.regrant_after", attempts.regrant_after, Duration::ZERO, HOUR),
            count("lockout.misses", lockout.misses.into(), 1, u8::MAX.into()),
            time("lockout.first", lockout.first, MILLISECOND, HOUR),
            time("lockout.longest", lockout.longest, first, DAY),
            time("lockout.quiet", lockout.quiet, MILLISECOND, DAY),
        ]
    }

    fn check_door(&self) -> [Result<(), PolicyError>; 6] {
        let (strike, door) = (&self.strike, &self.door);
        // Shorter than 100 ms no strike moves; longer than a minute the door is as good as open.
        let shortest = Duration::from_millis(100);
        let pulse = |otherwise| bound(strike.pulse, shortest..=MINUTE, otherwise);
        let relock = strike.relock_on_open.unwrap_or_default();
        let held = bound(door.held_open, SECOND..=DAY, DAY);
        [
            time("strike.pulse", strike.pulse, shortest, MINUTE),
            time("strike.longest", strike.longest, pulse(shortest), 10 * MINUTE),
            time("strike.relock_on_open", relock, Duration::ZERO, pulse(MINUTE)),
            time("door.grace", door.grace, Duration::ZERO, MINUTE),
            time("door.held_open", door.held_open, SECOND, DAY),
            time("door.held_open_warning", door.held_open_warning, Duration::ZERO, held),
        ]
    }
}

impl PolicyError {
    /// The same, of a value that goes by another name where the rules were written down.
    pub fn renamed(self, to: impl FnOnce(&'static str) -> &'static str) -> Self {
        match self {
            Self::Count { name, value, min, max } => {
                Self::Count { name: to(name), value, min, max }
            }
            Self::Number { name, value, min, max } => {
                Self::Number { name: to(name), value, min, max }
            }
            Self::Time { name, value, min, max } => Self::Time { name: to(name), value, min, max },
        }
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A value that bounds another one, or `otherwise` where it is itself out of `range`: one mistake is one
/// fault.
fn bound<T: PartialOrd>(value: T, range: RangeInclusive<T>, otherwise: T) -> T {
    if range.contains(&value) { value } else { otherwise }
}

fn count(name: &'static str, value: u16, min: u16, max: u16) -> Result<(), PolicyError> {
    let error = PolicyError::Count { name, value, min, max };
    if (min..=max).contains(&value) { Ok(()) } else { Err(error) }
}

fn number(name: &'static str, value: f32, min: f32, max: f32) -> Result<(), PolicyError> {
    let error = PolicyError::Number { name, value, min, max };
    if (min..=max).contains(&value) { Ok(()) } else { Err(error) }
}

fn time(
    name: &'static str,
    value: Duration,
    min: Duration,
    max: Duration,
) -> Result<(), PolicyError> {
    let error = PolicyError::Time { name, value, min, max };
    if (min..=max).contains(&value) { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_holds() {
        assert_eq!(Policy::default().check(), Ok(()));
    }

    #[test]
    fn a_value_out_of_range_is_refused_by_its_name() {
        type Spoil = fn(&mut Policy);
        let cases: &[(&str, Spoil)] = &[
            ("votes.needed is 6; choose 1 to 5", |p| p.votes.needed = 6),
            ("votes.needed is 0; choose 1 to 5", |p| p.votes.needed = 0),
            ("votes.of is 33; choose 1 to 32", |p| p.votes.of = 33),
            ("votes.within is 0ns; choose 1ms to 60s", |p| p.votes.within = Duration::ZERO),
            ("votes.threshold is NaN; choose a number from 0.01 to 1", |p| {
                p.votes.threshold = Threshold(f32::NAN)
            }),
            ("votes.threshold is 0; choose a number from 0.01 to 1", |p| {
                p.votes.threshold = Threshold(0.0)
            }),
            ("votes.margin is -0.1; choose a number from 0 to 2", |p| {
                p.votes.margin = Margin(-0.1)
            }),
            ("votes.liveness is NaN; choose a number from 0.01 to 1", |p| {
                p.votes.liveness = LivenessPolicy::Required(LivenessScore(f32::NAN))
            }),
            ("attempts.frames is 0; choose 1 to 1000", |p| p.attempts.frames = 0),
            ("attempts.gap is 0ns; choose 1ms to 60s", |p| p.attempts.gap = Duration::ZERO),
            ("attempts.timeout is 1ms; choose 1s to 3600s", |p| p.attempts.timeout = MILLISECOND),
            ("attempts.regrant_after is 86400s; choose 0ns to 3600s", |p| {
                p.attempts.regrant_after = DAY
            }),
            ("lockout.misses is 0; choose 1 to 255", |p| p.lockout.misses = 0),
            ("lockout.first is 0ns; choose 1ms to 3600s", |p| p.lockout.first = Duration::ZERO),
            ("lockout.longest is 1s; choose 30s to 86400s", |p| p.lockout.longest = SECOND),
            ("lockout.quiet is 0ns; choose 1ms to 86400s", |p| p.lockout.quiet = Duration::ZERO),
            ("strike.pulse is 3600s; choose 100ms to 60s", |p| p.strike.pulse = HOUR),
            ("strike.longest is 1s; choose 3s to 600s", |p| p.strike.longest = SECOND),
            ("strike.relock_on_open is 60s; choose 0ns to 3s", |p| {
                p.strike.relock_on_open = Some(MINUTE)
            }),
            ("door.grace is 3600s; choose 0ns to 60s", |p| p.door.grace = HOUR),
            ("door.held_open is 0ns; choose 1s to 86400s", |p| p.door.held_open = Duration::ZERO),
            ("door.held_open_warning is 3600s; choose 0ns to 60s", |p| {
                p.door.held_open_warning = HOUR
            }),
            ("clock_valid is 86400s; choose 1s to 3600s", |p| p.clock_valid = DAY),
        ];
        for (message, spoil) in cases {
            let mut policy = Policy::default();
            spoil(&mut policy);
            assert_eq!(policy.check().unwrap_err().to_string(), *message);
        }
    }
}
