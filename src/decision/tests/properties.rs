//! Whatever happens at the door, in whatever order: [`Reference`] looks at all that the core does.

use super::{reference::*, *};
use proptest::{collection::vec, prelude::*, strategy::ValueTree, test_runner::TestRunner};

/// One thing that happens, after some time.
#[derive(Debug, Clone)]
enum Step {
    Event(Event),
    /// A face that is seen over and over, so many milliseconds apart: well (true) or badly (false).
    /// Now and then something happens after the second frame.
    Frames(Observation, Vec<bool>, u64, Option<Event>),
    /// Strangers who come and go one after another: this many.
    Strangers(u8),
    /// The power fails, and the new clock starts here.
    Restart(u64),
    /// The roster changes.
    Lodger(bool),
}

fn score() -> impl Strategy<Value = Score> {
    prop_oneof![
        6 => Just(0.9),
        2 => Just(0.3),
        1 => Just(0.75),
        1 => prop::sample::select(vec![f32::NAN, f32::INFINITY, 1.5, -1.0]),
        1 => 0.6f32..0.9,
    ]
    .prop_map(Score)
}

fn observation() -> impl Strategy<Value = Observation> {
    let person = prop_oneof![5 => Just(0), 1 => Just(1), 2 => Just(2), 2 => Just(3), 1 => Just(9)];
    let best = (person.prop_map(PersonId), score())
        .prop_map(|(person, score)| Candidate { person, score });
    let second = prop_oneof![
        6 => Just(Some(0.1)),
        1 => Just(Some(0.87)),
        1 => Just(None),
        1 => prop::sample::select(vec![Some(f32::NAN), Some(f32::NEG_INFINITY), Some(0.95)]),
    ];
    let quality = prop_oneof![
        5 => Just(Quality::Good),
        1 => Just(Quality::Poor(Flaw::Turned)),
        1 => Just(Quality::Poor(Flaw::TooSmall)),
    ];
    let liveness = prop_oneof![
        3 => Just(Liveness::Unknown),
        4 => prop::sample::select(vec![0.95, 0.95, 0.2, f32::NAN])
            .prop_map(|s| Liveness::Live(LivenessScore(s))),
        1 => Just(Liveness::Spoof(LivenessScore(0.5))),
    ];
    let track = prop_oneof![8 => 0u64..3, 1 => 0u64..20].prop_map(TrackId);
    (track, prop::option::weighted(0.95, best), second, quality, liveness).prop_map(
        |(track, best, second, quality, liveness)| Observation {
            track,
            best,
            second: second.map(Score),
            quality,
            liveness,
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    // The cleaner's hours, or the middle of a Sunday.
    let clock = prop::sample::select(vec![
        None,
        Some((Weekday::Monday, 8)),
        Some((Weekday::Monday, 16)),
        Some((Weekday::Sunday, 12)),
    ])
    .prop_map(|time| {
        time.map(|(weekday, hour)| LocalTime {
            weekday,
            minute: MinuteOfDay::new(hour, 0).unwrap(),
        })
    });
    let mostly = |yes| prop::bool::weighted(yes);
    let command = prop_oneof![
        2 => Just(Command::Unlock),
        1 => Just(Command::Lock),
        3 => mostly(0.4).prop_map(Command::Lockdown),
    ];
    prop_oneof![
        6 => observation().prop_map(Event::Face),
        1 => Just(Event::NoFace),
        4 => any::<bool>().prop_map(|pressed| Event::RequestToExit { pressed }),
        3 => any::<bool>().prop_map(|open| Event::DoorContact { open }),
        1 => any::<bool>().prop_map(|active| Event::Tamper { active }),
        1 => mostly(0.8).prop_map(|up| Event::Camera { up }),
        1 => mostly(0.9).prop_map(|writable| Event::Audit { writable }),
        2 => clock.prop_map(Event::Clock),
        3 => command.prop_map(Event::Command),
        1 => Just(Event::Tick),
        2 => Just(Event::Energised),
        1 => Just(Event::Unrecorded),
    ]
}

fn frames() -> impl Strategy<Value = Step> {
    let interruption = prop::sample::select(vec![
        Event::NoFace,
        Event::Camera { up: false },
        Event::Tick,
        Event::Face(face(0, LODGER, 0.9)),
        Event::Face(face(0, LODGER, 0.3)),
        Event::Face(face(1, RESIDENT, 0.9)),
    ]);
    let well = vec(prop::bool::weighted(0.7), 2..12);
    (observation(), well, 20u64..250, prop::option::weighted(0.4, interruption))
        .prop_map(|(seen, well, gap, between)| Step::Frames(seen, well, gap, between))
}

/// What happens, and how many milliseconds after what happened before; now and then before it.
fn steps() -> impl Strategy<Value = Vec<(i64, Step)>> {
    let wait = prop_oneof![
        8 => 0i64..300,
        2 => 0i64..5_000,
        1 => 0i64..4_000_000,
        1 => -9_000i64..0,
    ];
    let step = prop_oneof![
        8 => event().prop_map(Step::Event),
        6 => frames(),
        1 => (1u8..12).prop_map(Step::Strangers),
        1 => (0u64..1_000_000).prop_map(Step::Restart),
        1 => any::<bool>().prop_map(Step::Lodger),
    ];
    let start = Just((0, Step::Event(Event::Audit { writable: true })));
    (start, vec((wait, step), 1..60)).prop_map(|(start, mut steps)| {
        steps.insert(0, start);
        steps
    })
}

fn policy() -> impl Strategy<Value = Policy> {
    let ms = |range: std::ops::Range<u64>| range.prop_map(Duration::from_millis);
    let liveness = prop::sample::select(vec![
        LivenessPolicy::UnknownAccepted,
        LivenessPolicy::UnknownAccepted,
        LivenessPolicy::Required(LivenessScore(0.5)),
    ]);
    let votes =
        (1u8..5, 0u8..4, ms(200..3_000), liveness).prop_map(|(needed, more, within, liveness)| {
            VotePolicy { needed, of: needed + more, within, liveness, ..VotePolicy::default() }
        });
    let attempts = (1u16..8, ms(3_000..20_000), ms(300..2_000), ms(0..10_000)).prop_map(
        |(frames, timeout, gap, regrant_after)| AttemptPolicy {
            frames,
            timeout,
            gap,
            regrant_after,
        },
    );
    let lockout = (1u8..6, ms(500..40_000), ms(0..200_000), ms(1_000..2_000_000)).prop_map(
        |(misses, first, more, quiet)| LockoutPolicy {
            misses,
            first,
            longest: first + more,
            quiet,
        },
    );
    let strike = (ms(200..5_000), ms(0..10_000), prop::option::of(ms(0..200))).prop_map(
        |(pulse, more, relock_on_open)| StrikePolicy {
            pulse,
            longest: pulse + more,
            relock_on_open,
        },
    );
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (votes, attempts, lockout, strike, flags).prop_map(
        |(votes, attempts, lockout, strike, (exit_in_lockout, exit_in_lockdown, need_audit))| {
            let faces_need_audit = need_audit;
            Policy {
                votes,
                attempts,
                lockout,
                strike,
                exit_in_lockout,
                exit_in_lockdown,
                faces_need_audit,
                ..Policy::default()
            }
        },
    )
}

/// A core with the reference beside it.
struct Watched {
    core: Core,
    reference: Reference,
    policy: Policy,
    now: u64,
    people: People,
    ticks: bool,
    /// Whether no face can be recorded.
    unrecorded: bool,
}

type Checked = Result<(), TestCaseError>;

impl Watched {
    /// `ticks`: whether they come at every deadline, or never.
    fn new(policy: Policy, ticks: bool) -> Self {
        let (core, did) = Core::new(policy, &SavedState::default(), Millis(0)).unwrap();
        assert!(did.contains(&Action::Lock));
        let reference = Reference::new(policy, Millis(0));
        let people = People { lodger_lives_here: true };
        Self { core, reference, policy, now: 0, people, ticks, unrecorded: false }
    }

    fn run(&mut self, steps: &[(i64, Step)]) -> Checked {
        for (wait, step) in steps {
            let time = self.now.saturating_add_signed(*wait);
            match *step {
                Step::Event(event) => self.event(event, time)?,
                Step::Frames(seen, ref well, gap, between) => {
                    self.frames(seen, well, gap, between, time)?;
                }
                Step::Strangers(count) => self.strangers(count.into(), time)?,
                Step::Restart(now) => {
                    let saved = self.reference.restart(Millis(now))?;
                    let (core, did) = Core::new(self.policy, &saved, Millis(now)).unwrap();
                    prop_assert!(did.contains(&Action::Lock));
                    (self.core, self.now) = (core, now);
                }
                Step::Lodger(lives_here) => self.people.lodger_lives_here = lives_here,
            }
        }
        Ok(())
    }

    fn frames(
        &mut self,
        seen: Observation,
        well: &[bool],
        gap: u64,
        between: Option<Event>,
        start: u64,
    ) -> Checked {
        let badly = Observation { quality: Quality::Poor(Flaw::Blurred), ..seen };
        for ((i, time), &is_well) in (0..).map(|i| (i, start + i * gap)).zip(well) {
            if let Some(event) = between.filter(|_| i == 2) {
                self.event(event, time)?;
                if event == (Event::Camera { up: false }) {
                    self.event(Event::Camera { up: true }, time)?;
                }
            }
            self.event(Event::Face(if is_well { seen } else { badly }), time)?;
        }
        Ok(())
    }

    fn strangers(&mut self, count: u64, time: u64) -> Checked {
        let gap = self.policy.attempts.gap.as_millis() as u64;
        for i in 0..count {
            for frame in 0..8 {
                let seen = face(1_000 + i, RESIDENT, 0.3);
                self.event(Event::Face(seen), time + i * (gap + 400) + frame * 20)?;
            }
        }
        Ok(())
    }

    fn event(&mut self, event: Event, time: u64) -> Checked {
        while let Some(due) = self.core.next_deadline().filter(|due| self.ticks && due.0 < time) {
            self.handle(Event::Tick, due.0)?;
        }
        self.handle(event, time).map(|_| ())
    }

    fn handle(&mut self, event: Event, time: u64) -> Result<Actions, TestCaseError> {
        self.now = self.now.max(time);
        let before = self.core.released_until().filter(|until| until.0 > self.now);
        let did = self.core.handle(event, Millis(time), &self.people);
        // One is to spare, so a full list is one that lost something.
        prop_assert!(did.len() < MAX_ACTIONS);
        self.reference.check(event, Millis(time), &did, &self.people)?;
        self.reference.check_deadline(self.core.next_deadline())?;
        let by_face = |a: &Action| matches!(a, Action::Unlock { cause: Cause::Face, .. });
        if self.unrecorded && did.iter().any(by_face) {
            let undid = self.handle(Event::Unrecorded, self.now)?;
            prop_assert_eq!(self.core.released_until(), before, "as before");
            prop_assert_eq!(undid.contains(&Action::Lock), before.is_none());
        }
        Ok(did)
    }
}

proptest! {
    #[test]
    fn whatever_happens_every_rule_holds(
        policy in policy(), ticks in prop::bool::weighted(0.7), steps in steps(),
    ) {
        Watched::new(policy, ticks).run(&steps)?;
    }

    #[test]
    fn a_face_that_cannot_be_recorded_changes_nothing_for_the_strike(
        policy in policy(), ticks in prop::bool::weighted(0.7), steps in steps(),
    ) {
        let mut door = Watched::new(policy, ticks);
        door.unrecorded = true;
        door.run(&steps)?;
    }

    #[test]
    fn by_the_default_policy_too(ticks in prop::bool::weighted(0.7), steps in steps()) {
        Watched::new(Policy::default(), ticks).run(&steps)?;
    }

    #[test]
    fn whatever_happened_a_resident_gets_in_as_soon_as_nothing_forbids_it(
        policy in policy(), steps in steps(),
    ) {
        let mut door = Watched::new(policy, true);
        door.run(&steps)?;
        for event in [
            Event::Command(Command::Lockdown(false)),
            Event::Camera { up: true },
            Event::Audit { writable: true },
        ] {
            door.event(event, door.now)?;
        }
        let start = Millis(door.now)
            .after(policy.lockout.longest + policy.attempts.timeout + policy.attempts.gap).0;
        let live = Liveness::Live(LivenessScore(1.0));
        let resident = Observation { liveness: live, ..face(999, RESIDENT, 0.9) };
        door.event(Event::Tick, start)?;
        for frame in 1..=u64::from(policy.votes.needed) {
            let did = door.handle(Event::Face(resident), start + frame * 10)?;
            let opens = |a: &Action| matches!(a, Action::Unlock { cause: Cause::Face, .. });
            let is_last = frame == u64::from(policy.votes.needed);
            prop_assert_eq!(did.iter().any(opens), is_last, "frame {}", frame);
        }
    }

    #[test]
    fn nothing_makes_it_panic_or_lose_an_action(
        policy in policy(),
        saved in (any::<u8>(), any::<u8>(), any::<Duration>(), any::<bool>()),
        start in any::<u64>(),
        events in vec((event(), prop_oneof![any::<u64>(), u64::MAX - 9_000..=u64::MAX]), 0..60),
    ) {
        let (misses, lockouts, remaining, lockdown) = saved;
        let saved = SavedState { misses, lockouts, remaining, lockdown };
        let (mut core, _) = Core::new(policy, &saved, Millis(start)).unwrap();
        for (event, now) in events {
            let did = core.handle(event, Millis(now), &People { lodger_lives_here: true });
            prop_assert!(did.len() < MAX_ACTIONS);
            let _ = core.next_deadline();
        }
    }
}

#[test]
fn the_random_sequences_reach_what_the_properties_are_about() {
    let mut runner = TestRunner::deterministic();
    let mut all = Vec::new();
    for _ in 0..500 {
        let (policy, steps) = (policy(), steps()).new_tree(&mut runner).unwrap().current();
        let mut door = Watched::new(policy, true);
        door.run(&steps).unwrap();
        all.push(door.reference.reached);
    }
    type Count = fn(&Reached) -> u32;
    let counts: [(&str, Count); 7] = [
        ("unlocks by face", |r| r.face_unlocks),
        ("exits in lockdown", |r| r.exits_in_lockdown),
        ("lockouts", |r| r.lockouts),
        ("longer lockouts", |r| r.longer_lockouts),
        ("restarts in lockout", |r| r.restarts_in_lockout),
        ("denials", |r| r.denials),
        ("alarms", |r| r.alarms),
    ];
    for (name, count) in counts {
        let sum: u32 = all.iter().map(count).sum();
        println!("{name}: {sum}");
        assert!(sum >= 10, "only {sum} {name}");
    }
}
