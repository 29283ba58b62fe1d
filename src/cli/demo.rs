use super::{
    enroll,
    failure::{Failure, code},
    household::{self, shipped},
    output::say,
};
use crate::{
    camera::{Pace, Source, Wanted},
    config::Config,
    decision::{AlarmKind, Cause, Denial, Event, Millis, Outcome, Record},
    detect::Bounds,
    door::{Script, SimLock, SimTimeline},
    files::write_atomically,
    gallery::{Gallery, Key, Name},
    plot::{Shot, Tone, contact_sheet},
    service::{
        Clock, House, Keeper, News,
        audit::{self, AuditLog},
        audit_limits, event_of, replay,
    },
};
use image::RgbImage;
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// An evening at a door, without a camera, a lock or a household: enrol two invented people, replay
/// recorded frames through the whole pipeline, drive a simulated strike, and draw what happened.
#[derive(clap::Args)]
pub struct Args {
    /// The folder with enrol/, evening/ and inputs.txt [default: demo, or where packages put it]
    #[arg(long, value_name = "DIR")]
    frames: Option<PathBuf>,
    /// Where the contact sheet goes
    #[arg(long, value_name = "FILE", default_value = "facelatch-demo.png")]
    out: PathBuf,
}

/// Frames a second of the recorded evening.
const FPS: u32 = 4;

pub fn demo(args: &Args) -> Result<(), Failure> {
    let frames = args.frames.clone().unwrap_or_else(|| shipped("demo"));
    let scratch = tempfile::tempdir()
        .map_err(|e| Failure::new(code::CANNOT_CREATE, &format!("no temporary folder: {e}")))?;
    let mut config = Config::default();
    config.models.detector = shipped("models/detector-int8.onnx");
    config.models.embedding = shipped("models/embedding-int8.onnx");
    config.state.folder = scratch.path().to_owned();
    let mut recogniser = household::recogniser(&config)?;

    say!("Enrolling")?;
    let model = household::model_hash(recogniser.network().contract())?;
    let mut gallery =
        Gallery::create(&scratch.path().join("gallery.redb"), Key::generate()?, model)?;
    for (name, folder) in residents(&frames.join("enrol"))? {
        let samples = enroll::samples(&recogniser, &folder)?;
        enroll::add(&mut gallery, &name, &samples, config.recognition.threshold, false)?;
        say!("  {name}, {} pictures", samples.len())?;
    }

    say!("Replaying the evening (times from its first frame)")?;
    let (timeline, clock) = (SimTimeline::default(), Clock::new());
    let house = House::of(&gallery)?;
    let mut keeper = keeper(&config, house, &timeline, &clock, scratch.path())?;
    let inputs = script(&frames.join("inputs.txt"))?;
    let source = Source::Folder(frames.join("evening"), fps()?);
    let mut camera =
        source.open(&Wanted { width: 480, height: 360, fps: fps()?, format: None }, Pace::Fast)?;
    let mut sheet = Sheet::default();
    let mut told = Ok(());
    let names = keeper.house().clone();
    replay(&mut *camera, &mut recogniser, &mut keeper, &inputs, &mut |now, frame, news| {
        if let Some((frame, seen)) = frame {
            let faces = seen.iter().map(|s| s.face.bounds).collect();
            sheet.now = (frame.pixels.clone(), faces);
            if !seen.is_empty() {
                sheet.visitor = sheet.now.clone();
            }
        }
        for news in news {
            let said = sheet.note(now, news, &names);
            if told.is_ok() {
                told = said;
            }
        }
    })?;
    told?;

    let png = contact_sheet(&sheet.shots)?;
    write_atomically(&args.out, &png)
        .map_err(|e| Failure::new(code::CANNOT_CREATE, &format!("{}: {e}", args.out.display())))?;
    say!("{}: what the camera saw, green where it opened", args.out.display())?;
    say!("No liveness check exists yet: a good photograph may pass. Use a second factor.")
}

fn fps() -> Result<crate::camera::Fps, Failure> {
    crate::camera::Fps::new(f64::from(FPS))
        .map_err(|e| Failure::new(code::SOFTWARE, &e.to_string()))
}

fn residents(folder: &Path) -> Result<Vec<(Name, PathBuf)>, Failure> {
    let entries = fs::read_dir(folder).map_err(|e| Failure::input(folder, &e))?;
    let mut residents = Vec::new();
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = Name::new(&name).map_err(|e| Failure::new(code::DATA, &e.to_string()))?;
        residents.push((name, path));
    }
    residents.sort_by(|a, b| a.1.cmp(&b.1));
    Ok(residents)
}

