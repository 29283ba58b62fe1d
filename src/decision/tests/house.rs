//! The house that the stories happen in, and the words they are told in.

use super::*;

pub(super) const CLOSED: Event = Event::DoorContact { open: false };
pub(super) const AUDIT: Event = Event::Audit { writable: true };

/// A house with the default policy, a closed door and an audit that can be written.
pub(super) struct House {
    pub(super) core: Core,
    pub(super) now: u64,
    pub(super) saved: SavedState,
}

impl House {
    pub(super) fn new() -> Self {
        Self::with(Policy::default())
    }

    pub(super) fn with(policy: Policy) -> Self {
        Self::started(policy, SavedState::default(), 0)
    }

    pub(super) fn started(policy: Policy, saved: SavedState, now: u64) -> Self {
        let (core, actions) = Core::new(policy, &saved, Millis(now)).unwrap();
        assert_eq!(actions[..], [Action::Lock], "the first thing to do");
        Self { core, now, saved }.at(now, AUDIT, "").at(now, CLOSED, "")
    }

    /// Pulls the plug; the new clock starts at `now`.
    pub(super) fn restarted(self, now: u64) -> Self {
        Self::started(Policy::default(), self.saved, now)
    }

    /// At `time` ms this happens, and these are the actions since the line before.
    #[track_caller]
    pub(super) fn at(self, time: u64, event: Event, told: &str) -> Self {
        self.all(&[(time, event)], told)
    }

    /// Until `time` ms nothing happens.
    #[track_caller]
    pub(super) fn until(self, time: u64, told: &str) -> Self {
        self.at(time, Event::Tick, told)
    }

    /// From `time` ms on a face is seen `count` times, ten times a second.
    #[track_caller]
    pub(super) fn seen(self, time: u64, count: u64, seen: Observation, told: &str) -> Self {
        let frames: Vec<_> = (0..count).map(|i| (time + i * 100, Event::Face(seen))).collect();
        self.all(&frames, told)
    }

    #[track_caller]
    pub(super) fn all(mut self, events: &[(u64, Event)], told: &str) -> Self {
        let mut did = Vec::new();
        for &(time, event) in events {
            while let Some(Millis(due)) = self.core.next_deadline().filter(|due| due.0 < time) {
                assert!(due > self.now, "a deadline of the past");
                self.handle(Event::Tick, due, true, &mut did);
            }
            self.handle(event, time, false, &mut did);
        }
        assert_eq!(did.join("; "), told);
        self
    }

    pub(super) fn handle(
        &mut self,
        event: Event,
        time: u64,
        say_when: bool,
        did: &mut Vec<String>,
    ) {
        self.now = self.now.max(time);
        let people = People { lodger_lives_here: true };
        for action in self.core.handle(event, Millis(time), &people) {
            if let Action::Save(state) = action {
                self.saved = state;
            }
            let when = if say_when { format!("{time}: ") } else { String::new() };
            did.push(format!("{when}{}", text(&action)));
        }
    }
}

fn text(action: &Action) -> String {
    match action {
        Action::Unlock { cause, until } => format!("unlock for {cause:?} until {}", until.0),
        Action::Lock => "lock".into(),
        Action::Record(record) => match record.outcome {
            Outcome::Granted => "granted".into(),
            Outcome::Denied(denial) => format!("denied: {denial:?}"),
            Outcome::LockoutStarted(length) => format!("locked out for {length:?}"),
            outcome => format!("recorded {outcome:?}"),
        },
        Action::Hint(Hint::Wait { until }) => format!("show Wait until {}", until.0),
        Action::Hint(hint) => format!("show {hint:?}"),
        Action::Alarm { kind, raised: true } => format!("alarm {kind:?}"),
        Action::Alarm { kind, raised: false } => format!("no more {kind:?}"),
        Action::Save(state) => format!("save {}", state_text(state)),
    }
}

/// Only what differs from a fresh start.
fn state_text(state: &SavedState) -> String {
    [
        (state.misses > 0).then(|| format!("{} missed", state.misses)),
        (state.lockouts > 0).then(|| format!("{} lockouts", state.lockouts)),
        (!state.remaining.is_zero()).then(|| format!("{:?} left", state.remaining)),
        state.lockdown.then(|| "lockdown".into()),
    ]
    .into_iter()
    .flatten()
    .reduce(|all, part| format!("{all}, {part}"))
    .unwrap_or("nothing".into())
}
