use super::time::Millis;
use std::time::Duration;

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "their names say it")]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl Weekday {
    /// The seven, Monday first.
    pub const ALL: [Self; 7] = [
        Self::Monday,
        Self::Tuesday,
        Self::Wednesday,
        Self::Thursday,
        Self::Friday,
        Self::Saturday,
        Self::Sunday,
    ];

    fn before(self) -> Self {
        Self::ALL[(self as usize + 6) % 7]
    }
}

/// A set of days of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Weekdays(u8);

impl Weekdays {
    /// All seven.
    pub const EVERY: Self = Self(0b111_1111);
    /// Monday to Friday.
    pub const MONDAY_TO_FRIDAY: Self = Self(0b001_1111);

    /// These days.
    pub fn of(days: &[Weekday]) -> Self {
        Self(days.iter().fold(0, |set, &day| set | 1 << day as u8))
    }

    /// Whether `day` is among them.
    pub fn contains(self, day: Weekday) -> bool {
        self.0 & 1 << day as u8 != 0
    }
}

/// A minute of the day, 00:00 to 23:59.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MinuteOfDay(u16);

impl MinuteOfDay {
    /// 00:00.
    pub const MIDNIGHT: Self = Self(0);

    /// `hour`:`minute`; `None` past 23:59.
    pub fn new(hour: u8, minute: u8) -> Option<Self> {
        (hour < 24 && minute < 60).then_some(Self(u16::from(hour) * 60 + u16::from(minute)))
    }
}

/// The time on the wall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTime {
    /// The day.
    pub weekday: Weekday,
    /// The minute of that day.
    pub minute: MinuteOfDay,
}

/// Times that are no schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// On no day.
    #[error("the time slot is on no day of the week; name at least one")]
    NoDay,
    /// From a minute to the same minute.
    #[error("the time slot ends when it starts; for the whole day use one without times")]
    Empty,
    /// Too many slots for one schedule.
    #[error("the schedule has {0} time slots, more than {MAX_SLOTS}; join days with equal times")]
    TooMany(usize),
}

/// A range of minutes on some days, its end excluded. One that ends before it starts goes over
/// midnight and belongs to the day that it starts on: Friday 22:00 to 06:00 ends on Saturday.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    days: Weekdays,
    from: MinuteOfDay,
    to: MinuteOfDay,
}

impl Slot {
    /// From a minute to another one on each of these days. To 00:00 is to the end of the day.
    ///
    /// # Errors
    /// [`ScheduleError::NoDay`], or [`ScheduleError::Empty`] for equal minutes.
    pub fn new(days: Weekdays, from: MinuteOfDay, to: MinuteOfDay) -> Result<Self, ScheduleError> {
        match () {
            () if days == Weekdays::default() => Err(ScheduleError::NoDay),
            () if from == to => Err(ScheduleError::Empty),
            () => Ok(Self { days, from, to }),
        }
    }

    /// From midnight to midnight on each of these days.
    ///
    /// # Errors
    /// [`ScheduleError::NoDay`].
    pub fn whole(days: Weekdays) -> Result<Self, ScheduleError> {
        if days == Weekdays::default() {
            return Err(ScheduleError::NoDay);
        }
        Ok(Self { days, from: MinuteOfDay::MIDNIGHT, to: MinuteOfDay::MIDNIGHT })
    }

    fn contains(&self, LocalTime { weekday, minute }: LocalTime) -> bool {
        let today = self.days.contains(weekday);
        if self.from < self.to {
            return today && self.from <= minute && minute < self.to;
        }
        let yesterday = self.days.contains(weekday.before());
        (today && self.from <= minute) || (yesterday && minute < self.to)
    }
}

/// How many slots a schedule holds: two for each day of the week, and two more.
pub const MAX_SLOTS: usize = 16;

/// When somebody is let in: a week of time slots in local time. The empty one lets nobody in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schedule(heapless::Vec<Slot, MAX_SLOTS>);

impl Schedule {
    /// These slots; they may overlap.
    ///
    /// # Errors
    /// [`ScheduleError::TooMany`] over [`MAX_SLOTS`].
    pub fn new(slots: &[Slot]) -> Result<Self, ScheduleError> {
        heapless::Vec::from_slice(slots).map(Self).map_err(|_| ScheduleError::TooMany(slots.len()))
    }

