//! What happens at the door, told as stories: each line says when, what happens, and all that the
//! core does about it, ticks in between included.

use super::{
    house::{CLOSED, House},
    *,
};

const OPENED: Event = Event::DoorContact { open: true };
const EXIT: Event = Event::RequestToExit { pressed: true };
const UNLOCK: Event = Event::Command(Command::Unlock);
const LOCKDOWN: Event = Event::Command(Command::Lockdown(true));
const RELEASE: Event = Event::Command(Command::Lockdown(false));

fn resident(track: u64) -> Observation {
    face(track, RESIDENT, 0.9)
}

fn stranger(track: u64) -> Observation {
    face(track, RESIDENT, 0.3)
}

fn clock(weekday: Weekday, hour: u8) -> Event {
    let minute = MinuteOfDay::new(hour, 0).unwrap();
    Event::Clock(Some(LocalTime { weekday, minute }))
}

#[test]
fn a_resident_comes_home() {
    let small = Observation { quality: Quality::Poor(Flaw::TooSmall), ..resident(1) };
    House::new()
        .seen(1_000, 4, small, "show ComeCloser")
        .seen(1_400, 2, resident(1), "show HoldStill")
        .at(1_600, Event::Face(resident(1)), "unlock for Face until 4600; granted; show Open")
        .at(2_000, Event::NoFace, "")
        .at(2_500, OPENED, "")
        .until(3_500, "lock; show Clear")
        .at(8_000, CLOSED, "")
        .until(100_000, "");
}

#[test]
fn a_resident_who_missed_the_pulse_need_not_step_away_but_wait() {
    House::new()
        .seen(
            1_000,
            3,
            resident(1),
            "show HoldStill; unlock for Face until 4200; granted; show Open",
        )
        .seen(1_300, 99, resident(1), "lock; show Clear")
        .at(11_200, Event::Face(resident(1)), "unlock for Face until 14200; granted; show Open");
}

#[test]
fn other_rules_hold_from_the_next_frame_on_and_wrong_ones_never() {
    let rules = |change: fn(&mut Policy)| {
        let mut policy = Policy::default();
        change(&mut policy);
        policy
    };
    let mut house = House::new().seen(1_000, 2, resident(1), "show HoldStill");
    house.core.set_policy(rules(|p| p.votes.margin = Margin(0.1))).unwrap();
    // Two votes of the old rules and one of the new are no three.
    let mut house = house.seen(1_200, 2, resident(1), "").seen(
        1_400,
        1,
        resident(1),
        "unlock for Face until 4400; granted; show Open",
    );
    // The pulse that is under way ends as it was to end.
    house.core.set_policy(rules(|p| p.votes.threshold = Threshold(0.95))).unwrap();
    assert!(house.core.set_policy(rules(|p| p.votes.needed = 0)).is_err());
    house.until(4_400, "lock; show Clear").seen(
        12_000,
        9,
        resident(2),
        "show HoldStill; show NotRecognised",
    );
}

#[test]
fn a_stranger_is_one_miss_however_many_frames() {
    House::new()
        .seen(1_000, 4, stranger(1), "show HoldStill")
        .until(3_000, "2300: show Clear")
        .seen(5_000, 60, stranger(2), "show HoldStill; show NotRecognised")
        .until(20_000, "11900: denied: NotRecognised; 11900: save 1 missed; 11900: show Clear");
}

#[test]
fn a_stranger_who_lingers_is_a_miss_every_timeout_but_one_record() {
    House::new().seen(
        0,
        400,
        stranger(1),
        "show HoldStill; show NotRecognised; denied: NotRecognised; save 1 missed; \
         show HoldStill; show NotRecognised; save 2 missed; \
         show HoldStill; show NotRecognised",
    );
}

