//! An independent look at what the core did: it keeps the whole history and, at every unlock, goes
//! back through it. It shares nothing with the core but the types.

use super::*;
use proptest::{prelude::*, test_runner::TestCaseError};
use std::collections::{HashMap, HashSet};

type Checked = Result<(), TestCaseError>;

/// What was reached, so that a test can tell that the properties were put to one.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Reached {
    pub(super) face_unlocks: u32,
    pub(super) exits_in_lockdown: u32,
    pub(super) lockouts: u32,
    pub(super) longer_lockouts: u32,
    pub(super) restarts_in_lockout: u32,
    pub(super) denials: u32,
    pub(super) alarms: u32,
}

pub(super) struct Reference {
    policy: Policy,
    history: Vec<(Millis, Event)>,
    now: Millis,
    /// Where in the history faces of a track were granted.
    grants: Vec<(usize, TrackId)>,
    /// When the strike was last released, and since when it has been without a lock; `None` locked.
    released: Option<Released>,
    /// As it was right before that.
    before: Option<Released>,
    locked_out_until: Millis,
    /// The length of the last lockout, none since a grant.
    last_lockout: Option<Duration>,
    /// There was a restart when a quiet time may have passed since.
    may_be_forgotten: bool,
    is_lockdown: bool,
    alarms: HashMap<AlarmKind, bool>,
    denied: HashSet<(TrackId, std::mem::Discriminant<Denial>)>,
    saved: SavedState,
    pub(super) reached: Reached,
}

#[derive(Clone, Copy)]
struct Released {
    since: Millis,
    newest: Millis,
    last_exit: Option<Millis>,
    is_energised: bool,
}

impl Reference {
    pub(super) fn new(policy: Policy, now: Millis) -> Self {
        Self {
            policy,
            history: Vec::new(),
            now,
            grants: Vec::new(),
            released: None,
            before: None,
            locked_out_until: now,
            last_lockout: None,
            may_be_forgotten: false,
            is_lockdown: false,
            alarms: HashMap::new(),
            denied: HashSet::new(),
            saved: SavedState::default(),
            reached: Reached::default(),
        }
    }

    /// The power fails; the new clock starts at `now`. What to go on from.
    pub(super) fn restart(&mut self, now: Millis) -> Result<SavedState, TestCaseError> {
        let left = self.locked_out_until.since(self.now);
        prop_assert!(self.saved.remaining >= left, "a restart shortens the lockout");
        prop_assert_eq!(self.saved.lockdown, self.is_lockdown);
        self.reached.restarts_in_lockout += u32::from(!left.is_zero());
        *self = Self {
            locked_out_until: now.after(self.saved.remaining),
            last_lockout: self.last_lockout,
            may_be_forgotten: self.may_be_forgotten(),
            is_lockdown: self.is_lockdown,
            saved: self.saved,
            reached: self.reached,
            ..Self::new(self.policy, now)
        };
        Ok(self.saved)
    }

    /// Whether all that the core did about an event is right.
    pub(super) fn check(
        &mut self,
        event: Event,
        now: Millis,
        did: &Actions,
        people: &People,
    ) -> Checked {
        self.now = self.now.max(now);
        let event = in_time(event, self.now.since(now));
        let gone = self.tracks_that_are_gone();
        if let Event::Face(seen) = event
            && gone.contains(&seen.track)
        {
            self.denied.retain(|(track, _)| *track != seen.track);
        }
        self.history.push((self.now, event));
        for action in did {
            match *action {
                Action::Unlock { cause, until } => {
                    self.check_unlock(event, cause, until, people)?
                }
                Action::Lock => self.released = None,
                Action::Record(record) => self.check_record(&record)?,
                Action::Alarm { kind, raised } => {
                    let was = self.alarms.insert(kind, raised).unwrap_or(false);
                    prop_assert_ne!(was, raised, "{:?} was raised or cleared twice", kind);
                    self.reached.alarms += 1;
                }
                Action::Save(state) => self.saved = state,
                Action::Hint(_) => {}
            }
        }
        // What ended in this call was recorded in this call.
        self.denied.retain(|(track, _)| !gone.contains(track));
        self.check_event(event, did)?;
        self.check_strike()
    }

