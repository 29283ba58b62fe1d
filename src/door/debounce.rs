use std::time::Duration;

/// Believes a level when it has stayed for a period; pure, with time as an argument.
///
/// The first level is held to that as well, so that a glitch at the start is no report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Debouncer {
    /// For the first level, and for those after it.
    periods: [Duration; 2],
    believed: Option<bool>,
    /// A level that is not believed yet, and since when it has been there.
    pending: Option<(bool, Duration)>,
    latest: Duration,
}

/// A level that has stayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// The level.
    pub level: bool,
    /// Since when it has been there.
    pub since: Duration,
}

impl Debouncer {
    /// One that believes nothing yet. With a period of zero it believes everything at once.
    pub fn new(period: Duration) -> Self {
        Self { periods: [period; 2], believed: None, pending: None, latest: Duration::ZERO }
    }

    /// One behind another debouncer (the kernel's) of the same period, so that an input is not late
    /// twice: it holds only the first level to the period. That one the other passes on as it is, and
    /// it may be wrong: a pull that was switched on just now has a long cable to charge.
    pub fn behind_another(period: Duration) -> Self {
        Self { periods: [period, Duration::ZERO], ..Self::new(period) }
    }

    fn period(&self) -> Duration {
        self.periods[usize::from(self.believed.is_some())]
    }

    /// The level was seen at a moment. Returns what has become believed by then: mostly a level that
    /// was seen before, whose period ended before this one came. A moment before one that was told
    /// already counts as that one.
    pub fn sample(&mut self, level: bool, at: Duration) -> Option<Settled> {
        let before = self.settle(at);
        if self.believed == Some(level) {
            self.pending = None;
        } else if self.pending.is_none_or(|(pending, _)| pending != level) {
            self.pending = Some((level, self.latest));
        }
        before.or_else(|| self.settle(at))
    }

    /// Nothing else was seen until `now`. Returns what has become believed.
    pub fn settle(&mut self, now: Duration) -> Option<Settled> {
        self.latest = self.latest.max(now);
        let (level, since) = self.pending?;
        if self.latest - since < self.period() {
            return None;
        }
        self.pending = None;
        self.believed = Some(level);
        Some(Settled { level, since })
    }

    /// When [`settle`](Self::settle) will have something to say if nothing else is seen.
    pub fn deadline(&self) -> Option<Duration> {
        self.pending.map(|(_, since)| since.saturating_add(self.period()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// The changes that samples (ms, level) make, up to an end in ms, as (ms, level).
    fn changes(period: u64, samples: &[(u64, bool)], end: u64) -> Vec<(u64, bool)> {
        let mut debouncer = Debouncer::new(ms(period));
        let mut settled: Vec<Settled> =
            samples.iter().filter_map(|&(at, level)| debouncer.sample(level, ms(at))).collect();
        settled.extend(debouncer.settle(ms(end)));
        settled.iter().map(|s| (s.since.as_millis() as u64, s.level)).collect()
    }

    #[test]
    fn only_what_stays_for_the_period_is_believed() {
        let (off, on) = (false, true);
        type Case<'a> = (&'a str, &'a [(u64, bool)], u64, &'a [(u64, bool)]);
        let cases: [Case; 8] = [
            ("the first level after its period", &[(5, off)], 35, &[(5, off)]),
            ("the first level not before", &[(5, off)], 34, &[]),
            ("a glitch at the start", &[(0, on), (10, off)], 50, &[(10, off)]),
            ("a glitch later", &[(0, off), (100, on), (129, off)], 200, &[(0, off)]),
            (
                "the last bounce counts",
                &[(0, off), (100, on), (103, off), (106, on)],
                200,
                &[(0, off), (106, on)],
            ),
            (
                "no change while bouncing",
                &[(0, off), (100, on), (103, off), (106, on)],
                135,
                &[(0, off)],
            ),
            (
                "a press read late",
                &[(0, off), (100, on), (400, off)],
                500,
                &[(0, off), (100, on), (400, off)],
            ),
            (
                "the same level again",
                &[(0, off), (100, on), (120, on), (200, on)],
                300,
                &[(0, off), (100, on)],
            ),
        ];
        for (name, samples, end, expected) in cases {
            assert_eq!(changes(30, samples, end), expected, "{name}");
        }
    }

    #[test]
    fn without_a_period_every_change_is_believed_at_once_and_once() {
        let samples = [(0, false), (0, true), (1, true), (2, false)];
        assert_eq!(changes(0, &samples, 9), [(0, false), (0, true), (2, false)]);
    }

    #[test]
    fn behind_another_only_the_first_level_is_held_to_the_period() {
        let mut debouncer = Debouncer::behind_another(ms(30));
        assert_eq!(debouncer.sample(true, ms(0)), None);
        assert_eq!(debouncer.sample(false, ms(10)), None);
        assert_eq!(debouncer.settle(ms(40)), Some(Settled { level: false, since: ms(10) }));
        assert_eq!(debouncer.sample(true, ms(50)), Some(Settled { level: true, since: ms(50) }));
    }

    #[test]
    fn a_clock_that_goes_back_neither_panics_nor_hurries() {
        let samples = [(100, false), (40, true)];
        assert_eq!(changes(30, &samples, 129), []);
        assert_eq!(changes(30, &samples, 130), [(100, true)]);
    }

    #[test]
    fn the_deadline_is_when_settling_succeeds() {
        let mut debouncer = Debouncer::new(ms(30));
        assert_eq!(debouncer.deadline(), None);
        debouncer.sample(true, ms(7));
        assert_eq!(debouncer.deadline(), Some(ms(37)));
        assert!(debouncer.settle(ms(36)).is_none() && debouncer.settle(ms(37)).is_some());
        assert_eq!(debouncer.deadline(), None);
    }

    proptest! {
        #[test]
        fn changes_alternate_and_every_believed_level_stayed(
            period in 0u64..50,
            steps in prop::collection::vec((0u64..60, any::<bool>()), 0..60),
        ) {
            let mut at = 0;
            let samples: Vec<_> = steps.iter().map(|&(gap, level)| { at += gap; (at, level) }).collect();
            let found = changes(period, &samples, at + period);
            for pair in found.windows(2) {
                prop_assert!(pair[0].1 != pair[1].1 && pair[0].0 <= pair[1].0);
            }
            for (since, level) in &found {
                let held = |(t, l): &(u64, bool)| *l == *level || *t <= *since || *t >= since + period;
                prop_assert!(samples.iter().all(held));
            }
            prop_assert_eq!(found.last().map(|f| f.1), samples.last().map(|s| s.1));
        }
    }
}
