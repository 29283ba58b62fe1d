use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// How long the machine has been up, on a clock that never goes back: `CLOCK_MONOTONIC`, by which the
/// kernel stamps the edges of GPIO lines (and the frames of cameras), so that all of them compare.
pub fn monotonic() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    // Neither is ever negative on this clock.
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_advances_as_real_time_does() {
        let (before, begun) = (monotonic(), std::time::Instant::now());
        std::thread::sleep(Duration::from_millis(20));
        let (after, elapsed) = (monotonic(), begun.elapsed());
        let gone = after - before;
        assert!(gone >= Duration::from_millis(20) && gone <= elapsed + Duration::from_millis(20));
    }
}
