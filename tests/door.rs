//! The door from end to end: frames in, a simulated strike moved, with the models that ship.

mod shared;

use facelatch::{
    camera::{Fps, FrameSource, Pace, Source, Wanted},
    config::Config,
    decision::{Event, Millis, Outcome},
    detect::Decoder,
    door::{Script, SimLock, SimTimeline, StrikeState},
    embed::Embedding,
    files::Tree,
    gallery::{Gallery, Key, ModelHash, Name},
    model::Pool,
    pipeline::Recogniser,
    service::{
        Clock, House, Keeper, News,
        audit::{self, AuditLog},
        audit_limits, event_of, replay,
    },
};
use image::imageops::FilterType;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn recogniser(config: &Config) -> Recogniser {
    Recogniser::load(
        &repository("models/detector-int8.onnx"),
        &repository("models/embedding-int8.onnx"),
        Decoder::default(),
        config.quality,
        &Arc::new(Pool::new(1)),
    )
    .unwrap()
}

/// When a scene begins.
const START: Millis = Millis(0);

fn camera(frames: &Path, fps: f64) -> Box<dyn FrameSource> {
    let fps = Fps::new(fps).unwrap();
    let wanted = Wanted { width: 640, height: 480, fps };
    Source::Folder(frames.to_owned(), fps).open(&wanted, Pace::Fast).unwrap()
}

/// A house in a scratch folder, whose strike is simulated.
struct Scene {
    folder: tempfile::TempDir,
    config: Config,
    timeline: SimTimeline,
}

/// What one replay came to.
struct Played {
    /// Names of those let in.
    granted: Vec<String>,
    /// How many were turned away.
    denied: usize,
    /// How often the strike was released.
    released: usize,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("audit")).unwrap();
        Self { folder, config: Config::default(), timeline: SimTimeline::default() }
    }

    fn enrol(&self, recogniser: &Recogniser, people: &[(String, Vec<Embedding>)]) -> House {
        let model = ModelHash::from_hex(&recogniser.network().contract().weights_sha256).unwrap();
        let path = self.folder.path().join("gallery.redb");
        let mut gallery = Gallery::create(&path, Key::generate().unwrap(), model).unwrap();
        for (name, samples) in people {
            gallery.enrol(&Name::new(name).unwrap(), samples, None).unwrap();
        }
        House::of(&gallery).unwrap()
    }

    fn keeper(&self, house: House, log: Option<AuditLog>) -> Keeper {
        let lock = Box::new(SimLock::new(self.timeline.clone()));
        let saved = self.folder.path().join("lockout.json");
        Keeper::new(self.config.policy(), lock, house, log, Clock::new(), saved, START).unwrap()
    }

    /// A house of which one of the demo's residents is all.
    fn only_alex(&self, recogniser: &Recogniser) -> House {
        let alex = samples(recogniser, &files(&repository("demo/enrol/Alex")));
        self.enrol(recogniser, &[("Alex".to_owned(), alex)])
    }

    fn was_released(&self) -> bool {
        self.timeline.entries().iter().any(|(_, state)| *state == StrikeState::Unlocked)
    }

    fn play(
        &self,
        recogniser: &mut Recogniser,
        house: House,
        frames: &Path,
        fps: f64,
        inputs: &[(Duration, Event)],
    ) -> Played {
        let (audit, now) = (self.folder.path().join("audit"), Clock::new().moment(START));
        let log = AuditLog::open(&audit, audit_limits(&self.config.audit), &now).unwrap();
        let mut keeper = self.keeper(house.clone(), Some(log));
        let mut camera = camera(frames, fps);
        let mut played = Played { granted: Vec::new(), denied: 0, released: 0 };
        replay(&mut *camera, recogniser, &mut keeper, inputs, &mut |_, _, news| {
            for news in news {
                match news {
                    News::Decision(record) => match record.outcome {
                        Outcome::Granted => {
                            let person = record.evidence.and_then(|e| e.person).unwrap();
                            played.granted.push(house.name(person).unwrap().to_owned());
                        }
                        Outcome::Denied(_) => played.denied += 1,
                        _ => {}
                    },
                    News::Unlocked => played.released += 1,
                    _ => {}
                }
            }
        })
        .unwrap();
        assert_eq!(self.timeline.state(), Some(StrikeState::Locked), "it ends locked");
        played
    }
}

