//! A board's own troubles, and the door stays as safe as it was: the time of day jumps, as without a battery
//! for the clock; a write takes long; the disk is full or read-only.

#[allow(dead_code)]
mod house;

use facelatch::{
    decision::{
        Candidate, Command, Denial, Event, Liveness, Millis, Observation, Outcome, Policy, Quality,
        Score, TrackId,
    },
    door::{DoorError, Lock, SimLock, SimTimeline},
    embed::Embedding,
    gallery::{Gallery, Key, ModelHash, Name, PersonId},
    service::{
        Clock, GUARD, House, Keeper, News,
        audit::{self, AuditLog, Filter, Limits},
    },
};
use house::{SmallDisk, mount};
use jiff::{Timestamp, civil::date, tz::TimeZone};
use std::{
    cell::Cell,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

thread_local! {
    /// What the clock on the wall shows to this test.
    static WALL: Cell<Option<Timestamp>> = const { Cell::new(None) };
}

/// Local time on a day of the week that begins on Monday, 12 January 2026, and some days after that.
fn show(days: i64, hour: i8) {
    let day = date(2026, 1, 12).checked_add(jiff::Span::new().days(days)).unwrap();
    let time = day.at(hour, 0, 0, 0).to_zoned(TimeZone::system()).unwrap();
    WALL.set(Some(time.timestamp()));
}

/// A door whose resident may come on Monday to Friday from eight to six.
struct Door {
    folder: tempfile::TempDir,
    house: House,
    clock: Clock,
    keeper: Keeper,
    now: u64,
    visits: u64,
}

const LIMITS: Limits = Limits { file_bytes: 1 << 20, files: 4 };

const RESIDENT: f32 = 0.9;
const STRANGER: f32 = 0.2;

impl Door {
    fn new() -> Self {
        Self::within(tempfile::tempdir().unwrap())
    }

    fn within(folder: tempfile::TempDir) -> Self {
        fs::create_dir(folder.path().join("audit")).unwrap();
        let model = ModelHash::from_hex(&"a".repeat(64)).unwrap();
        let path = folder.path().join("gallery.redb");
        let mut gallery = Gallery::create(&path, Key::generate().unwrap(), model).unwrap();
        let template = Embedding::new(std::array::from_fn(|i| (i as f32).sin())).unwrap();
        let id = gallery.enrol(&Name::new("Ann").unwrap(), &[template], None).unwrap();
        gallery.set_schedule(id, Some("Mon-Fri 08:00-18:00")).unwrap();
        let (house, clock) = (House::of(&gallery).unwrap(), Clock::with_wall(|| WALL.get()));
        let keeper = keeper(folder.path(), house.clone(), clock.clone());
        Self { folder, house, clock, keeper, now: 0, visits: 0 }
    }

    /// What the daemon does every twenty seconds.
    fn told_the_time(&mut self) -> &mut Self {
        let (local, now) = (self.clock.local(), Millis(self.now));
        self.keeper.tell(Event::Clock(local), now);
        self
    }

    /// Time passes, and what is due happens.
    fn wait(&mut self, ms: u64) {
        self.now += ms;
        while let Some(due) = self.keeper.deadline().filter(|due| due.0 <= self.now) {
            self.keeper.tell(Event::Tick, due);
        }
    }

    /// Presses the exit button, and whether that opens.
    fn lets_out(&mut self) -> bool {
        self.keeper.tell(Event::RequestToExit { pressed: true }, Millis(self.now));
        let released = self.keeper.status().unlocked;
        self.wait(20_000);
        released
    }

    /// Half a second of a face, and two seconds of nobody; what was decided about it, and whether it opened.
    fn comes(&mut self, score: f32) -> (Vec<Outcome>, bool) {
        self.visits += 1;
        self.keeper.news();
        for _ in 0..6 {
            self.keeper.tell(face(self.visits, score), Millis(self.now));
            self.wait(100);
        }
        self.wait(2_000);
        let news = self.keeper.news();
        let decided = news.iter().filter_map(|news| match news {
            News::Decision(record) => Some(record.outcome),
            _ => None,
        });
        (decided.collect(), news.contains(&News::Unlocked))
    }

    /// What was decided about a face.
    fn visit(&mut self, score: f32) -> Vec<Outcome> {
        self.comes(score).0
    }

    /// The power fails and comes back; the time since boot begins anew.
    fn restarted(self) -> Self {
        // The log is one daemon's at a time.
        drop(self.keeper);
        let keeper = keeper(self.folder.path(), self.house.clone(), self.clock.clone());
        Self { keeper, now: 0, ..self }
    }
}

fn face(track: u64, score: f32) -> Event {
    Event::Face(Observation {
        track: TrackId(track),
        best: Some(Candidate { person: PersonId(0), score: Score(score) }),
        second: None,
        quality: Quality::Good,
        liveness: Liveness::Unknown,
    })
}

fn keeper(folder: &Path, house: House, clock: Clock) -> Keeper {
    keeper_of(SimLock::new(SimTimeline::default()), folder, house, clock)
}

/// Where the log cannot be opened, the daemon goes on without.
fn keeper_of(lock: impl Lock + 'static, folder: &Path, house: House, clock: Clock) -> Keeper {
    let log = AuditLog::open(&folder.join("audit"), LIMITS, &clock.moment(Millis(0))).ok();
    keeper_with(log, lock, folder, house, clock)
}

fn keeper_with(
    log: Option<AuditLog>,
    lock: impl Lock + 'static,
    folder: &Path,
    house: House,
    clock: Clock,
) -> Keeper {
    let (lock, saved) = (Box::new(lock), folder.join("lockout.json"));
    Keeper::new(Policy::default(), lock, house, log, clock, saved, Millis(0)).unwrap()
}

#[test]
fn a_timetable_goes_by_the_clock_as_it_is_told_and_by_none_that_is_not_set() {
    let outside = Outcome::Denied(Denial::OutsideSchedule);
    let unset = Outcome::Denied(Denial::ClockUnsynchronised);
    for (jump, days, hour, outcome) in [
        ("none", 2, 9, Outcome::Granted),
        ("a day back, to Tuesday", 1, 9, Outcome::Granted),
        ("to Sunday", -1, 9, outside),
        ("half a day forward", 2, 21, outside),
        ("a year forward, to Thursday", 367, 9, Outcome::Granted),
        ("a year forward, to Saturday", 369, 9, outside),
        ("to 1970, as without a battery", -20_465, 3, outside),
    ] {
        let mut door = Door::new();
        show(2, 9);
        assert_eq!(door.told_the_time().visit(RESIDENT), [Outcome::Granted], "before: {jump}");
        door.wait(20_000);
        show(days, hour);
        assert_eq!(door.told_the_time().visit(RESIDENT), [outcome], "{jump}");
        door.wait(20_000);
        WALL.set(None);
        assert_eq!(door.told_the_time().visit(RESIDENT), [unset], "{jump}, and lost");
    }
}

#[test]
fn a_clock_that_nobody_tells_any_more_lets_nobody_in_by_timetable() {
    let mut door = Door::new();
    show(2, 9);
    door.told_the_time().wait(Policy::default().clock_valid.as_millis() as u64 - 1_000);
    // The daemon tells it every twenty seconds: so long may an old time hold after a jump.
    show(2, 21);
    assert_eq!(door.visit(RESIDENT), [Outcome::Granted]);
    door.wait(20_000);
    assert_eq!(door.visit(RESIDENT), [Outcome::Denied(Denial::ClockUnsynchronised)]);
}

#[test]
fn a_lockout_and_a_pulse_are_as_long_whatever_the_wall_says() {
    for (days, hour) in [(1, 9), (367, 9), (-20_465, 3)] {
        let mut door = Door::new();
        show(2, 9);
        door.told_the_time();
        let mut decided = Vec::new();
        for _ in 0..5 {
            decided = door.visit(STRANGER);
        }
        let first = Policy::default().lockout.first;
        assert_eq!(decided.last(), Some(&Outcome::LockoutStarted(first)), "{decided:?}");
        show(days, hour);
        let locked_out = Outcome::Denied(Denial::Lockout);
        assert_eq!(door.told_the_time().visit(RESIDENT), [locked_out], "{days} days");
        door = door.restarted();
        assert_eq!(door.told_the_time().visit(RESIDENT), [locked_out], "restarted");
        door.wait(first.as_millis() as u64);
        show(2, 9);
        assert_eq!(door.told_the_time().visit(RESIDENT), [Outcome::Granted]);

        door.keeper.command(Command::Unlock, 0, None, Millis(door.now));
        show(days, hour);
        let pulse = Policy::default().strike.pulse.as_millis() as u64;
        door.told_the_time().wait(pulse - 1);
        assert!(door.keeper.status().unlocked);
        door.wait(1);
        assert!(!door.keeper.status().unlocked);
    }
}

#[test]
fn the_log_is_whole_and_says_what_the_wall_said() {
    let mut door = Door::new();
    for (days, hour) in [(2, 9), (1, 9), (367, 9), (2, 10)] {
        show(days, hour);
        door.told_the_time().visit(RESIDENT);
        door.wait(20_000);
    }
    WALL.set(None);
    door.told_the_time().visit(RESIDENT);
    drop(door.keeper);
    let folder = door.folder.path().join("audit");
    audit::verify(&folder, None).unwrap();
    let read = |filter| audit::read(&folder, filter).unwrap().map(Result::unwrap);
    let records: Vec<_> = read(Filter::default()).collect();
    assert_eq!(records.len(), 5);
    assert!(records.is_sorted_by_key(|r| r.mono_ms), "since boot no time goes back");
    assert!(records[1].wall < records[0].wall && records[4].wall.is_none(), "{records:?}");
    // Who asks for the last day gets what the wall called so, wherever it is in the log.
    let since = records[0].wall;
    assert_eq!(read(Filter { since, ..Filter::default() }).count(), 4, "all but the day before");
}

/// Between the decision and the strike are a look and a write, which must not come off the pulse.
#[test]
fn a_pulse_counts_from_when_the_strike_is_released_and_is_never_longer() {
    let pulse = Policy::default().strike.pulse;
    let late = |by: u64, is_live: bool| {
        let Door { folder: _folder, keeper, clock, .. } = Door::new();
        let mut keeper = if is_live { keeper.live() } else { keeper };
        let before = clock.now();
        let decided = Millis(before.0 - by);
        keeper.command(Command::Unlock, 0, None, decided);
        let (deadline, unlocked) = (keeper.deadline(), keeper.status().unlocked);
        assert_eq!(unlocked, deadline.is_some(), "released by the keeper as by the core");
        (decided, before, clock.now(), deadline)
    };
    for by in [0, 700, pulse.as_millis() as u64 - 100] {
        let (_, before, after, deadline) = late(by, true);
        let expected = before.after(pulse)..=after.after(pulse);
        assert!(deadline.is_some_and(|due| expected.contains(&due)), "{by} ms late: {deadline:?}");
    }
    let (.., deadline) = late(pulse.as_millis() as u64, true);
    assert_eq!(deadline, None, "it was over before it began");
    let (decided, .., deadline) = late(700, false);
    assert_eq!(deadline, Some(decided.after(pulse)), "a replay has its own time");
}

/// A strike that looks into the log when it is released.
struct Witness {
    audit: PathBuf,
    /// How many records there were.
    found: Arc<Mutex<Vec<usize>>>,
}

impl Lock for Witness {
    fn unlock(&mut self) -> Result<(), DoorError> {
        panic!("for how long?");
    }

    fn unlock_for(&mut self, most: Duration) -> Result<(), DoorError> {
        assert_eq!(most, Policy::default().strike.pulse + GUARD);
        let records = audit::read(&self.audit, Filter::default()).unwrap().count();
        self.found.lock().unwrap().push(records);
        Ok(())
    }

    fn lock(&mut self) -> Result<(), DoorError> {
        Ok(())
    }

    fn describe(&self) -> String {
        "a witness".into()
    }
}

#[test]
fn whoever_comes_in_is_on_the_disk_before_and_whoever_leaves_waits_for_no_disk() {
    let Door { folder, house, clock, keeper, visits, .. } = Door::new();
    drop(keeper);
    show(2, 9);
    let (audit, found) = (folder.path().join("audit"), Arc::<Mutex<Vec<_>>>::default());
    let witness = Witness { audit: audit.clone(), found: Arc::clone(&found) };
    let keeper = keeper_of(witness, folder.path(), house.clone(), clock.clone());
    let mut door = Door { folder, house, clock, keeper, now: 0, visits };
    let records = || audit::read(&audit, Filter::default()).unwrap().count();
    door.told_the_time();
    for (what, happens, waits) in [
        ("a resident", (|door| assert!(door.comes(RESIDENT).1)) as fn(&mut Door), true),
        ("the exit button", |door| assert!(door.lets_out()), false),
        (
            "a command",
            |door| {
                door.keeper.command(Command::Unlock, 0, None, Millis(door.now));
                door.wait(20_000);
            },
            true,
        ),
    ] {
        let before = records();
        happens(&mut door);
        assert!(records() > before, "{what} is recorded");
        let found = std::mem::take(&mut *found.lock().unwrap());
        assert!(found[0] >= before && (found[0] > before) == waits, "{what}: {before}, {found:?}");
    }
}

/// The disk fails, as a file that must rotate at every record and whose folder is gone.
#[test]
fn whoever_leaves_keeps_their_pulse_when_a_face_cannot_be_recorded_meanwhile() {
    let Door { folder, house, clock, keeper, now, visits } = Door::new();
    drop(keeper);
    show(2, 9);
    let (audit, limits) = (folder.path().join("audit"), Limits { file_bytes: 1, files: 9 });
    let moment = clock.moment(Millis(now));
    let mut log = AuditLog::open(&audit, limits, &moment).unwrap();
    log.append(&moment, audit::Entry { kind: "test", fields: Default::default() }).unwrap();
    let lock = SimLock::new(SimTimeline::default());
    let keeper = keeper_with(Some(log), lock, folder.path(), house.clone(), clock.clone());
    let mut door = Door { folder, house, clock, keeper, now, visits };
    door.told_the_time();
    door.keeper.tell(Event::RequestToExit { pressed: true }, Millis(door.now));
    let ends = door.keeper.deadline();
    fs::rename(&audit, door.folder.path().join("gone")).unwrap();
    assert_eq!(door.comes(RESIDENT), (vec![], false), "not recorded, so not let in");
    assert!(!door.keeper.status().audit_writable);
    assert_eq!((door.keeper.deadline(), door.keeper.status().unlocked), (ends, true));
    door.wait(ends.unwrap().0 - door.now);
    assert!(!door.keeper.status().unlocked);
    assert_eq!(door.comes(RESIDENT).0, [Outcome::Denied(Denial::AuditNotWritable)]);
}

/// The deciding thread hung meanwhile, on a disk or a gallery, and then is told all at once.
#[test]
fn of_what_waited_behind_a_disk_that_hung_a_face_opens_nothing_and_a_press_no_longer_than_one_waits()
 {
    let pulse = Policy::default().strike.pulse;
    show(2, 9);
    for (late, lets_in, lets_out) in [
        (0, true, true),
        (500, true, true),
        (1_001, false, true),
        (4_000, false, true),
        (5_001, false, false),
        (60_000, false, false),
    ] {
        let opened = |event, times| {
            let Door { folder: _folder, keeper, clock, .. } = Door::new();
            let mut keeper = keeper.live();
            let then = clock.now().0 - late;
            keeper.tell(Event::Clock(clock.local()), Millis(then));
            (0..times).for_each(|_| keeper.tell(event, Millis(then)));
            let due = keeper.status().unlocked.then(|| keeper.deadline().unwrap());
            assert!(due.is_none_or(|due| due <= clock.now().after(pulse)), "{due:?}");
            due.is_some()
        };
        assert_eq!(opened(face(1, RESIDENT), 3), lets_in, "a resident, {late} ms late");
        let press = Event::RequestToExit { pressed: true };
        assert_eq!(opened(press, 1), lets_out, "the exit button, {late} ms late");
    }
}

/// The file cannot be replaced, as a folder of that name is in its place.
#[test]
fn a_lockdown_or_a_lockout_that_cannot_be_saved_is_saved_once_it_can_be() {
    let lock_down = |door: &mut Door| {
        assert!(door.keeper.command(Command::Lockdown(true), 0, None, Millis(door.now)));
    };
    let lock_out = |door: &mut Door| (0..5).for_each(|_| _ = door.visit(STRANGER));
    for (what, happens, kept_out) in [
        ("a lockdown", &lock_down as &dyn Fn(&mut Door), Denial::Lockdown),
        ("a lockout", &lock_out, Denial::Lockout),
    ] {
        show(2, 9);
        let mut door = Door::new();
        let saved = door.folder.path().join("lockout.json");
        fs::create_dir(&saved).unwrap();
        happens(&mut door);
        let refused = (vec![Outcome::Denied(kept_out)], false);
        assert_eq!(door.told_the_time().comes(RESIDENT), refused, "{what} is in force");
        door.keeper.try_again(Millis(door.now));
        assert!(!door.keeper.is_saved(), "{what}");
        fs::remove_dir(&saved).unwrap();
        door.keeper.try_again(Millis(door.now));
        assert!(door.keeper.is_saved(), "{what}");
        let mut door = door.restarted();
        assert_eq!(door.told_the_time().comes(RESIDENT), refused, "{what}, after a restart");
    }
}

/// Found when the oldest file is to be deleted. The advice is to move the folder away.
#[test]
fn a_damaged_log_keeps_faces_out_until_it_is_moved_away_and_no_restart_is_needed() {
    let Door { folder, house, clock, keeper, now, visits } = Door::new();
    drop(keeper);
    show(2, 9);
    let (audit, limits) = (folder.path().join("audit"), Limits { file_bytes: 1, files: 2 });
    let moment = clock.moment(Millis(now));
    let mut log = AuditLog::open(&audit, limits, &moment).unwrap();
    for _ in 0..2 {
        log.append(&moment, audit::Entry { kind: "test", fields: Default::default() }).unwrap();
    }
    for file in fs::read_dir(&audit).unwrap().map(|file| file.unwrap().path()) {
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("test", "tests")).unwrap();
    }
    let lock = SimLock::new(SimTimeline::default());
    let keeper = keeper_with(Some(log), lock, folder.path(), house.clone(), clock.clone());
    let (told, path) = (Arc::new(Mutex::new(Vec::new())), audit.clone());
    let says = Arc::clone(&told);
    let keeper = keeper.reopening(move || {
        fs::create_dir_all(&path).unwrap();
        let opened = AuditLog::open(&path, limits, &moment);
        opened.map_err(|e| says.lock().unwrap().push(e.to_string())).ok()
    });
    let mut door = Door { folder, house, clock, keeper, now, visits };
    let mut visits = 0;
    while door.keeper.status().audit_writable {
        door.told_the_time().comes(RESIDENT);
        door.wait(20_000);
        visits += 1;
        assert!(visits < 9, "the damage is never found");
    }
    for _ in 0..2 {
        door.keeper.try_again(Millis(door.now));
        let kept_out = vec![Outcome::Denied(Denial::AuditNotWritable)];
        assert_eq!(door.told_the_time().comes(RESIDENT), (kept_out, false));
    }
    let said = told.lock().unwrap().clone();
    assert!(said.len() == 2 && said.iter().all(|e| e.contains("is damaged")), "{said:?}");
    fs::rename(&audit, door.folder.path().join("evidence")).unwrap();
    door.keeper.try_again(Millis(door.now));
    assert_eq!(door.told_the_time().comes(RESIDENT), (vec![Outcome::Granted], true));
    drop(door.keeper);
    audit::verify(&audit, None).unwrap();
}

