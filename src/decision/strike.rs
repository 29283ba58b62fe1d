use super::{action::Cause, policy::StrikePolicy, time::Millis};

/// The strike: locked, or released until some moment.
#[derive(Debug, Clone, Copy)]
pub(super) enum Strike {
    /// Locked; the last release ended then, if there was one since the start.
    Locked { released: Option<Millis> },
    /// Released for `cause` without a lock in between since `since`: the decision, or once it is energised
    /// that moment.
    Released { since: Millis, until: Millis, cause: Cause, is_energised: bool },
}

impl Strike {
    /// Releases it for a pulse from now on; until when it stays so now.
    pub(super) fn release(&mut self, cause: Cause, now: Millis, policy: &StrikePolicy) -> Millis {
        let pulse_end = now.after(policy.pulse);
        let (since, until) = match (&*self, cause) {
            (Self::Locked { .. }, _) => (now, pulse_end),
            (&Self::Released { since, .. }, Cause::RequestToExit) => (since, pulse_end),
            (&Self::Released { since, until, .. }, Cause::Face | Cause::Command) => {
                (since, until.max(pulse_end.min(since.after(policy.longest))))
            }
        };
        let is_energised = matches!(self, Self::Released { is_energised: true, .. });
        *self = Self::Released { since, until, cause, is_energised };
        until
    }

    /// Its line is driven from now on, so the time counts from here. Once only: nothing but a further grant
    /// makes a release longer.
    pub(super) fn energised(&mut self, now: Millis, policy: &StrikePolicy) {
        if let Self::Released { since, until, is_energised, .. } = self
            && !*is_energised
        {
            let late = now.since(*since);
            let pulse_end = now.after(policy.pulse);
            (*since, *until, *is_energised) = (now, until.after(late).min(pulse_end), true);
        }
    }

    /// Takes the last release back: it is as it was before, released never longer than now; where that cannot
    /// be, it locks.
    pub(super) fn take_back(&mut self, before: Self, now: Millis) {
        match (&mut *self, before) {
            (Self::Released { until, cause, .. }, Self::Released { until: end, cause: by, .. })
                if end > now =>
            {
                (*until, *cause) = (end.min(*until), by);
            }
            (Self::Released { is_energised: false, .. }, Self::Locked { .. }) => *self = before,
            _ => self.lock(now),
        }
    }

    /// The door has opened, so it may lock earlier.
    pub(super) fn opened(&mut self, now: Millis, policy: &StrikePolicy) {
        if let (Self::Released { until, .. }, Some(delay)) = (self, policy.relock_on_open) {
            *until = now.after(delay).min(*until);
        }
    }

    /// Locks it.
    pub(super) fn lock(&mut self, now: Millis) {
        if let Self::Released { .. } = self {
            *self = Self::Locked { released: Some(now) };
        }
    }

    /// When it must lock; `None` while it is locked.
    pub(super) fn deadline(&self) -> Option<Millis> {
        match *self {
            Self::Locked { .. } => None,
            Self::Released { until, .. } => Some(until),
        }
    }

    /// For whom it is released.
    pub(super) fn released_for(&self) -> Option<Cause> {
        match *self {
            Self::Locked { .. } => None,
            Self::Released { cause, .. } => Some(cause),
        }
    }

    /// Whether a door that opens now was free to.
    pub(super) fn lets_open(&self, now: Millis, grace: std::time::Duration) -> bool {
        match *self {
            Self::Locked { released } => released.is_some_and(|end| now.since(end) <= grace),
            Self::Released { .. } => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_further_grant_moves_the_end_to_its_own_pulse_within_bounds() {
        // Pulse 3 s, at most 15 s.
        let policy = StrikePolicy { relock_on_open: None, ..StrikePolicy::default() };
        let mut strike = Strike::Locked { released: None };
        for (cause, at, until) in [
            (Cause::Face, 0, 3_000),
            (Cause::Command, 2_000, 5_000),
            (Cause::Face, 4_000, 7_000),
            (Cause::Face, 6_500, 9_500),
            (Cause::Face, 9_000, 12_000),
            (Cause::Face, 11_000, 14_000),
            (Cause::Face, 13_000, 15_000),
            (Cause::Command, 14_999, 15_000),
            (Cause::RequestToExit, 14_999, 17_999),
            (Cause::Face, 16_000, 17_999),
        ] {
            assert_eq!(strike.release(cause, Millis(at), &policy), Millis(until), "at {at} ms");
        }
        strike.lock(Millis(17_999));
        // The record is on the disk 700 ms after the decision: a whole pulse from there, and no more.
        assert_eq!(strike.release(Cause::Face, Millis(18_000), &policy), Millis(21_000));
        for now in [18_700, 19_000] {
            strike.energised(Millis(now), &policy);
            assert_eq!(strike.deadline(), Some(Millis(21_700)), "at {now}");
        }
        assert_eq!(strike.release(Cause::Face, Millis(21_000), &policy), Millis(24_000));
        strike.energised(Millis(21_500), &policy);
        assert_eq!(strike.deadline(), Some(Millis(24_000)), "it is driven already");
        strike.lock(Millis(24_000));
        strike.energised(Millis(24_001), &policy);
        assert_eq!(strike.deadline(), None);
        assert_eq!(strike.release(Cause::Face, Millis(25_000), &policy), Millis(28_000));
    }

    #[test]
    fn a_release_that_is_taken_back_leaves_the_one_before_and_no_longer() {
        let policy = StrikePolicy::default();
        let locked = Strike::Locked { released: None };
        let exit = || {
            let mut strike = locked;
            strike.release(Cause::RequestToExit, Millis(0), &policy);
            strike
        };
        // Before, what happens meanwhile, taken back at, released until then.
        type Case = (Strike, fn(&mut Strike), u64, Option<u64>);
        let cases: [Case; 5] = [
            (exit(), |_| {}, 2_000, Some(3_000)),
            (exit(), |_| {}, 3_000, None),
            (exit(), |strike| strike.opened(Millis(1_500), &StrikePolicy::default()), 1_500, {
                policy.relock_on_open.map(|delay| 1_500 + delay.as_millis() as u64)
            }),
            (exit(), |strike| strike.lock(Millis(1_800)), 2_000, None),
            (locked, |_| {}, 2_000, None),
        ];
        for (i, (before, meanwhile, at, until)) in cases.into_iter().enumerate() {
            let mut strike = before;
            strike.release(Cause::Face, Millis(1_000), &policy);
            meanwhile(&mut strike);
            strike.take_back(before, Millis(at));
            assert_eq!(strike.deadline(), until.map(Millis), "case {i}");
            let by = until.map(|_| Cause::RequestToExit);
            assert_eq!(strike.released_for(), by, "case {i}");
            let moved = !matches!(before, Strike::Locked { .. });
            let lets_open = strike.lets_open(Millis(at + 1), Duration::from_secs(2));
            assert_eq!(lets_open, moved, "case {i}: forced only where it never moved");
        }
    }
}
