use std::{fmt, str::FromStr, time::Duration};

/// A rate in frames a second, 0.01 to 1000.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Fps(f64);

/// A rate that no source has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?}: not a rate; give 0.01 to 1000 frames a second")]
pub struct FpsError(String);

impl Fps {
    /// Frames a second.
    ///
    /// # Errors
    /// [`FpsError`] outside 0.01 to 1000.
    pub fn new(fps: f64) -> Result<Self, FpsError> {
        let known = (0.01..=1000.0).contains(&fps);
        known.then_some(Self(fps)).ok_or_else(|| FpsError(fps.to_string()))
    }

    /// Frames a second.
    pub fn get(self) -> f64 {
        self.0
    }

    /// When frame number `index` is due, from frame 0 on.
    pub fn time_of(self, index: u64) -> Duration {
        // At the slowest rate 2⁶⁴ frames take longer than a Duration can say.
        Duration::try_from_secs_f64(index as f64 / self.0).unwrap_or(Duration::MAX)
    }

    /// The last frame that is due at a time since frame 0.
    pub(super) fn frame_at(self, time: Duration) -> u64 {
        // Half a nanosecond on top: `time_of` has rounded, and its frame is due at that very time.
        ((time.as_secs_f64() + 0.5e-9) * self.0) as u64
    }
}

impl FromStr for Fps {
    type Err = FpsError;

    fn from_str(text: &str) -> Result<Self, FpsError> {
        let fps = text.parse().ok().and_then(|fps| Self::new(fps).ok());
        fps.ok_or_else(|| FpsError(text.to_owned()))
    }
}

impl fmt::Display for Fps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rates_that_no_source_has_are_refused() {
        for text in ["0", "-1", "0.009", "1000.1", "inf", "NaN", "", "ten", "10 "] {
            let error = text.parse::<Fps>().unwrap_err();
            assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
        }
    }

    proptest! {
        #[test]
        fn the_frame_due_at_a_frames_time_is_that_frame(
            fps in 0.01f64..=1000.0, index in 0u64..10_000_000,
        ) {
            let fps = Fps::new(fps).unwrap();
            // Doubles resolve ten million frames at the slowest rate (1e9 s) to 1e-7 s.
            let at = fps.time_of(index) + Duration::from_micros(1);
            prop_assert_eq!(fps.frame_at(at), index);
            prop_assert_eq!(fps.to_string().parse::<Fps>().unwrap(), fps);
        }
    }

    #[test]
    fn a_frame_is_due_at_its_own_time() {
        for fps in [10.0, 30.0, 30000.0 / 1001.0, 12.5] {
            let fps = Fps::new(fps).unwrap();
            for index in 0..100_000 {
                assert_eq!(fps.frame_at(fps.time_of(index)), index, "{fps}");
            }
        }
    }
}
