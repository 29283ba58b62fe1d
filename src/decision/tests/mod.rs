mod house;
mod properties;
mod reference;
mod stories;

use super::*;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Let in always.
const RESIDENT: PersonId = PersonId(0);
/// Enrolled, but not let in any more.
const DISABLED: PersonId = PersonId(1);
/// Let in on Mondays from 08:00 to 17:00.
const CLEANER: PersonId = PersonId(2);
/// Let in always, until the roster says otherwise.
const LODGER: PersonId = PersonId(3);

/// Who lives here.
#[derive(Debug, Clone, Copy)]
struct People {
    lodger_lives_here: bool,
}

impl Roster for People {
    fn permission(&self, person: PersonId) -> Permission {
        let minute = |hour| MinuteOfDay::new(hour, 0).unwrap();
        match person {
            RESIDENT => Permission::Always,
            LODGER if self.lodger_lives_here => Permission::Always,
            CLEANER => {
                let days = Weekdays::of(&[Weekday::Monday]);
                let slot = Slot::new(days, minute(8), minute(17)).unwrap();
                Permission::Scheduled(Schedule::new(&[slot]).unwrap())
            }
            _ => Permission::Never,
        }
    }
}

/// A good frame without a second person near.
fn face(track: u64, person: PersonId, score: f32) -> Observation {
    Observation {
        track: TrackId(track),
        best: Some(Candidate { person, score: Score(score) }),
        second: Some(Score(0.1)),
        quality: Quality::Good,
        liveness: Liveness::Unknown,
    }
}