    /// At the end of every call: released no longer than a pulse, and in total no longer than
    /// allowed.
    fn check_strike(&self) -> Checked {
        let Some(Released { since, newest, last_exit, .. }) = self.released else {
            return Ok(());
        };
        let strike = &self.policy.strike;
        prop_assert!(self.now < newest.after(strike.pulse), "released past the pulse");
        let exit_ends = last_exit.map_or(Millis(0), |exit| exit.after(strike.pulse));
        let bound = since.after(strike.longest).max(exit_ends);
        prop_assert!(self.now < bound, "released for longer than grants in a row may");
        Ok(())
    }

    /// The core's next deadline must come before the strike has to lock, and never be of the past.
    pub(super) fn check_deadline(&self, deadline: Option<Millis>) -> Checked {
        prop_assert!(deadline.is_none_or(|deadline| deadline > self.now), "a deadline of the past");
        if let Some(Released { newest, .. }) = self.released {
            let due = newest.after(self.policy.strike.pulse);
            prop_assert!(deadline.is_some_and(|deadline| deadline <= due), "no tick for the lock");
        }
        Ok(())
    }

    fn check_event(&mut self, event: Event, did: &Actions) -> Checked {
        let unlocks =
            |cause| did.iter().any(|a| matches!(a, Action::Unlock { cause: c, .. } if *c == cause));
        match event {
            Event::Command(Command::Lockdown(set)) => {
                self.is_lockdown = set;
                prop_assert!(!set || self.released.is_none(), "a lockdown locks");
            }
            Event::Command(Command::Lock) => {
                prop_assert!(did.contains(&Action::Lock) && self.released.is_none());
            }
            Event::Command(Command::Unlock) => {
                prop_assert_eq!(unlocks(Cause::Command), !self.is_lockdown);
            }
            Event::RequestToExit { pressed: true } => {
                let refused = (self.is_lockdown && !self.policy.exit_in_lockdown)
                    || (self.now < self.locked_out_until && !self.policy.exit_in_lockout);
                prop_assert_eq!(unlocks(Cause::RequestToExit), !refused, "the exit button");
                self.reached.exits_in_lockdown += u32::from(self.is_lockdown && !refused);
            }
            Event::DoorContact { open: false } => {
                for kind in [AlarmKind::ForcedOpen, AlarmKind::HeldOpen] {
                    prop_assert!(!self.alarms.get(&kind).unwrap_or(&false), "{kind:?} on");
                }
            }
            Event::Camera { up } => {
                prop_assert_eq!(*self.alarms.get(&AlarmKind::CameraLost).unwrap_or(&false), !up);
                if !up {
                    self.denied.clear();
                }
            }
            Event::Energised => self.energised(),
            Event::Unrecorded => {
                if let Some(released) = &mut self.released {
                    let Some(Released { newest, last_exit, .. }) = self.before else {
                        return Err(TestCaseError::fail(
                            "released by nothing but what is taken back",
                        ));
                    };
                    (released.newest, released.last_exit) = (newest, last_exit);
                }
            }
            Event::Tamper { active } => {
                prop_assert_eq!(*self.alarms.get(&AlarmKind::Tamper).unwrap_or(&false), active);
            }
            _ => {}
        }
        Ok(())
    }

    /// All moments of a release move by the time that driving the line came late, once, and to now at most.
    fn energised(&mut self) {
        let Some(released) = self.released.as_mut().filter(|r| !r.is_energised) else { return };
        let late = self.now.since(released.since);
        let Released { since, newest, last_exit, .. } = *released;
        *released = Released {
            since: since.after(late),
            newest: newest.after(late).min(self.now),
            last_exit: last_exit.map(|exit| exit.after(late).min(self.now)),
            is_energised: true,
        };
    }

