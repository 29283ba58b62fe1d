use super::{
    action::{Denial, Hint},
    event::{Flaw, Observation, Quality, TrackId},
    policy::{AttemptPolicy, Policy, VotePolicy},
    time::Millis,
    votes::{Votes, vote},
};

/// How many faces are followed at once; a door's camera rarely sees three. Further ones wait until
/// a track ends: were the oldest dropped for them, a crowd could keep everybody from being
/// recognised.
pub(super) const MAX_TRACKS: usize = 8;

/// An attempt that came to nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failure {
    /// Why.
    pub(super) denial: Denial,
    /// Whether it is a miss.
    pub(super) is_miss: bool,
    /// Whether it is the first one of its track for this reason.
    pub(super) is_news: bool,
    /// The frame that came nearest.
    pub(super) nearest: Observation,
}

/// The attempts that came to nothing at one moment: at most one a track.
pub(super) type Failures = heapless::Vec<Failure, MAX_TRACKS>;

/// One followed face: its votes, and whether it is getting anywhere.
#[derive(Debug)]
pub(super) struct Track {
    id: TrackId,
    seen: Millis,
    granted: Option<Millis>,
    /// The reasons that were recorded, a bit each.
    recorded: u16,
    attempt: Attempt,
    pub(super) votes: Votes,
    pub(super) hint: Hint,
}

/// What a track has shown since it came, or since its last attempt timed out.
#[derive(Debug)]
struct Attempt {
    since: Millis,
    frames: u16,
    good: u16,
    /// Frames of good quality outside a lockout.
    chances: u16,
    flaw: Option<Flaw>,
    nearest: Option<Observation>,
    refusal: Option<Denial>,
}

impl Track {
    fn new(id: TrackId, now: Millis) -> Self {
        Self {
            id,
            seen: now,
            granted: None,
            recorded: 0,
            attempt: Attempt::new(now),
            votes: Votes::default(),
            hint: Hint::HoldStill,
        }
    }

    /// Takes a frame into the attempt. One in a lockout is no chance to get in.
    pub(super) fn note(&mut self, seen: &Observation, in_lockout: bool) {
        self.attempt.note(seen, in_lockout);
    }

    /// Whether it was granted too short a time ago to be granted again.
    pub(super) fn has_just_been_granted(&self, now: Millis, policy: &AttemptPolicy) -> bool {
        self.granted.is_some_and(|granted| now.since(granted) < policy.regrant_after)
    }

    pub(super) fn grant(&mut self, now: Millis) {
        self.granted = Some(now);
        self.votes.clear();
    }

    /// Enough votes, and yet no grant; whether that is to be recorded.
    pub(super) fn refuse(&mut self, denial: Denial) -> bool {
        self.attempt.refusal = Some(denial);
        self.is_news(denial)
    }

    /// What to show to a face whose frame did not vote for this reason, or did without being
    /// enough.
    pub(super) fn hint_after(&self, denial: Option<Denial>, policy: &AttemptPolicy) -> Hint {
        match denial {
            Some(Denial::PoorQuality(flaw)) => match flaw {
                Flaw::TooSmall => Hint::ComeCloser,
                Flaw::Blurred => Hint::HoldStill,
                Flaw::TooDark | Flaw::TooBright => Hint::BetterLight,
                Flaw::Turned => Hint::LookAtCamera,
                Flaw::Covered | Flaw::Cut => Hint::ShowFace,
            },
            Some(_) if self.attempt.good >= policy.frames => Hint::NotRecognised,
            _ => Hint::HoldStill,
        }
    }

    /// Whether this is the first time for this reason; false from then on.
    fn is_news(&mut self, denial: Denial) -> bool {
        let bit = 1 << reason(denial);
        let is_news = self.recorded & bit == 0;
        self.recorded |= bit;
        is_news
    }

    /// What its attempt comes to when it is over, unless to nothing worth telling.
    fn failure(&mut self, policy: &Policy) -> Option<Failure> {
        if self.granted.is_some() {
            return None;
        }
        let (denial, nearest) = self.attempt.denial(&policy.attempts, &policy.votes)?;
        let is_miss = denial.is_miss() && self.attempt.chances >= policy.attempts.frames;
        Some(Failure { denial, is_miss, is_news: self.is_news(denial), nearest })
    }

    fn ends_at(&self, policy: &AttemptPolicy) -> Millis {
        self.seen.after(policy.gap)
    }