#[test]
fn every_reason_to_deny_is_recorded_and_only_guesses_are_misses() {
    let seen = resident(1);
    let flawed = |flaw| Observation { quality: Quality::Poor(flaw), ..seen };
    let spoof = Liveness::Spoof(LivenessScore(0.9));
    let alike = Some(Score(0.88));
    for (seen, denial, is_miss) in [
        (face(1, RESIDENT, f32::NAN), "NotRecognised", true),
        (Observation { best: None, ..seen }, "NotRecognised", true),
        (Observation { second: alike, ..seen }, "Ambiguous", true),
        (Observation { liveness: spoof, ..seen }, "NotLive", true),
        (face(1, DISABLED, 0.9), "NotPermitted", true),
        (face(1, PersonId(77), 0.9), "NotPermitted", true),
        (face(1, CLEANER, 0.9), "ClockUnsynchronised", false),
        (flawed(Flaw::Turned), "PoorQuality(Turned)", false),
        (flawed(Flaw::Covered), "PoorQuality(Covered)", false),
    ] {
        let (mut house, mut did) = (House::new(), Vec::new());
        for frame in 0..10 {
            house.handle(Event::Face(seen), frame * 100, false, &mut did);
        }
        house.handle(Event::Tick, 5_000, false, &mut did);
        let count = |text: &str| did.iter().filter(|did| did.contains(text)).count();
        assert_eq!(count("denied"), 1, "{denial}: {did:?}");
        assert_eq!(count(&format!("denied: {denial}")), 1, "{denial}: {did:?}");
        assert_eq!(count("save 1 missed") == 1, is_miss, "{denial}: {did:?}");
        assert_eq!(count("unlock"), 0, "{denial}: {did:?}");
    }
}

#[test]
fn frames_spread_too_thin_do_not_add_up() {
    let poor = Observation { quality: Quality::Poor(Flaw::Blurred), ..stranger(1) };
    let house = || House::new().seen(0, 2, resident(1), "show HoldStill");
    // Three of six frames; the window is five.
    house().seen(200, 3, poor, "").at(500, Event::Face(resident(1)), "");
    // Three of five, but the first is more than two seconds old.
    house().at(1_000, Event::Face(poor), "").at(1_900, Event::Face(poor), "").at(
        2_001,
        Event::Face(resident(1)),
        "",
    );
    house().seen(200, 2, poor, "").at(
        400,
        Event::Face(resident(1)),
        "unlock for Face until 3400; granted; show Open",
    );
}

#[test]
fn votes_for_two_people_or_of_two_faces_do_not_add_up() {
    let lodger = face(1, LODGER, 0.9);
    House::new()
        .seen(0, 2, resident(1), "show HoldStill")
        .seen(200, 2, resident(2), "")
        .seen(400, 2, lodger, "")
        .seen(600, 2, resident(1), "")
        .at(800, Event::NoFace, "")
        .seen(900, 2, resident(1), "")
        .at(1_100, Event::Face(resident(1)), "unlock for Face until 4100; granted; show Open");
}

#[test]
fn a_face_like_another_resident_in_between_starts_the_count_anew_even_without_a_vote() {
    House::new()
        .seen(0, 2, resident(1), "show HoldStill")
        .at(200, Event::Face(face(1, LODGER, 0.4)), "")
        .seen(300, 2, resident(1), "")
        .at(500, Event::Face(resident(1)), "unlock for Face until 3500; granted; show Open");
}

#[test]
fn a_door_held_open_is_warned_of_and_then_alarmed_until_it_closes() {
    House::new()
        .at(0, EXIT, "unlock for RequestToExit until 3000; granted")
        .at(500, OPENED, "")
        .at(600, OPENED, "")
        .until(45_499, "1500: lock")
        .until(45_500, "show CloseDoor")
        .until(60_499, "")
        .until(60_500, "alarm HeldOpen")
        .until(500_000, "")
        .at(500_001, CLOSED, "no more HeldOpen; show Clear")
        .until(900_000, "");
}

#[test]
fn a_house_may_lock_in_the_very_moment_that_the_door_opens_or_let_the_pulse_run_out() {
    let exit = "unlock for RequestToExit until 3000; granted";
    for (relock_on_open, opened, later) in
        [(Some(Duration::ZERO), "lock", ""), (None, "", "3000: lock")]
    {
        let strike = StrikePolicy { relock_on_open, ..StrikePolicy::default() };
        House::with(Policy { strike, ..Policy::default() })
            .at(0, EXIT, exit)
            .at(500, OPENED, opened)
            .until(5_000, later);
    }
}

