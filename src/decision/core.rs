use super::{
    action::{Action, Actions, AlarmKind, Cause, Denial, Evidence, Hint, Outcome, Record, emit},
    alarm::Alarms,
    door::{Door, Movement},
    event::{Command, Event, Observation, PersonId},
    lockout::{Lockout, SavedState},
    policy::{Policy, PolicyError},
    roster::{Permission, Roster},
    schedule::WallClock,
    strike::Strike,
    time::Millis,
    track::{Failures, Tracks},
    votes::vote,
};

/// All that decides about the door. The same events at the same moments give the same actions.
#[derive(Debug)]
pub struct Core {
    policy: Policy,
    now: Millis,
    strike: Strike,
    /// As it was when it was released last.
    before: Strike,
    door: Door,
    alarms: Alarms,
    tracks: Tracks,
    lockout: Lockout,
    clock: WallClock,
    is_lockdown: bool,
    is_camera_up: bool,
    is_audit_writable: bool,
    shown: Hint,
    saved: (Lockout, bool),
}

impl Core {
    /// A core that goes on from what was saved, and what to do first: lock.
    ///
    /// The camera counts as up and the audit as not writable until an event tells; the door contact
    /// and the time of day are unknown until then.
    ///
    /// # Errors
    /// [`PolicyError`] from [`Policy::check`].
    pub fn new(
        policy: Policy,
        saved: &SavedState,
        now: Millis,
    ) -> Result<(Self, Actions), PolicyError> {
        policy.check()?;
        let lockout = Lockout::restored(saved, now, &policy.lockout);
        let strike = Strike::Locked { released: None };
        let core = Self {
            policy,
            now,
            strike,
            before: strike,
            door: Door::Unknown,
            alarms: Alarms::default(),
            tracks: Tracks::default(),
            lockout,
            clock: WallClock::default(),
            is_lockdown: saved.lockdown,
            is_camera_up: true,
            is_audit_writable: false,
            shown: Hint::Clear,
            saved: (lockout, saved.lockdown),
        };
        let mut actions = Actions::new();
        emit(&mut actions, Action::Lock);
        Ok((core, actions))
    }

    /// Takes an event that happened at `now`; what to do about it, in order. An event older than
    /// one before it counts as of the same moment as that one, unless [it is too old](Event::told_late).
    #[must_use = "a lock that is not carried out is an open door"]
    pub fn handle(&mut self, event: Event, now: Millis, roster: &dyn Roster) -> Actions {
        let mut actions = Actions::new();
        self.now = self.now.max(now);
        let event = event.told_late(self.now.since(now));
        self.advance(&mut actions);
        match event {
            Event::Face(seen) => self.face(&seen, roster, &mut actions),
            Event::NoFace => self.tracks.clear_votes(),
            Event::RequestToExit { pressed } => self.exit(pressed, &mut actions),
            Event::DoorContact { open } => self.contact(open, &mut actions),
            Event::Tamper { active } => self.alarms.set(AlarmKind::Tamper, active, &mut actions),
            Event::Camera { up } => self.camera(up, &mut actions),
            Event::Audit { writable } => self.is_audit_writable = writable,
            Event::Clock(time) => self.clock.set(time, self.now),
            Event::Command(command) => self.command(command, &mut actions),
            Event::Energised => self.strike.energised(self.now, &self.policy.strike),
            Event::Unrecorded => self.take_back(&mut actions),
            Event::Tick => {}
        }
        self.settle(&mut actions);
        actions
    }

    /// Goes by other rules from now on. What is under way goes on: a pulse, a lockout, an attempt. Votes
    /// start anew, as those so far were given by the old rules.
    ///
    /// # Errors
    /// [`PolicyError`] from [`Policy::check`]; the old rules stay then.
    pub fn set_policy(&mut self, policy: Policy) -> Result<(), PolicyError> {
        policy.check()?;
        self.policy = policy;
        self.tracks.clear_votes();
        Ok(())
    }

    /// Until when the strike is to be released; `None` while it is to be locked.
    pub fn released_until(&self) -> Option<Millis> {
        self.strike.deadline()
    }

    /// Whether the door is closed to everybody by command.
    pub fn is_lockdown(&self) -> bool {
        self.is_lockdown
    }