    /// Whether it lets in at `time`.
    pub fn allows(&self, time: LocalTime) -> bool {
        self.0.iter().any(|slot| slot.contains(time))
    }
}

/// The time on the wall as it was last told.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct WallClock(Option<(LocalTime, Millis)>);

impl WallClock {
    pub(super) fn set(&mut self, time: Option<LocalTime>, now: Millis) {
        self.0 = time.map(|time| (time, now));
    }

    /// What was told last, unless that was `valid` or longer ago.
    pub(super) fn at(&self, now: Millis, valid: Duration) -> Option<LocalTime> {
        self.0.filter(|&(_, told)| now.since(told) < valid).map(|(time, _)| time)
    }
}

#[cfg(test)]
mod tests {
    use super::{Weekday::*, *};

    fn at(weekday: Weekday, hour: u8, minute: u8) -> LocalTime {
        LocalTime { weekday, minute: MinuteOfDay::new(hour, minute).unwrap() }
    }

    fn slot(days: &[Weekday], from: (u8, u8), to: (u8, u8)) -> Slot {
        let minute = |(h, m)| MinuteOfDay::new(h, m).unwrap();
        Slot::new(Weekdays::of(days), minute(from), minute(to)).unwrap()
    }

    #[test]
    fn a_slot_holds_its_first_minute_and_not_its_end() {
        let office = slot(&[Monday, Friday], (8, 30), (17, 0));
        let night = slot(&[Friday, Sunday], (22, 0), (6, 0));
        let late = slot(&[Monday], (18, 0), (0, 0));
        let whole = Slot::whole(Weekdays::of(&[Tuesday])).unwrap();
        for (name, slot, time, inside) in [
            ("a minute early", office, at(Monday, 8, 29), false),
            ("the first minute", office, at(Monday, 8, 30), true),
            ("the last minute", office, at(Friday, 16, 59), true),
            ("the end", office, at(Friday, 17, 0), false),
            ("another day", office, at(Tuesday, 12, 0), false),
            ("the evening of a night", night, at(Friday, 22, 0), true),
            ("the morning after it", night, at(Saturday, 5, 59), true),
            ("the morning's end", night, at(Saturday, 6, 0), false),
            ("the morning before it", night, at(Friday, 5, 0), false),
            ("from Sunday into the next week", night, at(Monday, 0, 0), true),
            ("the evening after it", night, at(Saturday, 23, 0), false),
            ("to the end of the day", late, at(Monday, 23, 59), true),
            ("and not into the next one", late, at(Tuesday, 0, 0), false),
            ("a whole day's first minute", whole, at(Tuesday, 0, 0), true),
            ("a whole day's last minute", whole, at(Tuesday, 23, 59), true),
            ("the day after a whole day", whole, at(Wednesday, 0, 0), false),
            ("the day before a whole day", whole, at(Monday, 23, 59), false),
        ] {
            assert_eq!(slot.contains(time), inside, "{name}");
        }
    }

    #[test]
    fn a_schedule_lets_in_during_any_of_its_slots_and_an_empty_one_never() {
        let two =
            Schedule::new(&[slot(&[Monday], (8, 0), (9, 0)), slot(&[Monday], (12, 0), (13, 0))])
                .unwrap();
        assert!(two.allows(at(Monday, 8, 0)) && two.allows(at(Monday, 12, 59)));
        assert!(!two.allows(at(Monday, 10, 0)));
        let never = Schedule::default();
        assert!(Weekday::ALL.iter().all(|&day| !never.allows(at(day, 12, 0))));
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        let noon = MinuteOfDay::new(12, 0).unwrap();
        assert_eq!(Slot::new(Weekdays::EVERY, noon, noon), Err(ScheduleError::Empty));
        assert_eq!(
            Slot::new(Weekdays::default(), noon, MinuteOfDay::MIDNIGHT),
            Err(ScheduleError::NoDay)
        );
        assert_eq!(Slot::whole(Weekdays::default()), Err(ScheduleError::NoDay));
        let many = [Slot::whole(Weekdays::EVERY).unwrap(); MAX_SLOTS + 1];
        assert_eq!(Schedule::new(&many), Err(ScheduleError::TooMany(MAX_SLOTS + 1)));
        assert_eq!((MinuteOfDay::new(24, 0), MinuteOfDay::new(0, 60)), (None, None));
    }
}