#[test]
fn a_forced_door_is_alarmed_until_it_closes_and_not_within_the_grace() {
    House::new()
        .at(0, OPENED, "alarm ForcedOpen")
        .until(500_000, "")
        .at(500_000, CLOSED, "no more ForcedOpen")
        .at(501_000, EXIT, "unlock for RequestToExit until 504000; granted")
        .at(506_000, OPENED, "504000: lock")
        .at(506_000, CLOSED, "")
        .at(506_001, OPENED, "alarm ForcedOpen");
}

#[test]
fn a_door_found_open_at_the_start_is_not_forced_but_watched() {
    let (core, _) = Core::new(Policy::default(), &SavedState::default(), Millis(0)).unwrap();
    House { core, now: 0, saved: SavedState::default() }
        .at(0, OPENED, "")
        .until(60_000, "45000: show CloseDoor; alarm HeldOpen")
        .at(61_000, CLOSED, "no more HeldOpen; show Clear")
        .at(62_000, OPENED, "alarm ForcedOpen");
}

#[test]
fn the_exit_button_opens_at_night_whatever_else_is_wrong() {
    House::new()
        .at(0, LOCKDOWN, "lock; recorded Lockdown(true); save lockdown")
        .at(0, Event::Camera { up: false }, "alarm CameraLost; show OutOfOrder")
        .at(0, Event::Audit { writable: false }, "")
        .at(0, Event::Clock(None), "")
        .at(1_000, EXIT, "unlock for RequestToExit until 4000; granted")
        .at(3_000, EXIT, "unlock for RequestToExit until 6000; granted")
        .at(3_100, Event::RequestToExit { pressed: false }, "")
        .until(6_000, "lock");
}

#[test]
fn a_house_may_say_that_there_is_no_exit_in_a_lockdown_or_a_lockout() {
    let policy = Policy { exit_in_lockdown: false, exit_in_lockout: false, ..Policy::default() };
    let locked_out = SavedState { remaining: 30 * SECOND, ..SavedState::default() };
    House::started(policy, locked_out, 0)
        .at(0, EXIT, "denied: Lockout")
        .at(29_999, EXIT, "denied: Lockout")
        .at(30_000, EXIT, "unlock for RequestToExit until 33000; granted; save nothing")
        .at(31_000, LOCKDOWN, "lock; recorded Lockdown(true); save lockdown")
        .at(32_000, EXIT, "denied: Lockdown");
}

#[test]
fn five_strangers_lock_faces_out_and_a_restart_does_not_help_them() {
    let miss = |house: House, track: u64, start: u64, told: &str| {
        let house = house.seen(start, 10, stranger(track), "show HoldStill; show NotRecognised");
        house.until(start + 1_900, told)
    };
    let mut house = House::new();
    for i in 1..5 {
        let told = format!("denied: NotRecognised; save {i} missed; show Clear");
        house = miss(house, i, i * 2_000, &told);
    }
    let house = miss(
        house,
        5,
        10_000,
        "denied: NotRecognised; locked out for 30s; save 1 lockouts, 30s left; show Clear",
    );
    // 20 s in, the plug is pulled: 30 s count again.
    let mut house = house
        .seen(12_000, 4, resident(6), "show Wait until 41900; denied: Lockout")
        .at(20_000, UNLOCK, "13300: show Clear; unlock for Command until 23000; granted; show Open")
        .at(
            31_900,
            EXIT,
            "23000: lock; 23000: show Clear; unlock for RequestToExit until 34900; granted",
        )
        .restarted(500)
        .seen(1_000, 10, stranger(1), "show Wait until 30500")
        .at(
            30_400,
            Event::Face(resident(2)),
            "2900: denied: NotRecognised; 2900: show Clear; show Wait until 30500",
        )
        .at(30_499, Event::Face(resident(2)), "")
        .until(30_500, "save 1 lockouts");
    // The next one is twice as long, and a resident's grant forgets all.
    for i in 1..5 {
        let told = format!("denied: NotRecognised; save {i} missed, 1 lockouts; show Clear");
        house = house.until(30_000 + i * 2_000, if i == 1 { "31499: show Clear" } else { "" });
        house = miss(house, 10 + i, 30_000 + i * 2_000, &told);
    }
    miss(
        house,
        20,
        40_000,
        "denied: NotRecognised; locked out for 60s; save 2 lockouts, 60s left; show Clear",
    )
    .seen(
        101_700,
        3,
        resident(30),
        "show Wait until 101900; \
            unlock for Face until 104900; granted; save nothing; show Open",
    );
}

