use super::{policy::LockoutPolicy, time::Millis};
use std::time::Duration;

/// What must be kept over a restart. The default is a fresh start. Moments cannot be kept, as the
/// clock starts anew at boot, so a lockout is kept as what remained of it; that counts in full
/// again, so pulling the plug never makes one shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SavedState {
    /// Misses since the last lockout or grant.
    pub misses: u8,
    /// Lockouts since the last grant or quiet time.
    pub lockouts: u8,
    /// How long faces stay locked out; zero outside a lockout.
    pub remaining: Duration,
    /// Whether there is a lockdown: one that a power cut releases would be none.
    pub lockdown: bool,
}

/// Counts misses, and keeps faces out for a while after too many.
///
/// In a lockout nothing is counted, as nothing can be tried. A face's grant resets all; the exit
/// button's and a command's do not, as they say nothing about who stands outside.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Lockout {
    misses: u8,
    count: u8,
    until: Option<Millis>,
    /// The last miss, or the end of the last lockout.
    quiet_since: Millis,
}

impl Lockout {
    /// What was saved, from now on. A time that no lockout can last (a damaged file, a policy that
    /// was shortened) is cut to the longest.
    pub(super) fn restored(saved: &SavedState, now: Millis, policy: &LockoutPolicy) -> Self {
        let remaining = saved.remaining.min(policy.longest);
        Self {
            misses: saved.misses,
            count: saved.lockouts,
            until: (!remaining.is_zero()).then(|| now.after(remaining)),
            quiet_since: now,
        }
    }

    /// Until when faces are locked out; `None` when they are not.
    pub(super) fn until(&self) -> Option<Millis> {
        self.until
    }

    /// Ends what is over by `now`.
    pub(super) fn advance(&mut self, now: Millis, policy: &LockoutPolicy) {
        if let Some(until) = self.until.take_if(|until| *until <= now) {
            self.quiet_since = until;
        }
        if self.forgotten_at(policy).is_some_and(|at| at <= now) {
            self.reset();
        }
    }

    /// Counts a miss; how long the lockout is that it starts, if it does.
    pub(super) fn miss(&mut self, now: Millis, policy: &LockoutPolicy) -> Option<Duration> {
        if self.until.is_some() {
            return None;
        }
        self.quiet_since = now;
        self.misses = self.misses.saturating_add(1);
        if self.misses < policy.misses {
            return None;
        }
        let doubled =
            1_u32.checked_shl(self.count.into()).and_then(|n| policy.first.checked_mul(n));
        let length = doubled.unwrap_or(policy.longest).min(policy.longest);
        self.until = Some(now.after(length));
        self.misses = 0;
        self.count = self.count.saturating_add(1);
        Some(length)
    }

    /// Forgets all misses and lockouts.
    pub(super) fn reset(&mut self) {
        (self.misses, self.count) = (0, 0);
    }

    /// When [`advance`](Self::advance) has something to do.
    pub(super) fn deadline(&self, policy: &LockoutPolicy) -> Option<Millis> {
        self.until.or(self.forgotten_at(policy))
    }

    fn forgotten_at(&self, policy: &LockoutPolicy) -> Option<Millis> {
        let counted = self.until.is_none() && (self.misses, self.count) != (0, 0);
        counted.then(|| self.quiet_since.after(policy.quiet))
    }

    /// What must be kept over a restart.
    pub(super) fn saved(&self, now: Millis, lockdown: bool) -> SavedState {
        SavedState {
            misses: self.misses,
            lockouts: self.count,
            remaining: self.until.map_or(Duration::ZERO, |until| until.since(now)),
            lockdown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn fresh() -> Lockout {
        Lockout::restored(&SavedState::default(), Millis(0), &LockoutPolicy::default())
    }

    /// Misses until locked out; the length, and when it ends.
    fn lock_out(lockout: &mut Lockout, now: Millis) -> (Duration, Millis) {
        let policy = LockoutPolicy::default();
        let length = (0..policy.misses).find_map(|_| lockout.miss(now, &policy)).unwrap();
        (length, lockout.until().unwrap())
    }

    #[test]
    fn each_lockout_is_twice_as_long_up_to_the_longest() {
        let (mut lockout, mut now) = (fresh(), Millis(0));
        let mut lengths = Vec::new();
        for _ in 0..300 {
            let (length, until) = lock_out(&mut lockout, now);
            assert_eq!(until.since(now), length);
            lengths.push(length.as_secs());
            lockout.advance(until, &LockoutPolicy::default());
            now = until;
        }
        assert_eq!(lengths[..6], [30, 60, 120, 240, 480, 900]);
        assert!(lengths[6..].iter().all(|&length| length == 900), "also when the count is full");
    }

    #[test]
    fn misses_in_a_lockout_do_not_count() {
        let policy = LockoutPolicy::default();
        let mut lockout = fresh();
        let (_, until) = lock_out(&mut lockout, Millis(0));
        assert!((0..100).all(|_| lockout.miss(Millis(1), &policy).is_none()));
        assert_eq!(lockout.until(), Some(until));
        lockout.advance(until, &policy);
        assert!((1..policy.misses).all(|_| lockout.miss(until, &policy).is_none()));
        assert_eq!(lockout.miss(until, &policy), Some(60 * SECOND));
    }

    #[test]
    fn a_quiet_time_after_the_last_lockout_forgets_all() {
        let policy = LockoutPolicy::default();
        let mut lockout = fresh();
        let (_, until) = lock_out(&mut lockout, Millis(0));
        let forgotten = until.after(policy.quiet);
        lockout.advance(Millis(forgotten.0 - 1), &policy);
        assert_eq!(lockout.saved(forgotten, false).lockouts, 1);
        assert_eq!(lockout.deadline(&policy), Some(forgotten));
        lockout.advance(forgotten, &policy);
        assert_eq!(lockout.saved(forgotten, false), SavedState::default());
        assert_eq!(lockout.deadline(&policy), None);
    }

    #[test]
    fn a_restart_counts_what_remained_in_full_and_no_more_than_the_longest() {
        let policy = LockoutPolicy::default();
        let mut lockout = fresh();
        lock_out(&mut lockout, Millis(0));
        let saved = lockout.saved(Millis(10_000), true);
        let kept = SavedState { misses: 0, lockouts: 1, remaining: 20 * SECOND, lockdown: true };
        assert_eq!(saved, kept);
        let again = Lockout::restored(&saved, Millis(700), &policy);
        assert_eq!(again.until(), Some(Millis(20_700)));
        let damaged = SavedState { misses: 255, lockouts: 255, remaining: Duration::MAX, ..kept };
        let mut again = Lockout::restored(&damaged, Millis(0), &policy);
        assert_eq!(again.until(), Some(Millis(0).after(policy.longest)));
        again.advance(Millis(900_000), &policy);
        assert_eq!(again.miss(Millis(900_000), &policy), Some(policy.longest));
    }
}
