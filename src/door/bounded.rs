use super::{DoorError, Lock};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// A strike that would not lock is told again this often. 250 ms: four lines in the log a second, and
/// no hand gets further.
const RETRY: Duration = Duration::from_millis(250);
/// Nobody means a longer bound.
const LONGEST: Duration = Duration::from_secs(3600);

/// A strike that locks by itself: it is never energised for longer than `max_pulse`, whatever its
/// owner forgets, by a thread of its own.
///
/// - The time counts from the first [`unlock`](Lock::unlock) after a lock; further ones do not move it.
///   Within it the strike locks at the end of the last [`unlock_for`](Lock::unlock_for).
/// - A strike that fails to lock, at that time or when told to, is told again until it does.
/// - An owner that panics, with the strike in its hands as well, changes nothing about that.
///
/// The thread wakes late by what the scheduler makes it wait, some milliseconds on a loaded board. It
/// cannot help where the process itself is gone
/// ([what a destructor cannot promise](super#what-a-destructor-cannot-promise)), nor while a call into
/// the strike hangs, which a line on the processor's own chip does not do.
pub struct BoundedLock<L: Lock> {
    shared: Arc<Shared<L>>,
    max_pulse: Duration,
    guard: Option<JoinHandle<()>>,
}

/// How often the guard of a [`BoundedLock`] had to lock. A clone counts the same.
#[derive(Debug, Clone, Default)]
pub struct Interventions(Arc<AtomicU64>);

impl Interventions {
    /// How often so far.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct Shared<L> {
    state: Mutex<State<L>>,
    changed: Condvar,
    interventions: Interventions,
}

struct State<L> {
    lock: L,
    /// When the guard locks; `None` while the strike is known to be locked.
    deadline: Option<Instant>,
    /// When `max_pulse` is over; `None` while the strike is known to be locked.
    bound: Option<Instant>,
    is_closing: bool,
}