#[test]
fn a_stranger_who_could_not_get_in_anyway_is_no_miss() {
    let locked_out = SavedState { remaining: SECOND, ..SavedState::default() };
    House::started(Policy::default(), locked_out, 0)
        .seen(0, 10, stranger(1), "show Wait until 1000")
        .until(1_900, "1000: save nothing; denied: NotRecognised; show Clear");
}

#[test]
fn a_quiet_time_forgets_the_misses() {
    let told = "1900: denied: NotRecognised; 1900: save 1 missed; 1900: show Clear";
    House::new()
        .seen(0, 10, stranger(1), "show HoldStill; show NotRecognised")
        .until(1_801_899, told)
        .until(1_801_900, "save nothing");
}

#[test]
fn the_cleaner_comes_on_mondays_and_not_while_nobody_knows_the_day() {
    let cleaner = |track| face(track, CLEANER, 0.9);
    let opens = |until| format!("unlock for Face until {until}; granted; show Open");
    House::new()
        .seen(0, 10, cleaner(1), "show HoldStill; denied: ClockUnsynchronised; show NotNow")
        .at(2_000, clock(Weekday::Monday, 7), "1900: show Clear")
        .seen(2_000, 10, cleaner(2), "show HoldStill; denied: OutsideSchedule; show NotNow")
        .at(5_000, clock(Weekday::Monday, 8), "3900: show Clear")
        .seen(5_000, 3, cleaner(3), &format!("show HoldStill; {}", opens(8_200)))
        .at(10_000, clock(Weekday::Monday, 16), "8200: lock; 8200: show Clear")
        .seen(129_700, 3, cleaner(4), &format!("show HoldStill; {}", opens(132_900)))
        .until(140_000, "132900: lock; 132900: show Clear")
        .seen(140_000, 3, cleaner(5), "show HoldStill; denied: ClockUnsynchronised; show NotNow")
        .at(150_000, clock(Weekday::Monday, 9), "141200: show Clear")
        .at(150_000, Event::Clock(None), "")
        .seen(150_000, 3, cleaner(6), "show HoldStill; denied: ClockUnsynchronised; show NotNow")
        .at(160_000, clock(Weekday::Tuesday, 9), "151200: show Clear")
        .seen(160_000, 3, cleaner(7), "show HoldStill; denied: OutsideSchedule; show NotNow")
        .until(170_000, "161200: show Clear")
        .seen(170_000, 3, resident(8), &format!("show HoldStill; {}", opens(173_200)));
}

#[test]
fn in_a_lockdown_nobody_comes_in_until_it_is_released() {
    House::new()
        .seen(0, 3, resident(1), "show HoldStill; unlock for Face until 3200; granted; show Open")
        .at(300, LOCKDOWN, "lock; recorded Lockdown(true); save lockdown; show HoldStill")
        .at(400, UNLOCK, "denied: Lockdown")
        .seen(2_000, 30, resident(2), "1200: show Clear; show NotNow; denied: Lockdown")
        .restarted(0)
        .seen(1_000, 30, resident(1), "show NotNow; denied: Lockdown")
        .at(4_000, RELEASE, "recorded Lockdown(false); save nothing")
        .at(4_000, UNLOCK, "unlock for Command until 7000; granted; show Open")
        .at(4_100, Event::Command(Command::Lock), "lock; recorded Locked; show NotNow")
        .seen(
            6_000,
            3,
            resident(2),
            "4900: show Clear; show HoldStill; unlock for Face until 9200; granted; show Open",
        );
}