    fn check_unlock(
        &mut self,
        event: Event,
        cause: Cause,
        until: Millis,
        people: &People,
    ) -> Checked {
        prop_assert!(self.now < until && until <= self.now.after(self.policy.strike.pulse));
        prop_assert!(!self.is_lockdown || cause == Cause::RequestToExit, "{cause:?} in lockdown");
        match cause {
            Cause::Face => {
                let Event::Face(seen) = event else {
                    return Err(TestCaseError::fail("a face unlocked without being there"));
                };
                self.check_face_unlock(&seen, people)?;
            }
            Cause::RequestToExit => {
                prop_assert_eq!(event, Event::RequestToExit { pressed: true });
            }
            Cause::Command => prop_assert_eq!(event, Event::Command(Command::Unlock)),
        }
        let before = self.released;
        self.before = before;
        let exit = (cause == Cause::RequestToExit).then_some(self.now);
        self.released = Some(Released {
            since: before.map_or(self.now, |before| before.since),
            newest: self.now,
            last_exit: exit.or(before.and_then(|before| before.last_exit)),
            is_energised: before.is_some_and(|before| before.is_energised),
        });
        Ok(())
    }

    fn check_face_unlock(&mut self, seen: &Observation, people: &People) -> Checked {
        prop_assert!(self.now >= self.locked_out_until, "a face opened in a lockout");
        let audit = self.last(|event| match event {
            Event::Audit { writable } => Some(*writable),
            _ => None,
        });
        let audit_is_writable = audit.is_some_and(|(_, writable)| writable);
        prop_assert!(audit_is_writable || !self.policy.faces_need_audit, "without an audit");
        let camera = self.last(|event| match event {
            Event::Camera { up } => Some(*up),
            _ => None,
        });
        prop_assert!(camera.is_none_or(|(_, up)| up), "a face without a camera");

        let person = seen.best.map(|best| best.person);
        prop_assert!(qualifies(seen, &self.policy.votes), "opened by a frame that does not count");
        prop_assert!(self.lets_in(person, people), "opened for {person:?}");
        let votes = self.frames_that_may_count(seen, person);
        let needed = usize::from(self.policy.votes.needed);
        prop_assert!(votes >= needed, "opened by {votes} of {needed} frames");

        self.grants.push((self.history.len() - 1, seen.track));
        self.last_lockout = None;
        self.reached.face_unlocks += 1;
        Ok(())
    }

    /// How many of the last frames of this track are votes for this person, going back to whatever
    /// starts the count anew.
    fn frames_that_may_count(&self, seen: &Observation, person: Option<PersonId>) -> usize {
        let (mut frames, mut votes, mut next) = (0, 0, self.now);
        for (index, (at, event)) in self.history.iter().enumerate().rev() {
            let is_granted = self.grants.contains(&(index, seen.track));
            match event {
                Event::NoFace | Event::Camera { up: false } => break,
                Event::Face(frame) if frame.track == seen.track => {
                    let is_other = frame.best.is_some_and(|best| Some(best.person) != person)
                        && frame.quality == Quality::Good;
                    let is_gone = next.since(*at) >= self.policy.attempts.gap;
                    frames += 1;
                    if is_other || is_gone || is_granted || frames > self.policy.votes.of {
                        break;
                    }
                    let in_time = self.now.since(*at) <= self.policy.votes.within;
                    votes += usize::from(in_time && qualifies(frame, &self.policy.votes));
                    next = *at;
                }
                _ => {}
            }
        }
        votes
    }

    fn lets_in(&self, person: Option<PersonId>, people: &People) -> bool {
        let clock = self.last(|event| match event {
            Event::Clock(time) => Some(*time),
            _ => None,
        });
        match person {
            Some(RESIDENT) => true,
            Some(LODGER) => people.lodger_lives_here,
            Some(CLEANER) => clock.is_some_and(|(told, time)| {
                let is_fresh = self.now.since(told) < self.policy.clock_valid;
                // All minutes that the tests' clocks show on a Monday are within the slot.
                is_fresh && time.is_some_and(|time| time.weekday == Weekday::Monday)
            }),
            _ => false,
        }
    }