/// The time that has run out since is told the core by whatever comes next.
#[test]
fn a_press_that_comes_as_a_pulse_ends_opens_once_more() {
    let mut door = Door::new();
    for (pressed, at) in [(true, 1_000), (false, 1_200), (true, 4_000)] {
        door.keeper.tell(Event::RequestToExit { pressed }, Millis(at));
    }
    let news = door.keeper.news();
    assert!(door.keeper.status().unlocked, "{news:?}");
    let strike: Vec<_> =
        news.into_iter().filter(|n| matches!(n, News::Unlocked | News::Locked)).collect();
    assert_eq!(strike, [News::Locked, News::Unlocked, News::Locked, News::Unlocked]);
}

#[test]
fn in_a_lockdown_a_command_is_refused_while_somebody_leaves_too() {
    let mut door = Door::new();
    assert!(door.keeper.command(Command::Lockdown(true), 0, None, Millis(0)));
    door.keeper.tell(Event::RequestToExit { pressed: true }, Millis(1_000));
    assert!(door.keeper.status().unlocked);
    assert!(!door.keeper.command(Command::Unlock, 0, None, Millis(1_500)));
}

#[test]
fn on_a_full_disk_no_face_opens_the_exit_button_does_and_all_is_well_once_there_is_room() {
    let Some(disk) = SmallDisk::new() else { return };
    show(2, 9);
    let mut door = Door::within(tempfile::tempdir_in(disk.path()).unwrap());
    door.told_the_time();
    assert_eq!(door.comes(RESIDENT), (vec![Outcome::Granted], true));
    let fill = disk.fill();
    // The last page of the log has room for some records.
    while door.keeper.status().audit_writable {
        let (decided, opened) = door.told_the_time().comes(RESIDENT);
        assert_eq!(decided == [Outcome::Granted], opened, "{decided:?}");
        door.wait(20_000);
        assert!(door.visits < 50, "the disk never fills");
    }
    let kept_out = vec![Outcome::Denied(Denial::AuditNotWritable)];
    assert_eq!(door.told_the_time().comes(RESIDENT), (kept_out, false));
    for _ in 0..3 {
        assert!(door.lets_out());
        // A short record may fit in where that of a grant does not.
        door.keeper.try_again(Millis(door.now));
        let (decided, opened) = door.told_the_time().comes(RESIDENT);
        assert!(!opened && !decided.contains(&Outcome::Granted), "{decided:?}");
    }
    fs::remove_file(fill).unwrap();
    door.keeper.try_again(Millis(door.now));
    assert_eq!(door.told_the_time().comes(RESIDENT), (vec![Outcome::Granted], true));
    audit::verify(&door.folder.path().join("audit"), None).unwrap();
}