#[test]
fn without_an_audit_no_face_opens_but_a_command_does() {
    let house = |faces_need_audit| {
        House::with(Policy { faces_need_audit, ..Policy::default() }).at(
            0,
            Event::Audit { writable: false },
            "",
        )
    };
    house(true)
        .seen(0, 4, resident(1), "show OutOfOrder; denied: AuditNotWritable")
        .at(500, UNLOCK, "unlock for Command until 3500; granted; show Open")
        .at(4_000, Event::Audit { writable: true }, "3500: lock; 3500: show Clear")
        .seen(
            4_000,
            3,
            resident(2),
            "show HoldStill; unlock for Face until 7200; granted; show Open",
        );
    house(false).seen(
        0,
        3,
        resident(1),
        "show HoldStill; unlock for Face until 3200; granted; show Open",
    );
}

#[test]
fn a_camera_that_comes_back_starts_anew() {
    House::new()
        .seen(0, 2, resident(1), "show HoldStill")
        .at(200, Event::Camera { up: false }, "alarm CameraLost; show OutOfOrder")
        .at(210, Event::Camera { up: false }, "")
        .seen(300, 5, resident(1), "")
        .at(800, Event::Camera { up: true }, "no more CameraLost; show Clear")
        .seen(900, 2, resident(1), "show HoldStill")
        .at(1_100, Event::Face(resident(1)), "unlock for Face until 4100; granted; show Open");
}

#[test]
fn tampering_is_alarmed_once_and_cleared_once() {
    let tamper = |active| Event::Tamper { active };
    House::new()
        .at(0, tamper(false), "")
        .at(1, tamper(true), "alarm Tamper")
        .at(2, tamper(true), "")
        .at(3, tamper(false), "no more Tamper")
        .at(4, tamper(false), "");
}

#[test]
fn more_faces_than_can_be_followed_wait_and_keep_nobody_out() {
    let mut crowd = Vec::new();
    for frame in 0..3 {
        crowd.extend((1..=20).map(|track| (frame * 100, Event::Face(stranger(track)))));
    }
    House::new()
        .at(0, Event::Face(resident(0)), "show HoldStill")
        .all(&crowd, "")
        .at(300, Event::Face(resident(0)), "")
        .at(400, Event::Face(resident(0)), "unlock for Face until 3400; granted; show Open")
        .seen(400, 20, resident(20), "unlock for Face until 4400; granted");
}

/// A deciding thread that hung is told all at once what happened meanwhile.
#[test]
fn a_face_of_long_ago_opens_nothing_and_a_late_press_only_within_what_somebody_waits() {
    let opened = |event, late: u64| {
        let (mut house, mut did) = (House::new().at(100_000, Event::Tick, ""), Vec::new());
        (0..3).for_each(|i| house.handle(event, 100_000 - late + i, false, &mut did));
        did.iter().filter(|did| did.starts_with("unlock")).count()
    };
    for (late, faces, presses) in [
        (0, 1, 3),
        (300, 1, 3),
        (1_000, 1, 3),
        // Two of the three count.
        (1_001, 0, 3),
        (4_000, 0, 3),
        (5_000, 0, 3),
        (5_003, 0, 0),
        (60_000, 0, 0),
    ] {
        assert_eq!(opened(Event::Face(resident(1)), late), faces, "faces, {late} ms late");
        assert_eq!(opened(EXIT, late), presses, "presses, {late} ms late");
    }
}

#[test]
fn votes_from_before_and_after_a_face_of_long_ago_do_not_add_up() {
    House::new()
        .seen(1_000, 2, resident(1), "show HoldStill")
        .at(2_050, Event::Tick, "")
        // Whose face that was, nobody can tell any more.
        .at(1_049, Event::Face(face(1, LODGER, 0.9)), "")
        .seen(2_090, 2, resident(1), "")
        .at(2_290, Event::Face(resident(1)), "unlock for Face until 5290; granted; show Open");
}

#[test]
fn a_clock_that_goes_back_stands_still() {
    House::new()
        .at(10_000, EXIT, "unlock for RequestToExit until 13000; granted")
        .at(5_000, EXIT, "unlock for RequestToExit until 13000; granted")
        .at(13_000, Event::Tick, "lock");
}
