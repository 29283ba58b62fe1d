//! What a frame costs in memory: deciding about it takes none, and what looking at it takes is given back.
//!
//! The counts are of this thread, by an allocator that `allocation-counter` puts in the place of the
//! system's.

use allocation_counter::{AllocationInfo, measure};
use facelatch::{
    align::{Landmarks, template},
    camera::{Fps, Pace, Source, Wanted},
    config::Config,
    decision::{
        Action, Candidate, Core, Event, Liveness, LocalTime, Millis, MinuteOfDay, Observation,
        Permission, PersonId, Policy, Quality, Roster, SavedState, Schedule, TrackId, Weekday,
    },
    detect::{Bounds, Decoder, DetectionScore, Detector, Face, Limits, assess},
    door::{SimLock, SimTimeline},
    embed::Embedding,
    gallery::Matcher,
    model::Pool,
    pipeline::{Recogniser, Seen, Tracker, events},
    service::{Clock, House, Keeper, timetable},
};
use image::RgbImage;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Somebody of a crowd: a direction of their own, by Knuth's MMIX generator.
fn somebody(number: usize) -> Embedding {
    let mut state = number as u64;
    let mut value = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..16).for_each(|_| _ = value());
    Embedding::new(std::array::from_fn(|_| value())).unwrap()
}

/// Everybody may come at certain times, which is the longest way through the rules.
struct Timetables(Schedule);

impl Roster for Timetables {
    fn permission(&self, _: PersonId) -> Permission {
        Permission::Scheduled(self.0.clone())
    }
}

/// A face of 100 px in a frame of 640x480, with something to measure in it.
fn scene() -> (RgbImage, Face) {
    let frame = RgbImage::from_fn(640, 480, |x, y| image::Rgb([(x * 7 + y * 13) as u8; 3]));
    let bounds = Bounds { x: 200.0, y: 150.0, width: 112.0, height: 112.0 };
    let moved = template(112).0.map(|[x, y]| [x + bounds.x, y + bounds.y]);
    let face = Face { bounds, landmarks: Landmarks(moved), score: DetectionScore(0.9) };
    (frame, face)
}

fn nothing(what: &str, found: AllocationInfo) {
    assert_eq!(found.count_total, 0, "{what}: {found:?}");
}

/// From the faces that the detector found, through tracks, quality, search and rules, to the actions:
/// residents come and go, are granted, refused, locked out.
#[test]
fn from_faces_to_actions_nothing_is_allocated() {
    let (frame, face) = scene();
    // What is theirs, and as much again that is another's in every template.
    let template =
        |p: usize, t: usize| somebody(p * 10).halfway(&somebody(p * 10 + t + 1)).unwrap();
    let people: Vec<[Embedding; 8]> =
        (0..50).map(|p| std::array::from_fn(|t| template(p, t))).collect();
    let matcher =
        Matcher::new((0..).zip(&people).map(|(id, own)| (PersonId(id), false, own.as_slice())));
    let probes = [people[7][3], somebody(100_000)];
    let roster = Timetables(timetable("daily 00:00-24:00").unwrap());
    let (mut core, _) = Core::new(Policy::default(), &SavedState::default(), Millis(0)).unwrap();
    let (mut tracker, limits) = (Tracker::default(), Limits::default());
    let midnight = LocalTime { weekday: Weekday::Monday, minute: MinuteOfDay::MIDNIGHT };
    let (mut unlocked, mut locked, mut recorded) = (0, 0, 0);
    let mut tell = |event, now| {
        for action in core.handle(event, now, &roster) {
            match action {
                Action::Unlock { .. } => unlocked += 1,
                Action::Lock => locked += 1,
                Action::Record(_) => recorded += 1,
                _ => {}
            }
        }
    };
    let found = measure(|| {
        tell(Event::Audit { writable: true }, Millis(0));
        for number in 0..20_000u64 {
            let now = Millis(number * 100);
            if number % 100 == 0 {
                tell(Event::Clock(Some(midnight)), now);
            }
            // Ten seconds of somebody, ten of nobody; every eighth visitor is a stranger.
            let visit = number / 100;
            let mut seen = heapless::Vec::<Seen, 16>::new();
            if visit % 2 == 0 {
                let track = tracker.follow(&[face], now)[0];
                // The drawing is no face: that it is measured counts here, not what comes of it.
                let _ = std::hint::black_box(limits.judge(&assess(&frame, &face)));
                let found = matcher.search(&probes[usize::from(visit % 16 == 0)]).unwrap();
                let observation = Observation {
                    track,
                    best: Some(Candidate { person: found.best.id, score: found.best.score }),
                    second: found.second.map(|second| second.score),
                    quality: Quality::Good,
                    liveness: Liveness::Unknown,
                };
                let _ = seen.push(Seen { face, observation });
            }
            events(&seen).for_each(|event| tell(event, now));
        }
    });
    assert!(
        unlocked >= 10 && locked >= 10 && recorded > unlocked,
        "{unlocked} {locked} {recorded}"
    );
    nothing("20,000 frames", found);
}