impl<L: Lock> Shared<L> {
    fn state(&self) -> MutexGuard<'_, State<L>> {
        // After a panic in the strike the deadline still stands, and that is all that is relied on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The guard's thread.
    fn watch(&self) {
        let mut state = self.state();
        while !state.is_closing {
            let left = state.deadline.map(|d| d.saturating_duration_since(Instant::now()));
            state = match left {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => {
                    self.step_in(&mut state);
                    state
                }
                Some(left) => {
                    let waited = self.changed.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn step_in(&self, state: &mut State<L>) {
        match catch_unwind(AssertUnwindSafe(|| state.secure())) {
            Ok(Ok(())) => {
                self.interventions.0.fetch_add(1, Ordering::Relaxed);
                log::warn!("{}: locked by its guard", state.lock.describe());
            }
            Ok(Err(error)) => log::error!("the guard cannot lock: {error}"),
            Err(_) => log::error!("the guard cannot lock: the strike panics"),
        }
    }
}

impl<L: Lock> State<L> {
    /// Locks, or has the guard try again.
    fn secure(&mut self) -> Result<(), DoorError> {
        self.deadline = Some(Instant::now() + RETRY);
        self.lock.lock()?;
        (self.deadline, self.bound) = (None, None);
        Ok(())
    }
}

impl<L: Lock + 'static> BoundedLock<L> {
    /// Locks the strike and sets a guard over it.
    ///
    /// # Errors
    /// [`DoorError::Bound`] unless `max_pulse` is from 1 ms to 1 h, [`DoorError::Thread`], or what the
    /// strike says to being locked.
    pub fn new(mut lock: L, max_pulse: Duration) -> Result<Self, DoorError> {
        lock.lock()?;
        if !(Duration::from_millis(1)..=LONGEST).contains(&max_pulse) {
            return Err(DoorError::Bound(max_pulse));
        }
        let shared = Arc::new(Shared {
            state: Mutex::new(State { lock, deadline: None, bound: None, is_closing: false }),
            changed: Condvar::new(),
            interventions: Interventions::default(),
        });
        let watched = shared.clone();
        let guard = thread::Builder::new().name("strike guard".into());
        let guard = guard.spawn(move || watched.watch()).map_err(DoorError::Thread)?;
        Ok(Self { shared, max_pulse, guard: Some(guard) })
    }

    /// A handle that tells how often the guard had to step in: each time is a fault of the owner.
    pub fn interventions(&self) -> Interventions {
        self.shared.interventions.clone()
    }
}

impl<L: Lock> Lock for BoundedLock<L> {
    fn unlock(&mut self) -> Result<(), DoorError> {
        self.unlock_for(self.max_pulse)
    }

    fn unlock_for(&mut self, most: Duration) -> Result<(), DoorError> {
        let mut state = self.shared.state();
        // Before the strike: where that panics or fails halfway, the time runs already.
        let now = Instant::now();
        let bound = *state.bound.get_or_insert(now + self.max_pulse);
        state.deadline = Some(bound.min(now + most.min(LONGEST)));
        self.shared.changed.notify_one();
        let unlocked = state.lock.unlock();
        if unlocked.is_err() {
            // Nobody knows what a failed call left on the line. If this fails too, the guard goes on.
            let _ = state.secure();
        }
        unlocked
    }

    fn lock(&mut self) -> Result<(), DoorError> {
        let secured = self.shared.state().secure();
        self.shared.changed.notify_one();
        secured
    }

    fn describe(&self) -> String {
        let strike = self.shared.state().lock.describe();
        format!("{strike}, for {:?} at most", self.max_pulse)
    }
}

impl<L: Lock> Drop for BoundedLock<L> {
    fn drop(&mut self) {
        self.shared.state().is_closing = true;
        self.shared.changed.notify_one();
        if let Some(guard) = self.guard.take() {
            // It catches what the strike throws and throws nothing itself.
            let _ = guard.join();
        }
        if let Err(error) = self.shared.state().secure() {
            log::error!("{error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::{
        SimLock, SimTimeline,
        StrikeState::{self, Locked, Unlocked},
    };

    const MAX: Duration = Duration::from_millis(40);

    fn bounded() -> (BoundedLock<SimLock>, SimTimeline) {
        let timeline = SimTimeline::default();
        (BoundedLock::new(SimLock::new(timeline.clone()), MAX).unwrap(), timeline)
    }

    /// Waits for a state, for as long as a loaded machine may take.
    fn comes_to(timeline: &SimTimeline, state: StrikeState) -> bool {
        let patience = Instant::now() + Duration::from_secs(10);
        while timeline.state() != Some(state) && Instant::now() < patience {
            thread::sleep(Duration::from_millis(1));
        }
        timeline.state() == Some(state)
    }

    fn states(timeline: &SimTimeline) -> Vec<StrikeState> {
        timeline.entries().iter().map(|(_, state)| *state).collect()
    }

    #[test]
    fn a_forgotten_strike_locks_by_itself_not_before_its_time_and_that_is_counted() {
        let (mut lock, timeline) = bounded();
        for round in 1..=2 {
            lock.unlock().unwrap();
            assert!(comes_to(&timeline, Locked));
            let entries = timeline.entries();
            let [.., (opened, Unlocked), (shut, Locked)] = entries[..] else {
                panic!("{entries:?}")
            };
            assert!(shut - opened >= MAX - Duration::from_millis(1), "{:?}", shut - opened);
            while lock.interventions().count() < round {
                thread::yield_now();
            }
        }
    }

    #[test]
    fn an_owner_that_locks_in_time_never_meets_the_guard() {
        let timeline = SimTimeline::default();
        let strike = SimLock::new(timeline.clone());
        // As long as a loaded machine may keep this thread from its second call.
        let mut lock = BoundedLock::new(strike, Duration::from_secs(20)).unwrap();
        lock.unlock().unwrap();
        lock.lock().unwrap();
        lock.lock().unwrap();
        assert!(lock.shared.state().deadline.is_none());
        assert_eq!(lock.interventions().count(), 0);
        assert_eq!(states(&timeline), [Locked, Unlocked, Locked]);
    }

    #[test]
    fn unlocking_again_and_again_does_not_move_the_end() {
        let (mut lock, timeline) = bounded();
        let patience = Instant::now() + Duration::from_secs(10);
        while states(&timeline).len() < 3 && Instant::now() < patience {
            lock.unlock().unwrap();
        }
        assert_eq!(states(&timeline)[..3], [Locked, Unlocked, Locked]);
    }

    #[test]
    fn a_strike_locks_at_the_end_of_its_last_time_and_never_after_the_bound() {
        let timeline = SimTimeline::default();
        let bound = Duration::from_secs(20);
        let mut lock = BoundedLock::new(SimLock::new(timeline.clone()), bound).unwrap();
        let begun = Instant::now();
        lock.unlock_for(Duration::from_secs(10)).unwrap();
        lock.unlock_for(Duration::from_millis(30)).unwrap();
        assert!(comes_to(&timeline, Locked) && begun.elapsed() < Duration::from_secs(9));
        lock.unlock_for(Duration::from_secs(10)).unwrap();
        let first = lock.shared.state().bound;
        lock.unlock_for(Duration::MAX).unwrap();
        let state = lock.shared.state();
        assert!(state.bound == first && state.deadline == first, "{first:?}");
    }

    #[test]
    fn dropping_locks_at_once_and_is_no_intervention() {
        let timeline = SimTimeline::default();
        let mut lock = BoundedLock::new(SimLock::new(timeline.clone()), LONGEST).unwrap();
        let interventions = lock.interventions();
        lock.unlock().unwrap();
        drop(lock);
        assert_eq!(states(&timeline), [Locked, Unlocked, Locked]);
        assert_eq!(interventions.count(), 0);
    }

    #[test]
    fn a_bound_that_is_none_is_refused_and_the_strike_is_locked() {
        for bound in [Duration::ZERO, LONGEST + Duration::from_nanos(1), Duration::MAX] {
            let timeline = SimTimeline::default();
            let refused = BoundedLock::new(SimLock::new(timeline.clone()), bound);
            assert!(matches!(refused, Err(DoorError::Bound(b)) if b == bound));
            assert_eq!(timeline.state(), Some(Locked));
        }
    }

    /// A strike that energises and then does what its faults say.
    struct Faulty {
        strike: SimLock,
        on_unlock: Fault,
        /// What happens to so many attempts to lock it once it has been energised.
        on_lock: (Fault, u32),
        has_been_open: bool,
    }

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Fault {
        Nothing,
        Error,
        Panic,
    }

    impl Fault {
        fn happen(self) -> Result<(), DoorError> {
            match self {
                Self::Nothing => Ok(()),
                Self::Error => Err(DoorError::NoRppal(0)),
                Self::Panic => panic!("as the test wants"),
            }
        }
    }

    impl Lock for Faulty {
        fn unlock(&mut self) -> Result<(), DoorError> {
            self.has_been_open = true;
            self.strike.unlock()?;
            self.on_unlock.happen()
        }

        fn lock(&mut self) -> Result<(), DoorError> {
            if self.has_been_open && self.on_lock.1 > 0 {
                self.on_lock.1 -= 1;
                self.on_lock.0.happen()?;
            }
            self.strike.lock()
        }

        fn describe(&self) -> String {
            "a faulty strike".into()
        }
    }

    fn faulty(on_unlock: Fault, on_lock: (Fault, u32)) -> (BoundedLock<Faulty>, SimTimeline) {
        let timeline = SimTimeline::default();
        let strike = SimLock::new(timeline.clone());
        let strike = Faulty { strike, on_unlock, on_lock, has_been_open: false };
        (BoundedLock::new(strike, MAX).unwrap(), timeline)
    }

    #[test]
    fn a_strike_that_panics_while_energised_is_locked_all_the_same() {
        let (mut lock, timeline) = faulty(Fault::Panic, (Fault::Nothing, 0));
        assert!(catch_unwind(AssertUnwindSafe(|| lock.unlock())).is_err());
        assert!(lock.shared.state.is_poisoned());
        assert!(comes_to(&timeline, Locked));
        lock.lock().unwrap();
    }

    #[test]
    fn a_strike_that_says_it_failed_to_unlock_is_locked_at_once() {
        let (mut lock, timeline) = faulty(Fault::Error, (Fault::Nothing, 0));
        assert!(lock.unlock().is_err());
        assert_eq!(states(&timeline), [Locked, Unlocked, Locked]);
    }

    #[test]
    fn a_strike_that_fails_to_lock_is_told_again_until_it_does() {
        for fault in [Fault::Error, Fault::Panic] {
            let (mut lock, timeline) = faulty(Fault::Nothing, (fault, 2));
            lock.unlock().unwrap();
            assert!(comes_to(&timeline, Locked), "{fault:?}");
        }
        let (mut lock, timeline) = faulty(Fault::Nothing, (Fault::Error, 1));
        lock.unlock().unwrap();
        assert!(lock.lock().is_err());
        assert!(comes_to(&timeline, Locked));
    }
}