    fn last<T>(&self, pick: impl Fn(&Event) -> Option<T>) -> Option<(Millis, T)> {
        self.history.iter().rev().find_map(|(at, event)| Some((*at, pick(event)?)))
    }

    fn check_record(&mut self, record: &Record) -> Checked {
        prop_assert_eq!(record.at, self.now);
        match (record.outcome, record.evidence) {
            (Outcome::LockoutStarted(length), _) => self.check_lockout(length)?,
            (Outcome::Denied(denial), Some(evidence)) => {
                let reason = (evidence.track, std::mem::discriminant(&denial));
                prop_assert!(self.denied.insert(reason), "{reason:?} recorded twice");
                self.reached.denials += 1;
            }
            (Outcome::Granted, evidence) => {
                prop_assert_eq!(evidence.is_some(), record.cause == Cause::Face);
            }
            _ => {}
        }
        Ok(())
    }

    fn check_lockout(&mut self, length: Duration) -> Checked {
        let LockoutPolicy { first, longest, .. } = self.policy.lockout;
        prop_assert!(self.now >= self.locked_out_until, "a lockout in a lockout");
        if let Some(last) = self.last_lockout {
            let doubled = (last * 2).min(longest);
            prop_assert!(length == doubled || (self.may_be_forgotten() && length == first));
            self.reached.longer_lockouts += u32::from(length > first);
        } else {
            prop_assert_eq!(length, first);
        }
        (self.last_lockout, self.may_be_forgotten) = (Some(length), false);
        self.locked_out_until = self.now.after(length);
        self.reached.lockouts += 1;
        Ok(())
    }

    fn may_be_forgotten(&self) -> bool {
        let quiet = self.policy.lockout.quiet;
        self.may_be_forgotten || self.now.since(self.locked_out_until) >= quiet
    }

    /// Tracks that were not seen for the gap; should one come back, it is another one.
    fn tracks_that_are_gone(&self) -> HashSet<TrackId> {
        let mut last: HashMap<TrackId, Millis> = HashMap::new();
        for (at, event) in &self.history {
            if let Event::Face(frame) = event {
                last.insert(frame.track, *at);
            }
        }
        last.retain(|_, at| self.now.since(*at) >= self.policy.attempts.gap);
        last.into_keys().collect()
    }
}

/// What the core has to take an event for that it is told so late.
fn in_time(event: Event, late: Duration) -> Event {
    match event {
        Event::Face(_) if late > SECOND => Event::NoFace,
        Event::RequestToExit { .. } if late > 5 * SECOND => Event::Tick,
        event => event,
    }
}

fn qualifies(frame: &Observation, policy: &VotePolicy) -> bool {
    let Some(Candidate { score: Score(score), .. }) = frame.best else { return false };
    let is_cosine = |x: f32| (-1.0..=1.0).contains(&x);
    let is_ahead = match frame.second {
        None => true,
        Some(Score(second)) => is_cosine(second) && score - second >= policy.margin.0,
    };
    let is_live = match (policy.liveness, frame.liveness) {
        (_, Liveness::Spoof(_)) => false,
        (LivenessPolicy::UnknownAccepted, Liveness::Unknown) => true,
        (LivenessPolicy::Required(_), Liveness::Unknown) => false,
        (LivenessPolicy::UnknownAccepted, Liveness::Live(LivenessScore(s))) => s >= 0.0,
        (LivenessPolicy::Required(least), Liveness::Live(LivenessScore(s))) => s >= least.0,
    };
    is_cosine(score)
        && score >= policy.threshold.0
        && is_ahead
        && frame.quality == Quality::Good
        && is_live
}
