//! A door that is not there: for tests and for trying everything else without one.

use super::{DoorError, InputEvent, InputKind, InputRole, Inputs, Lock, clock::monotonic};
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

/// What the strike is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StrikeState {
    /// At rest: the door is shut.
    Locked,
    /// Energised: the door can be pushed open.
    Unlocked,
}

/// When a simulated strike was energised and when not. A clone is a handle to the same timeline.
#[derive(Debug, Clone)]
pub struct SimTimeline {
    begun: Instant,
    entries: Arc<Mutex<Vec<(Duration, StrikeState)>>>,
}

impl Default for SimTimeline {
    /// An empty one, which begins now.
    fn default() -> Self {
        Self { begun: Instant::now(), entries: Arc::default() }
    }
}

impl SimTimeline {
    /// Every change so far: how long after the timeline began, and to what. The first is to
    /// [`Locked`](StrikeState::Locked), when the lock was opened.
    pub fn entries(&self) -> Vec<(Duration, StrikeState)> {
        self.locked().clone()
    }

    /// The state now; `None` before a lock was opened on this timeline.
    pub fn state(&self) -> Option<StrikeState> {
        self.locked().last().map(|(_, state)| *state)
    }

    fn record(&self, state: StrikeState) {
        let mut entries = self.locked();
        if entries.last().is_none_or(|(_, last)| *last != state) {
            entries.push((self.begun.elapsed(), state));
        }
    }

    fn locked(&self) -> MutexGuard<'_, Vec<(Duration, StrikeState)>> {
        // A push is all that happens under the mutex, so what a panic elsewhere left is whole.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A strike that writes down what it would have done.
#[derive(Debug)]
pub struct SimLock(SimTimeline);

impl SimLock {
    /// Opens a strike on a timeline, locked.
    pub fn new(timeline: SimTimeline) -> Self {
        timeline.record(StrikeState::Locked);
        Self(timeline)
    }
}

impl Lock for SimLock {
    fn unlock(&mut self) -> Result<(), DoorError> {
        self.0.record(StrikeState::Unlocked);
        Ok(())
    }

    fn lock(&mut self) -> Result<(), DoorError> {
        self.0.record(StrikeState::Locked);
        Ok(())
    }

    fn describe(&self) -> String {
        "a simulated strike".into()
    }
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.0.record(StrikeState::Locked);
    }
}

/// Inputs that a [`SimPanel`] moves.
#[derive(Debug)]
pub struct SimInputs {
    ready: VecDeque<InputEvent>,
    events: Receiver<InputEvent>,
}

/// Moves [`SimInputs`] from any thread; clones move the same ones.
#[derive(Debug, Clone)]
pub struct SimPanel(Sender<InputEvent>);

impl SimInputs {
    /// Inputs at rest (the door closed, nothing pressed, nobody at the device), and the panel that
    /// moves them. Once the panel and its clones are gone they stay as they are.
    pub fn new(roles: &[InputRole]) -> (Self, SimPanel) {
        let (sender, events) = channel();
        let at = monotonic();
        let ready = roles.iter().map(|role| InputEvent { kind: role.kind(false), at }).collect();
        (Self { ready, events }, SimPanel(sender))
    }
}

impl SimPanel {
    /// Puts an input into a state, now. Nothing is debounced. Does nothing when the inputs are gone.
    pub fn set(&self, kind: InputKind) {
        let _ = self.0.send(InputEvent { kind, at: monotonic() });
    }
}

impl Inputs for SimInputs {
    fn poll(&mut self, timeout: Duration) -> Result<Option<InputEvent>, DoorError> {
        if let Some(event) = self.ready.pop_front() {
            return Ok(Some(event));
        }
        match self.events.recv_timeout(timeout) {
            Ok(event) => Ok(Some(event)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                thread::sleep(timeout);
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strike_is_locked_when_opened_and_when_dropped_and_repeats_are_no_entries() {
        let timeline = SimTimeline::default();
        assert_eq!(timeline.state(), None);
        let mut lock = SimLock::new(timeline.clone());
        for _ in 0..2 {
            lock.unlock().unwrap();
        }
        assert_eq!(timeline.state(), Some(StrikeState::Unlocked));
        for _ in 0..2 {
            lock.lock().unwrap();
        }
        lock.unlock().unwrap();
        drop(lock);
        use StrikeState::{Locked, Unlocked};
        let (times, states): (Vec<_>, Vec<_>) = timeline.entries().into_iter().unzip();
        assert_eq!(states, [Locked, Unlocked, Locked, Unlocked, Locked]);
        assert!(times.is_sorted());
    }

    #[test]
    fn the_panel_moves_the_inputs_from_another_thread() {
        let (mut inputs, panel) = SimInputs::new(&[InputRole::Tamper]);
        thread::spawn(move || panel.set(InputKind::Tamper { active: true })).join().unwrap();
        let mut next = || inputs.poll(Duration::from_millis(1)).unwrap().map(|event| event.kind);
        assert_eq!(next(), Some(InputKind::Tamper { active: false }));
        assert_eq!(next(), Some(InputKind::Tamper { active: true }));
        assert_eq!(next(), None);
    }
}