#[test]
fn on_a_disk_that_is_read_only_no_face_opens_and_the_exit_button_does() {
    let Some(disk) = SmallDisk::new() else { return };
    show(2, 9);
    let Door { folder, house, clock, keeper: before, .. } =
        Door::within(tempfile::tempdir_in(disk.path()).unwrap());
    drop(before);
    assert!(mount(&["-o", "remount,ro"], disk.path()));
    let keeper = keeper(folder.path(), house.clone(), clock.clone());
    let mut door = Door { folder, house, clock, keeper, now: 0, visits: 0 };
    let kept_out = vec![Outcome::Denied(Denial::AuditNotWritable)];
    assert_eq!(door.told_the_time().comes(RESIDENT), (kept_out, false));
    assert!(door.lets_out());
    // It is opened again, and the daemon was never restarted.
    let (path, moment) = (door.folder.path().join("audit"), door.clock.moment(Millis(0)));
    door.keeper = door.keeper.reopening(move || AuditLog::open(&path, LIMITS, &moment).ok());
    door.keeper.try_again(Millis(door.now));
    assert!(!door.keeper.status().audit_writable);
    assert!(mount(&["-o", "remount,rw"], disk.path()));
    door.keeper.try_again(Millis(door.now));
    assert_eq!(door.comes(RESIDENT), (vec![Outcome::Granted], true));
    audit::verify(&door.folder.path().join("audit"), None).unwrap();
}