    /// When to send the next [`Event::Tick`], if no other event comes before; `None` where nothing
    /// is waited for.
    pub fn next_deadline(&self) -> Option<Millis> {
        [
            self.strike.deadline(),
            self.tracks.deadline(&self.policy.attempts),
            self.lockout.deadline(&self.policy.lockout),
            self.door.deadline(self.now, &self.policy.door),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Does what time alone brings.
    fn advance(&mut self, actions: &mut Actions) {
        self.lock_if_due(actions);
        self.lockout.advance(self.now, &self.policy.lockout);
        let failures = self.tracks.advance(self.now, &self.policy);
        self.count(&failures, actions);
        if self.door.is_held(self.now, &self.policy.door) {
            self.alarms.set(AlarmKind::HeldOpen, true, actions);
        }
    }

    /// Does what any event may have brought: it ends the pulse, changes what to keep or to show.
    fn settle(&mut self, actions: &mut Actions) {
        self.lock_if_due(actions);
        if self.saved != (self.lockout, self.is_lockdown) {
            self.saved = (self.lockout, self.is_lockdown);
            emit(actions, Action::Save(self.lockout.saved(self.now, self.is_lockdown)));
        }
        let hint = self.hint();
        if self.shown != hint {
            self.shown = hint;
            emit(actions, Action::Hint(hint));
        }
    }

    fn face(&mut self, seen: &Observation, roster: &dyn Roster, actions: &mut Actions) {
        if !self.is_camera_up {
            return;
        }
        let vote = vote(seen, &self.policy.votes);
        let closed = self.closed_to_faces();
        let refusal = closed.or_else(|| self.refusal(vote.ok()?, roster));
        let wait = closed.map(|denial| self.hint_for(denial));
        let refusal_hint = refusal.map(|denial| (denial, self.hint_for(denial)));

        let Some(track) = self.tracks.follow(seen.track, self.now) else { return };
        track.note(seen, self.lockout.until().is_some());
        let is_enough = track.votes.add(self.now, seen, vote.is_ok(), &self.policy.votes);
        if vote.is_err() || !is_enough {
            let policy = &self.policy.attempts;
            track.hint = wait.unwrap_or_else(|| track.hint_after(vote.err(), policy));
            return;
        }
        if track.has_just_been_granted(self.now, &self.policy.attempts) {
            track.hint = Hint::Clear;
            return;
        }
        let evidence = Some(Evidence::of(seen, &self.policy.votes));
        if let Some((denial, hint)) = refusal_hint {
            track.hint = hint;
            if track.refuse(denial) {
                self.record(Cause::Face, Outcome::Denied(denial), evidence, actions);
            }
            return;
        }
        track.grant(self.now);
        self.lockout.reset();
        self.release(Cause::Face, evidence, actions);
    }

    /// Why no face opens now, whosever it is.
    fn closed_to_faces(&self) -> Option<Denial> {
        match () {
            () if self.is_lockdown => Some(Denial::Lockdown),
            () if self.lockout.until().is_some() => Some(Denial::Lockout),
            () if self.policy.faces_need_audit && !self.is_audit_writable => {
                Some(Denial::AuditNotWritable)
            }
            () => None,
        }
    }

    /// Why this person is not let in now.
    fn refusal(&self, person: PersonId, roster: &dyn Roster) -> Option<Denial> {
        match roster.permission(person) {
            Permission::Never => Some(Denial::NotPermitted),
            Permission::Always => None,
            Permission::Scheduled(schedule) => {
                match self.clock.at(self.now, self.policy.clock_valid) {
                    None => Some(Denial::ClockUnsynchronised),
                    Some(time) if schedule.allows(time) => None,
                    Some(_) => Some(Denial::OutsideSchedule),
                }
            }
        }
    }

    /// Records attempts that came to nothing and counts the misses among them.
    fn count(&mut self, failures: &Failures, actions: &mut Actions) {
        for failure in failures {
            let evidence = Some(Evidence::of(&failure.nearest, &self.policy.votes));
            if failure.is_news {
                self.record(Cause::Face, Outcome::Denied(failure.denial), evidence, actions);
            }
            if failure.is_miss
                && let Some(length) = self.lockout.miss(self.now, &self.policy.lockout)
            {
                self.record(Cause::Face, Outcome::LockoutStarted(length), evidence, actions);
            }
        }
    }

    fn exit(&mut self, pressed: bool, actions: &mut Actions) {
        if !pressed {
            return;
        }
        let denial = match () {
            () if self.is_lockdown && !self.policy.exit_in_lockdown => Denial::Lockdown,
            () if self.lockout.until().is_some() && !self.policy.exit_in_lockout => Denial::Lockout,
            () => return self.release(Cause::RequestToExit, None, actions),
        };
        self.record(Cause::RequestToExit, Outcome::Denied(denial), None, actions);
    }

    fn command(&mut self, command: Command, actions: &mut Actions) {
        let outcome = match command {
            Command::Unlock if self.is_lockdown => Outcome::Denied(Denial::Lockdown),
            Command::Unlock => return self.release(Cause::Command, None, actions),
            Command::Lock => {
                self.lock(actions);
                Outcome::Locked
            }
            Command::Lockdown(set) => {
                self.is_lockdown = set;
                if set {
                    self.lock(actions);
                }
                Outcome::Lockdown(set)
            }
        };
        self.record(Cause::Command, outcome, None, actions);
    }

    fn contact(&mut self, open: bool, actions: &mut Actions) {
        let lets_open = self.strike.lets_open(self.now, self.policy.door.grace);
        match self.door.report(open, self.now, lets_open) {
            Movement::None => {}
            Movement::Opened { forced: true } => {
                self.alarms.set(AlarmKind::ForcedOpen, true, actions);
            }
            Movement::Opened { forced: false } => {
                self.strike.opened(self.now, &self.policy.strike);
            }
            Movement::Closed => {
                self.alarms.set(AlarmKind::ForcedOpen, false, actions);
                self.alarms.set(AlarmKind::HeldOpen, false, actions);
            }
        }
    }

    fn camera(&mut self, up: bool, actions: &mut Actions) {
        self.is_camera_up = up;
        self.alarms.set(AlarmKind::CameraLost, !up, actions);
        if !up {
            let failures = self.tracks.end(&self.policy);
            self.count(&failures, actions);
        }
    }

    fn release(&mut self, cause: Cause, evidence: Option<Evidence>, actions: &mut Actions) {
        self.before = self.strike;
        let until = self.strike.release(cause, self.now, &self.policy.strike);
        emit(actions, Action::Unlock { cause, until });
        self.record(cause, Outcome::Granted, evidence, actions);
    }

    fn lock(&mut self, actions: &mut Actions) {
        self.strike.lock(self.now);
        emit(actions, Action::Lock);
    }

    fn take_back(&mut self, actions: &mut Actions) {
        self.strike.take_back(self.before, self.now);
        if self.strike.deadline().is_none() {
            emit(actions, Action::Lock);
        }
    }

    fn lock_if_due(&mut self, actions: &mut Actions) {
        if self.strike.deadline().is_some_and(|until| until <= self.now) {
            self.lock(actions);
        }
    }

    fn record(
        &self,
        cause: Cause,
        outcome: Outcome,
        evidence: Option<Evidence>,
        actions: &mut Actions,
    ) {
        emit(actions, Action::Record(Record { at: self.now, cause, outcome, evidence }));
    }

    /// What to show to somebody refused for this reason.
    fn hint_for(&self, denial: Denial) -> Hint {
        match (denial, self.lockout.until()) {
            (Denial::Lockout, Some(until)) => Hint::Wait { until },
            (Denial::AuditNotWritable, _) => Hint::OutOfOrder,
            (Denial::Lockdown | Denial::OutsideSchedule | Denial::ClockUnsynchronised, _) => {
                Hint::NotNow
            }
            _ => Hint::NotRecognised,
        }
    }

    /// What to show now. That the exit button opened the door is not for somebody outside.
    fn hint(&self) -> Hint {
        match self.strike.released_for() {
            _ if self.door.is_nearly_held(self.now, &self.policy.door) => Hint::CloseDoor,
            Some(Cause::Face | Cause::Command) => Hint::Open,
            _ if !self.is_camera_up => Hint::OutOfOrder,
            Some(Cause::RequestToExit) | None => self.tracks.hint(),
        }
    }
}
