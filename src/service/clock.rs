use crate::{
    decision::{LocalTime, Millis, MinuteOfDay, Weekday},
    door::monotonic,
    service::audit::{BootId, Moment},
};
use jiff::{Timestamp, Zoned};
use std::{fs, path::Path};

/// There while systemd-timesyncd has set the clock since boot.
const SYNCHRONISED: &str = "/run/systemd/timesync/synchronized";

/// The machine's clocks, read in one place: monotonic time since boot, and the time of day as far as it
/// can be trusted.
#[derive(Debug, Clone)]
pub struct Clock {
    boot: BootId,
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    /// Reads which boot this is.
    pub fn new() -> Self {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self { boot: BootId(boot.trim().to_owned()) }
    }

    /// Now, since boot.
    pub fn now(&self) -> Millis {
        Millis::default().after(monotonic())
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
