use std::time::Duration;

/// Makes a driver's stamps into [`Frame`](crate::camera::Frame)'s.
#[derive(Debug, Default)]
pub struct Timeline {
    /// The last number the driver gave, and ours.
    number: Option<(u32, u64)>,
    /// When the first stamped frame was taken, by the driver's clock and by ours.
    origin: Option<(Duration, Duration)>,
    last: Duration,
}

impl Timeline {
    /// The sequence number and time of a frame that has just been handed over.
    ///
    /// `taken` is the driver's monotonic stamp if it gave one, `now` the time since the source was
    /// opened. The driver's numbers wrap, and some drivers do not count: ours grow by one at least.
    pub fn stamp(
        &mut self,
        number: u32,
        taken: Option<Duration>,
        now: Duration,
    ) -> (u64, Duration) {
        let ours = self.number.map_or(0, |(last, ours)| match number.wrapping_sub(last) {
            // A step of more than half the range is one back.
            step @ 1..=0x7fff_ffff => ours + u64::from(step),
            _ => ours + 1,
        });
        self.number = Some((number, ours));
        let taken = taken.map_or(now, |taken| {
            let (first, at) = *self.origin.get_or_insert((taken, now));
            at.saturating_add(taken.saturating_sub(first))
        });
        self.last = taken.min(now).max(self.last);
        (ours, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(time: u64) -> Duration {
        Duration::from_millis(time)
    }

    #[test]
    fn numbers_start_at_zero_show_gaps_and_survive_a_wrap() {
        let mut line = Timeline::default();
        let mut number = |n| line.stamp(n, None, ms(0)).0;
        let numbers = [u32::MAX - 1, u32::MAX, 2, 3, 3, 0].map(&mut number);
        assert_eq!(numbers, [0, 1, 4, 5, 6, 7]);
    }

    #[test]
    fn the_drivers_stamp_counts_not_when_the_frame_was_fetched() {
        let mut line = Timeline::default();
        let mut time = |taken, now| line.stamp(0, taken, ms(now)).1;
        assert_eq!(time(Some(ms(90_000)), 20), ms(20));
        assert_eq!(time(Some(ms(90_033)), 90), ms(53));
        assert_eq!(time(None, 120), ms(120));
        // A driver whose clock runs ahead, and one that goes back.
        assert_eq!(time(Some(ms(99_999)), 150), ms(150));
        assert_eq!(time(Some(ms(1)), 160), ms(150));
    }

    proptest! {
        #[test]
        fn stamps_never_go_back(
            stamps in prop::collection::vec(
                (any::<u32>(), prop::option::of(any::<Duration>()), 0u64..100), 1..20),
        ) {
            let (mut line, mut now, mut before) = (Timeline::default(), 0, None);
            for (number, taken, passed) in stamps {
                now += passed;
                let (number, at) = line.stamp(number, taken, ms(now));
                prop_assert!(at <= ms(now));
                prop_assert!(before.is_none_or(|(n, t)| number > n && at >= t));
                before = Some((number, at));
            }
        }
    }
}