fn samples(recogniser: &Recogniser, pictures: &[PathBuf]) -> Vec<Embedding> {
    let embed = |path: &PathBuf| {
        let picture = image::open(path).unwrap().into_rgb8();
        recogniser.probe(&picture, false).ok().map(|probe| probe.embedding)
    };
    pictures.iter().filter_map(embed).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn the_demos_residents_come_in_and_its_stranger_does_not() {
    let scene = Scene::new();
    let mut recogniser = recogniser(&scene.config);
    let people: Vec<_> = files(&repository("demo/enrol"))
        .iter()
        .map(|folder| {
            let name = folder.file_name().unwrap().to_string_lossy().into_owned();
            (name, samples(&recogniser, &files(folder)))
        })
        .collect();
    let house = scene.enrol(&recogniser, &people);
    let script: Script =
        fs::read_to_string(repository("demo/inputs.txt")).unwrap().parse().unwrap();
    let inputs: Vec<_> = script.steps().iter().map(|(at, kind)| (*at, event_of(*kind))).collect();
    let played = scene.play(&mut recogniser, house, &repository("demo/evening"), 4.0, &inputs);
    assert_eq!(played.granted, ["Alex", "Ben"]);
    assert_eq!(played.denied, 1, "the stranger");
    assert_eq!(played.released, 2);
    let folder = scene.folder.path().join("audit");
    let found = audit::verify(&folder, None).unwrap();
    // Two grants, a refusal, and the alarm of the forced door.
    assert!(found.records >= 4, "{}", found.records);
    let alarms =
        audit::read(&folder, audit::Filter { kind: Some("alarm".into()), ..Default::default() });
    assert_eq!(alarms.unwrap().count(), 1);
}

#[test]
fn without_an_audit_log_no_face_opens() {
    let scene = Scene::new();
    let mut recogniser = recogniser(&scene.config);
    let mut keeper = scene.keeper(scene.only_alex(&recogniser), None);
    let mut camera = camera(&repository("demo/evening"), 4.0);
    replay(&mut *camera, &mut recogniser, &mut keeper, &[], &mut |_, _, _| {}).unwrap();
    assert!(!scene.was_released());
}

/// The folder vanishes, as a card that fails; a file that must rotate at every record cannot.
#[test]
fn a_log_that_fails_keeps_the_door_locked_until_it_can_be_written_again() {
    let scene = Scene::new();
    let mut recogniser = recogniser(&scene.config);
    let house = scene.only_alex(&recogniser);
    let (audit, now) = (scene.folder.path().join("audit"), Clock::new().moment(START));
    let mut log = AuditLog::open(&audit, audit::Limits { file_bytes: 1, files: 4 }, &now).unwrap();
    for _ in 0..2 {
        let entry = audit::Entry { kind: "test", fields: Default::default() };
        log.append(&now, entry).unwrap();
    }
    fs::rename(&audit, scene.folder.path().join("gone")).unwrap();
    let mut keeper = scene.keeper(house, Some(log));
    let mut camera = camera(&repository("demo/evening"), 4.0);
    let (mut granted, mut kept_out) = (0, 0);
    replay(&mut *camera, &mut recogniser, &mut keeper, &[], &mut |_, _, news| {
        for news in news {
            match news {
                News::Decision(record) => {
                    granted += usize::from(record.outcome == Outcome::Granted)
                }
                News::Unrecorded(_) => kept_out += 1,
                _ => {}
            }
        }
    })
    .unwrap();
    assert!(!scene.was_released(), "nothing is on record, so nobody is let in");
    assert!(granted == 0 && kept_out > 0, "and nobody is said to be: {granted}, {kept_out}");
    assert!(!keeper.status().audit_writable);
    fs::rename(scene.folder.path().join("gone"), &audit).unwrap();
    keeper.try_again(Millis(100_000));
    assert!(keeper.status().audit_writable, "it is tried again");
    audit::verify(&audit, None).unwrap();
}

/// LFW-dev's people with the most pictures, each with theirs.
fn lfw_people(tree: &Tree, least: usize) -> Vec<(String, Vec<String>)> {
    let mut people: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in tree.paths().iter().filter(|path| path.ends_with(".jpg")) {
        let name = path.rsplit('/').nth(1).unwrap().to_owned();
        people.entry(name).or_default().push(path.clone());
    }
    let mut people: Vec<_> = people.into_iter().filter(|(_, p)| p.len() >= least).collect();
    people.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then_with(|| a.0.cmp(&b.0)));
    people
}

/// Real photographs, years and cameras apart, are much harder than a door's own frames: of residents
/// only some are let in, of strangers nobody may be.
#[test]
fn on_photographs_of_real_people_residents_come_in_and_strangers_do_not() {
    let Some(path) = shared::shared("lfw-dev.zip") else { return };
    let tree = Tree::open(&path).unwrap();
    let people = lfw_people(&tree, 8);
    let scene = Scene::new();
    let mut recogniser = recogniser(&scene.config);
    let read = |path: &String| image::load_from_memory(&tree.read(path).unwrap()).unwrap();
    let (residents, strangers) = people.split_at(8);
    let enrolled: Vec<_> = residents
        .iter()
        .map(|(name, pictures)| {
            let samples = pictures[..pictures.len() / 2].iter().take(8).filter_map(|path| {
                recogniser.probe(&read(path).into_rgb8(), false).ok().map(|p| p.embedding)
            });
            (name.clone(), samples.collect())
        })
        .collect();
    let house = scene.enrol(&recogniser, &enrolled);
    // Each visit is a person's other pictures, one after another; between two nobody is there.
    let frames = scene.folder.path().join("frames");
    fs::create_dir(&frames).unwrap();
    let mut count = 0;
    let mut add = |picture: &image::DynamicImage| {
        count += 1;
        picture.save(frames.join(format!("{count:05}.png"))).unwrap();
    };
    let nobody = image::DynamicImage::new_rgb8(250, 250);
    let visits = residents.iter().map(|(_, p)| &p[p.len() / 2..]);
    for pictures in visits.chain(strangers.iter().map(|(_, p)| &p[..])) {
        pictures
            .iter()
            .for_each(|path| add(&read(path).resize_exact(500, 500, FilterType::Triangle)));
        (0..8).for_each(|_| add(&nobody));
    }
    let played = scene.play(&mut recogniser, house, &frames, 4.0, &[]);
    let names: Vec<&str> = residents.iter().map(|(name, _)| name.as_str()).collect();
    eprintln!(
        "{} of {} residents let in, {} strangers turned away",
        played.granted.len(),
        names.len(),
        strangers.len()
    );
    let mut granted = played.granted.clone();
    granted.dedup();
    let in_order = names.iter().filter(|name| granted.contains(&(**name).to_owned())).copied();
    assert!(granted.iter().map(String::as_str).eq(in_order), "{granted:?}");
    assert!(granted.len() >= LET_IN, "{granted:?}");
}

/// Of eight residents; on the day that the shipped models were measured six were, at the first visit.
const LET_IN: usize = 5;
