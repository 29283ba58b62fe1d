use std::time::Instant;

/// Shares of the time after which counting begins, for the first steps are slow (on an H200 cuDNN's trials take
/// the first 18 s), and ends.
const COUNTED: [f64; 2] = [0.1, 0.18];
/// Share of it left for the last measurement and checkpoint.
const SPARE: f64 = 0.04;

/// Finds how many steps there is time for.
pub struct Pace {
    begun: Instant,
    deadline: Instant,
    /// The step at which counting began, and when.
    from: Option<(u64, Instant)>,
}

impl Pace {
    /// From now to `deadline`.
    pub fn new(deadline: Instant) -> Self {
        Self { begun: Instant::now(), deadline, from: None }
    }

    /// Steps in all that will have been made by the deadline; none while it is too early to tell. `step` of them are
    /// made.
    pub fn steps(&mut self, step: u64, now: Instant) -> Option<u64> {
        let all = self.deadline.saturating_duration_since(self.begun).as_secs_f64();
        let gone = now.saturating_duration_since(self.begun).as_secs_f64();
        let Some((from, since)) = self.from else {
            self.from = (gone >= COUNTED[0] * all).then_some((step, now));
            return None;
        };
        if gone < COUNTED[1] * all || step == from {
            return None;
        }
        let each = (now - since).as_secs_f64() / (step - from) as f64;
        let left = all - gone - SPARE * all;
        Some(step + (left / each.max(1e-9)).max(0.0) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_schedule_ends_within_its_time_and_a_slow_start_does_not_count() {
        for (each, slow) in [(0.01, 0.0), (0.5, 0.0), (0.01, 3.0), (2.0, 0.0)] {
            let mut pace = Pace::new(Instant::now() + Duration::from_secs(100));
            let begun = pace.begun;
            let at = |step: u64| begun + Duration::from_secs_f64(slow + step as f64 * each);
            let found = (1..).find_map(|step| Some((step, pace.steps(step, at(step))?)));
            let (step, steps) = found.unwrap();
            assert!(at(step) - begun < Duration::from_secs(20), "late: step {step}");
            let end = slow + steps as f64 * each;
            assert!((90.0..=100.0).contains(&end), "{steps} steps of {each} s end after {end} s");
        }
    }

    #[test]
    fn where_the_time_is_over_no_step_is_added() {
        let mut pace = Pace::new(Instant::now());
        let late = pace.begun + Duration::from_secs(1);
        assert_eq!(pace.steps(1, late), None);
        assert_eq!(pace.steps(2, late + Duration::from_secs(1)), Some(2));
    }
}