    /// When its attempt has failed although it goes on; `None` after a grant.
    fn fails_at(&self, policy: &AttemptPolicy) -> Option<Millis> {
        self.granted.is_none().then(|| self.attempt.since.after(policy.timeout))
    }
}

/// A number below 16 for a reason; all flaws are one.
fn reason(denial: Denial) -> u8 {
    match denial {
        Denial::PoorQuality(_) => 0,
        Denial::NotRecognised => 1,
        Denial::Ambiguous => 2,
        Denial::NotLive => 3,
        Denial::TooFewVotes => 4,
        Denial::NotPermitted => 5,
        Denial::OutsideSchedule => 6,
        Denial::ClockUnsynchronised => 7,
        Denial::Lockout => 8,
        Denial::Lockdown => 9,
        Denial::AuditNotWritable => 10,
    }
}

impl Attempt {
    fn new(now: Millis) -> Self {
        let (flaw, nearest, refusal) = (None, None, None);
        Self { since: now, frames: 0, good: 0, chances: 0, flaw, nearest, refusal }
    }

    fn note(&mut self, seen: &Observation, in_lockout: bool) {
        let is_good = match seen.quality {
            Quality::Good => true,
            Quality::Poor(flaw) => {
                self.flaw = Some(flaw);
                false
            }
        };
        self.frames = self.frames.saturating_add(1);
        self.good = self.good.saturating_add(is_good.into());
        self.chances = self.chances.saturating_add((is_good && !in_lockout).into());
        if self.nearest.is_none_or(|nearest| nearness(&nearest) < nearness(seen)) {
            self.nearest = Some(*seen);
        }
    }

    /// Why it failed, and the frame that came nearest; `None` where it is too short to be one.
    fn denial(&self, policy: &AttemptPolicy, votes: &VotePolicy) -> Option<(Denial, Observation)> {
        let nearest = self.nearest.filter(|_| self.frames >= policy.frames)?;
        let denial = match (self.refusal, self.flaw) {
            (Some(refusal), _) => refusal,
            (None, Some(flaw)) if self.good < policy.frames => Denial::PoorQuality(flaw),
            (None, _) => vote(&nearest, votes).err().unwrap_or(Denial::TooFewVotes),
        };
        Some((denial, nearest))
    }
}

/// How near a frame came to a vote: any good one is nearer than any poor one, then the score
/// decides.
fn nearness(seen: &Observation) -> (bool, f32) {
    let score = seen.best.map(|best| best.score).filter(|score| score.is_valid());
    (seen.quality == Quality::Good, score.map_or(f32::MIN, |score| score.0))
}

/// All followed faces, the one that came first in front.
#[derive(Debug, Default)]
pub(super) struct Tracks(heapless::Vec<Track, MAX_TRACKS>);

impl Tracks {
    /// The track of a face that is seen now; `None` where there are too many already.
    pub(super) fn follow(&mut self, id: TrackId, now: Millis) -> Option<&mut Track> {
        if let Some(index) = self.0.iter().position(|track| track.id == id) {
            self.0[index].seen = now;
            return Some(&mut self.0[index]);
        }
        self.0.push(Track::new(id, now)).ok()?;
        self.0.last_mut()
    }

    /// Ends the tracks that have been gone for long enough and the attempts that took too long.
    pub(super) fn advance(&mut self, now: Millis, policy: &Policy) -> Failures {
        let mut failures = Failures::new();
        self.0.retain_mut(|track| {
            let is_over = track.ends_at(&policy.attempts) <= now;
            if is_over || track.fails_at(&policy.attempts).is_some_and(|at| at <= now) {
                failures.extend(track.failure(policy));
                track.attempt = Attempt::new(now);
            }
            !is_over
        });
        failures
    }

    /// Ends all tracks.
    pub(super) fn end(&mut self, policy: &Policy) -> Failures {
        let failures = self.0.iter_mut().filter_map(|track| track.failure(policy)).collect();
        self.0.clear();
        failures
    }

    /// Has every track's votes start anew.
    pub(super) fn clear_votes(&mut self) {
        for track in &mut self.0 {
            track.votes.clear();
        }
    }

    /// When [`advance`](Self::advance) has something to do.
    pub(super) fn deadline(&self, policy: &AttemptPolicy) -> Option<Millis> {
        let times =
            |track: &Track| track.fails_at(policy).into_iter().chain([track.ends_at(policy)]);
        self.0.iter().flat_map(times).min()
    }

    /// What to show: a display speaks to one person, the one who came first.
    pub(super) fn hint(&self) -> Hint {
        self.0.first().map_or(Hint::Clear, |track| track.hint)
    }
}
