use crate::{
    decision::{LocalTime, Millis, MinuteOfDay, Weekday},
    door::monotonic,
    service::audit::{BootId, Moment},
};
use jiff::{Timestamp, tz::TimeZone};
use std::{fs, path::Path, time::Duration};

/// There while systemd-timesyncd has set the clock since boot.
const SYNCHRONISED: &str = "/run/systemd/timesync/synchronized";

/// The machine's clocks, read in one place: monotonic time since boot, and the time of day as far as it
/// can be trusted.
#[derive(Debug, Clone)]
pub struct Clock {
    boot: BootId,
    wall: fn() -> Option<Timestamp>,
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    /// Reads which boot this is.
    pub fn new() -> Self {
        Self::with_wall(wall)
    }

    /// With another time of day than the machine's, for tests of one that jumps.
    pub fn with_wall(wall: fn() -> Option<Timestamp>) -> Self {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self { boot: BootId(boot.trim().to_owned()), wall }
    }

    /// Now, since boot.
    pub fn now(&self) -> Millis {
        Millis::default().after(monotonic())
    }

    /// Every clock there is, for a record of something that happened at `at`.
    pub fn moment(&self, at: Millis) -> Moment {
        Moment { wall: (self.wall)(), monotonic_ms: at.0, boot: self.boot.clone() }
    }

    /// The local time of day; `None` while the clock is not synchronised.
    pub fn local(&self) -> Option<LocalTime> {
        let now = (self.wall)()?.to_zoned(TimeZone::system());
        let weekday = Weekday::ALL[now.weekday().to_monday_zero_offset() as usize];
        let minute = MinuteOfDay::new(now.hour() as u8, now.minute() as u8)?;
        Some(LocalTime { weekday, minute })
    }
}

/// The time of day, where something keeps it right.
pub fn wall() -> Option<Timestamp> {
    Path::new(SYNCHRONISED).exists().then(Timestamp::now)
}

/// The longest that nothing is told: the clock's minute must be.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(20);

/// What time the core was told, and when.
#[derive(Default)]
pub(super) struct Telling(Option<(Option<LocalTime>, Millis)>);

impl Telling {
    /// Whether to tell it now: at every minute's change, after every jump, and every so often.
    pub(super) fn is_due(&mut self, local: Option<LocalTime>, now: Millis) -> bool {
        let is_known = |&(told, at): &(_, Millis)| told == local && now.since(at) < HEARTBEAT;
        let is_due = !self.0.as_ref().is_some_and(is_known);
        if is_due {
            self.0 = Some((local, now));
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_told_when_it_changes_or_jumps_and_now_and_then() {
        let at = |weekday, minute| {
            Some(LocalTime { weekday, minute: MinuteOfDay::new(9, minute).unwrap() })
        };
        let monday = at(Weekday::Monday, 0);
        let mut time = Telling::default();
        for (now, local, is_due) in [
            (1_000, monday, true),
            (1_100, monday, false),
            (20_900, monday, false),
            (21_000, monday, true),
            (21_100, at(Weekday::Monday, 1), true),
            (21_200, at(Weekday::Sunday, 1), true),
            (21_300, None, true),
            (21_400, None, false),
            (21_500, monday, true),
        ] {
            assert_eq!(time.is_due(local, Millis(now)), is_due, "at {now}");
        }
    }
}
