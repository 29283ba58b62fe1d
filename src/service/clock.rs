use crate::{
    decision::{LocalTime, Millis, MinuteOfDay, Weekday},
    service::audit::{BootId, Moment},
};
use jiff::{Timestamp, Zoned};
use std::{fs, path::Path, time::Instant};

/// There while systemd-timesyncd has set the clock since boot.
const SYNCHRONISED: &str = "/run/systemd/timesync/synchronized";

/// The machine's clocks, read in one place: monotonic time since boot, and the time of day as far as it
/// can be trusted.
#[derive(Debug, Clone)]
pub struct Clock {
    start: Instant,
    /// Since boot, when `start` was taken.
    up: u64,
    boot: BootId,
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    /// Reads when the machine started.
    pub fn new() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let seconds = read("/proc/uptime").split(' ').next().and_then(|s| s.parse::<f64>().ok());
        Self {
            start: Instant::now(),
            up: (seconds.unwrap_or(0.0) * 1000.0) as u64,
            boot: BootId(read("/proc/sys/kernel/random/boot_id").trim().to_owned()),
        }
    }

    /// Now, since boot.
    pub fn now(&self) -> Millis {
        Millis(self.up).after(self.start.elapsed())
    }

    /// Every clock there is, for a record of something that happened at `at`.
    pub fn moment(&self, at: Millis) -> Moment {
        Moment { wall: wall(), monotonic_ms: at.0, boot: self.boot.clone() }
    }

    /// The local time of day; `None` while the clock is not synchronised.
    pub fn local(&self) -> Option<LocalTime> {
        wall()?;
        let now = Zoned::now();
        let weekday = Weekday::ALL[now.weekday().to_monday_zero_offset() as usize];
        let minute = MinuteOfDay::new(now.hour() as u8, now.minute() as u8)?;
        Some(LocalTime { weekday, minute })
    }
}

/// The time of day, where something keeps it right.
pub fn wall() -> Option<Timestamp> {
    Path::new(SYNCHRONISED).exists().then(Timestamp::now)
}
