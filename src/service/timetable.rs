use crate::decision::{MinuteOfDay, Schedule, ScheduleError, Slot, Weekday, Weekdays};

/// Why a text is no timetable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimetableError {
    /// A part that cannot be read.
    #[error("`{0}` is no time slot; write `Mon-Fri 08:00-18:00`, `Sat,Sun 10:00-12:00` or `daily`")]
    Slot(String),
    /// Slots that make no schedule.
    #[error("{text}: {source}")]
    Schedule {
        /// The slot or the whole text.
        text: String,
        /// What is wrong.
        source: ScheduleError,
    },
}

/// Reads when somebody is let in: slots with `;` between, each of days and, unless it is the whole day,
/// times. Days are `Mon` to `Sun`, ranges, lists with `,` between, or `daily`; 24:00 is the end of a day.
///
/// # Errors
/// [`TimetableError`] with the part that cannot be read.
pub fn timetable(text: &str) -> Result<Schedule, TimetableError> {
    let slots: Vec<Slot> =
        text.split(';').map(|part| slot(part.trim())).collect::<Result<_, _>>()?;
    Schedule::new(&slots)
        .map_err(|source| TimetableError::Schedule { text: text.to_owned(), source })
}

fn slot(text: &str) -> Result<Slot, TimetableError> {
    let unread = || TimetableError::Slot(text.to_owned());
    let wrong = |source| TimetableError::Schedule { text: text.to_owned(), source };
    let (days, times) = match text.split_once(' ') {
        Some((days, times)) => (days, Some(times.trim())),
        None => (text, None),
    };
    let days = parse_days(days).ok_or_else(unread)?;
    let Some(times) = times else { return Slot::whole(days).map_err(wrong) };
    let (from, to) = times.split_once('-').ok_or_else(unread)?;
    let from = minute(from).ok_or_else(unread)?;
    let to = match to.trim() {
        "24:00" if from == MinuteOfDay::MIDNIGHT => return Slot::whole(days).map_err(wrong),
        "24:00" => MinuteOfDay::MIDNIGHT,
        to => minute(to).ok_or_else(unread)?,
    };
    Slot::new(days, from, to).map_err(wrong)
}

fn parse_days(text: &str) -> Option<Weekdays> {
    if text.eq_ignore_ascii_case("daily") {
        return Some(Weekdays::EVERY);
    }
    let mut days = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        // Fri-Mon goes over the end of the week.
        let length = (last + 7 - first) % 7;
        days.extend((0..=length).map(|i| Weekday::ALL[(first + i) % 7]));
    }
    Some(Weekdays::of(&days))
}

fn day(text: &str) -> Option<usize> {
    let names = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    names.iter().position(|name| text.trim().eq_ignore_ascii_case(name))
}

fn minute(text: &str) -> Option<MinuteOfDay> {
    let (hour, minute) = text.trim().split_once(':')?;
    let number = |s: &str| s.bytes().all(|b| b.is_ascii_digit()).then(|| s.parse().ok())?;
    MinuteOfDay::new(number(hour)?, number(minute)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::LocalTime;
    use proptest::prelude::*;

    fn allows(text: &str, weekday: Weekday, hour: u8, min: u8) -> bool {
        let minute = MinuteOfDay::new(hour, min).unwrap();
        timetable(text).unwrap().allows(LocalTime { weekday, minute })
    }

    #[test]
    fn what_people_write_means_what_they_mean() {
        use Weekday::{Friday, Monday, Saturday, Sunday, Wednesday};
        for (text, day, hour, min, expected) in [
            ("Mon-Fri 08:00-18:00", Wednesday, 8, 0, true),
            ("Mon-Fri 08:00-18:00", Wednesday, 18, 0, false),
            ("Mon-Fri 08:00-18:00", Saturday, 9, 0, false),
            ("mon,wed 9:00-10:30; sun", Sunday, 23, 59, true),
            ("mon,wed 9:00-10:30; sun", Monday, 10, 29, true),
            ("Fri-Mon 00:00-24:00", Sunday, 12, 0, true),
            ("Fri 22:00-06:00", Saturday, 5, 59, true),
            ("daily 07:00-08:00", Friday, 7, 30, true),
            ("daily", Friday, 3, 0, true),
        ] {
            assert_eq!(allows(text, day, hour, min), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for text in [
            "",
            "Mon-Fri 8-18",
            "Mun 08:00-09:00",
            "Mon 25:00-26:00",
            "Mon 08:00",
            "Mon 08:00-08:00",
            "Mon +8:00-09:00",
        ] {
            let error = timetable(text).unwrap_err().to_string();
            assert!(error.contains(text), "{text}: {error}");
        }
        assert!(timetable(&vec!["Mon"; 40].join(";")).is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = timetable(&text);
        }
    }
}