fn keeper(
    config: &Config,
    house: House,
    timeline: &SimTimeline,
    clock: &Clock,
    folder: &Path,
) -> Result<Keeper, Failure> {
    let audit = audit::folder(folder);
    fs::create_dir(&audit).map_err(|e| Failure::input(&audit, &e))?;
    let start = Millis::default();
    let log = AuditLog::open(&audit, audit_limits(&config.audit), &clock.moment(start))?;
    let lock = Box::new(SimLock::new(timeline.clone()));
    let saved = folder.join("lockout.json");
    Keeper::new(config.policy(), lock, house, Some(log), clock.clone(), saved, start)
        .map_err(|e| Failure::new(code::CONFIG, &e.to_string()))
}

fn script(path: &Path) -> Result<Vec<(Duration, Event)>, Failure> {
    let text = fs::read_to_string(path).map_err(|e| Failure::input(path, &e))?;
    let script: Script =
        text.parse().map_err(|e| Failure::new(code::DATA, &format!("{}: {e}", path.display())))?;
    Ok(script.steps().iter().map(|(at, kind)| (*at, event_of(*kind))).collect())
}

/// What is printed and drawn of the evening.
#[derive(Default)]
struct Sheet {
    now: (RgbImage, Vec<Bounds>),
    /// The last frame with a face: who is turned away has left when that is decided.
    visitor: (RgbImage, Vec<Bounds>),
    shots: Vec<Shot>,
}

impl Sheet {
    fn note(&mut self, now: Millis, news: &News, house: &House) -> Result<(), Failure> {
        let time = format!("{:5.1} s", now.0 as f64 / 1000.0);
        match news {
            News::Decision(record) => {
                let (tone, what, who) = words(record, house);
                let said = say!("{time}  {what:<28} {who}");
                let frame = self.visitor.clone();
                self.shoot(frame, tone, [format!("{}  {what}", time.trim()), who]);
                said
            }
            News::Alarm(kind, raised) => {
                let what = alarm(*kind, *raised);
                if *raised {
                    let caption = [format!("{}  {what}", time.trim()), String::new()];
                    self.shoot(self.now.clone(), Tone::Bad, caption);
                }
                say!("{time}  {what}")
            }
            News::Unrecorded(_) => say!("{time}  stays locked: not recorded"),
            News::Unlocked => say!("{time}    strike released"),
            News::Locked => say!("{time}    strike locked"),
            News::Hint(_) => Ok(()),
        }
    }

    fn shoot(
        &mut self,
        (picture, faces): (RgbImage, Vec<Bounds>),
        tone: Tone,
        caption: [String; 2],
    ) {
        self.shots.push(Shot { picture, faces, tone, caption });
    }
}

fn words(record: &Record, house: &House) -> (Tone, String, String) {
    let who = record.evidence.map_or(String::new(), |e| {
        let name = e.person.and_then(|person| house.name(person)).unwrap_or("nobody");
        let score = e.score.map_or(0.0, |score| score.0);
        format!("most like {name}: {score:.2}, {:.2} needed", e.threshold.0)
    });
    match record.outcome {
        Outcome::Granted if record.cause == Cause::Face => (Tone::Good, "welcome".into(), who),
        Outcome::Granted => (Tone::Good, "opened from inside".into(), who),
        Outcome::Denied(denial) => (Tone::Bad, refusal(denial).into(), who),
        Outcome::LockoutStarted(length) => {
            (Tone::Bad, format!("locked out for {} s", length.as_secs()), who)
        }
        Outcome::Locked => (Tone::Neutral, "locked by command".into(), who),
        Outcome::Lockdown(_) => (Tone::Neutral, "lockdown".into(), who),
    }
}

fn refusal(denial: Denial) -> &'static str {
    match denial {
        Denial::NotRecognised => "stranger: stays locked",
        Denial::TooFewVotes => "not sure enough: stays locked",
        Denial::PoorQuality(_) => "not well seen: stays locked",
        Denial::Ambiguous => "like two people: stays locked",
        _ => "refused: stays locked",
    }
}

fn alarm(kind: AlarmKind, raised: bool) -> String {
    let what = match kind {
        AlarmKind::ForcedOpen => "door forced open",
        AlarmKind::HeldOpen => "door held open",
        AlarmKind::Tamper => "tampered with",
        AlarmKind::CameraLost => "camera lost",
    };
    if raised { format!("ALARM: {what}") } else { format!("alarm over: {what}") }
}