/// The keeper writes records, which takes memory; a frame about which nothing is decided takes none.
#[test]
fn a_keeper_to_whom_nothing_happens_allocates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let lock = Box::new(SimLock::new(SimTimeline::default()));
    let saved = folder.path().join("lockout.json");
    let policy = Policy::default();
    let (house, clock) = (House::default(), Clock::new());
    let mut keeper = Keeper::new(policy, lock, house, None, clock, saved, Millis(0)).unwrap();
    let face = |now: u64| {
        let quality = Quality::Good;
        let (best, second, liveness) = (None, None, Liveness::Unknown);
        let track = TrackId(now / 1_000_000);
        Event::Face(Observation { track, best, second, quality, liveness })
    };
    keeper.tell(face(0), Millis(0));
    keeper.news();
    nothing(
        "a second of frames",
        measure(|| {
            for now in (100..300).step_by(100) {
                keeper.tell(face(now), Millis(now));
                assert!(keeper.news().is_empty());
                assert!(keeper.deadline().is_some());
            }
        }),
    );
}

/// Frames of the demo's evening, with and without a face in them: what a look takes is what tract takes to
/// run the networks, and all of it is given back.
#[test]
fn what_a_look_takes_is_tracts_and_is_given_back() {
    let models = ["models/detector-int8.onnx", "models/embedding-int8.onnx"].map(repository);
    let [detector, network] = &models;
    let (decoder, pool) = (Decoder::default(), Arc::new(Pool::new(1)));
    let limits = Config::default().quality;
    let mut recogniser = Recogniser::load(detector, network, decoder, limits, &pool).unwrap();
    let detector = Detector::parse(detector, std::fs::read(detector).unwrap(), &pool).unwrap();
    let crop = RgbImage::new(recogniser.network().input_size(), recogniser.network().input_size());
    let own = [somebody(1)];
    let matcher = Matcher::new([(PersonId(1), false, own.as_slice())]);
    let fps = Fps::new(4.0).unwrap();
    let wanted = Wanted { width: 640, height: 480, fps, format: None };
    let source = Source::Folder(repository("demo/evening"), fps);
    let mut camera = source.open(&wanted, Pace::Fast).unwrap();
    let frames: Vec<_> = std::iter::from_fn(|| camera.next().ok()).step_by(8).collect();
    // The first looks make what tract keeps.
    for frame in &frames {
        recogniser.look(&frame.pixels, Millis(0), &matcher).unwrap();
        detector.detect(&frame.pixels, &decoder).unwrap();
    }
    let embedding = measure(|| _ = recogniser.network().embed(&crop).unwrap()).count_total;
    let mut most = [(0u64, 0u64); 2];
    for frame in &frames {
        let mut faces = 0;
        let found = measure(|| {
            let now = Millis(frame.at.as_millis() as u64);
            faces = recogniser.look(&frame.pixels, now, &matcher).unwrap().len();
        });
        assert_eq!(found.count_current, 0, "{found:?}");
        assert_eq!(found.bytes_current, 0, "{found:?}");
        let detection = measure(|| _ = detector.detect(&frame.pixels, &decoder).unwrap());
        let tracts = detection.count_total + embedding * faces as u64;
        assert!(found.count_total <= tracts, "{} and tract's {tracts}", found.count_total);
        let most = &mut most[faces.min(1)];
        *most = (most.0.max(found.count_total), most.1.max(found.bytes_max));
    }
    for (what, (count, bytes)) in ["no face", "a face"].iter().zip(most) {
        println!("{what}: {count} allocations, {} KiB at once, all of them tract's", bytes >> 10);
        assert!(count > 0, "the evening has frames with {what}");
        assert!(bytes < MOST_AT_ONCE, "{what}: {bytes} bytes at once");
    }
}

/// Bytes that one look may hold at once; on the day of writing it held 2.3 MiB.
const MOST_AT_ONCE: u64 = 4 << 20;
