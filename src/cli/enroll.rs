use super::{
    failure::{Failure, code},
    household::{ConfigArg, files_in, gallery, model_hash, picture, recogniser, wanted},
    output::{LeftOut, say},
};
use crate::{
    camera::{CameraError, FrameSource, Pace, Source},
    config::Config,
    embed::{Embedding, Score},
    gallery::{
        EnrolmentError, Gallery, MAX_TEMPLATES, Name, PersonId, check_agreement, check_same,
        check_stranger,
    },
    pipeline::{Advice, Guide, Recogniser, Step},
    service::{Borrowed, Request, ask, socket_path, wall},
};
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

/// Enrol somebody before the camera or from pictures of their face, or add to who is enrolled.
///
/// Before the camera, say `--camera`: you are told what to do (come closer, turn your head, hold still), and
/// after a minute and a half at most it is over. From pictures, up to eight are used: the door compares with the
/// mean of them, so take them as the person comes home, with and without glasses, by day and by lamplight. A
/// file that is no picture, or none that is fit, is named and left out.
#[derive(clap::Args)]
pub struct Args {
    /// The person's name
    name: String,
    #[command(flatten)]
    samples: Samples,
    /// Add to this person, who is enrolled already
    #[arg(long)]
    add: bool,
    #[command(flatten)]
    config: ConfigArg,
}

/// Where the samples come from.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Samples {
    /// A folder of pictures, each with the person's face
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// Before the configuration's camera, which a running daemon lends, or another: v4l:DEVICE, or a replay, dir:FOLDER@FPS or y4m:FILE
    #[arg(long, value_name = "SOURCE", num_args = 0..=1, require_equals = true)]
    camera: Option<Option<Source>>,
}

/// How alike the pictures of one person must be, as a share of what the door asks for: samples of
/// different days are less alike than frames of one moment.
const AGREEMENT: f32 = 0.6;

pub fn enroll(args: &Args) -> Result<(), Failure> {
    let config = args.config.load()?;
    let mut recogniser = recogniser(&config)?;
    let model = model_hash(recogniser.network().contract())?;
    let name = Name::new(&args.name).map_err(|e| Failure::new(code::USAGE, &e.to_string()))?;
    // Before anybody poses for nothing; and closed meanwhile, as the daemon may want to read it.
    Place::of(&gallery(&config, model, true)?, &name, args.add)?;
    let samples = match (&args.samples.from, &args.samples.camera) {
        (Some(folder), _) => samples(&recogniser, folder)?,
        (None, camera) => {
            let mut camera = open(&config, camera.as_ref().and_then(Option::as_ref))?;
            guided(&config, &mut recogniser, &mut *camera)?
        }
    };
    let mut gallery = gallery(&config, model, true)?;
    let threshold = config.recognition.threshold;
    let (added, count) = add(&mut gallery, &name, &samples, threshold, args.add)?;
    drop(gallery);
    let told = super::control::taken_over(&config.state.folder);
    let said = say!("{name} is person {added}, with {count} pictures taken in");
    told.and(said)
}

/// The embeddings of a folder's pictures. What cannot be read or is not fit is named and left out; it is
/// an error only if nothing is left.
pub fn samples(recogniser: &Recogniser, folder: &Path) -> Result<Vec<Embedding>, Failure> {
    let (mut samples, mut left_out) = (Vec::new(), LeftOut::default());
    for path in files_in(folder)? {
        let probe = picture(&path).and_then(|picture| {
            let unfit = |e| Failure::new(code::DATA, &format!("{}: {e}", path.display()));
            recogniser.probe(&picture, true).map_err(unfit)
        });
        match probe {
            Ok(probe) if probe.faces > 1 => {
                left_out.note(&format!("{}: {} faces", path.display(), probe.faces));
            }
            Ok(probe) => samples.push(probe.embedding),
            Err(failure) => left_out.note(&failure.message),
        }
    }
    left_out.end();
    if samples.is_empty() {
        let folder = folder.display();
        return Err(Failure::new(
            code::DATA,
            &format!("{folder}: no picture in it is fit to enrol from"),
        ));
    }
    Ok(samples)
}

/// Samples of whoever stands before the camera, who is told on standard error what to do.
fn guided(
    config: &Config,
    recogniser: &mut Recogniser,
    camera: &mut dyn FrameSource,
) -> Result<Vec<Embedding>, Failure> {
    let mut guide = Guide::new(Score(config.recognition.threshold * AGREEMENT));
    let mut prompt = Prompt::default();
    loop {
        let frame = match camera.next() {
            Ok(frame) => frame,
            Err(CameraError::Ended) => break,
            Err(e @ CameraError::Picture { .. }) => {
                log::warn!("{e}");
                continue;
            }
            Err(e) => return Err(e.into()),
        };
        match guide.see(frame.at, &recogniser.regard(&frame.pixels)?) {
            Step::Advise(advice) => prompt.advise(frame.at, advice),
            Step::Took(_) => prompt.say(&format!("good, that is picture {}", guide.taken())),
            Step::Done => break,
        }
    }
    let missing: Vec<String> = guide.missing().map(|view| format!("`{view}`")).collect();
    let samples = guide.finish(prompt.advice);
    let samples = samples.map_err(|e| Failure::new(code::DATA, &e.to_string()))?;
    if !missing.is_empty() {
        log::warn!("not taken: {}; the door knows the person less well for it", missing.join(", "));
    }
    Ok(samples)
}

/// The camera that was named, or the configuration's: where the daemon runs and has it, by the daemon.
fn open(config: &Config, named: Option<&Source>) -> Result<Box<dyn FrameSource>, Failure> {
    let socket = socket_path(&config.state.folder);
    if named.is_none() && ask(&socket, &Request::Status).is_ok() {
        return Ok(Box::new(Borrowed::new(&socket)));
    }
    // A replay need not be waited for: its frames have their times.
    let source = named.unwrap_or(&config.camera.source);
    Ok(source.open(&wanted(config)?, Pace::Fast)?)
}

/// What the person is told, no faster than it can be read.
#[derive(Default)]
struct Prompt {
    advice: Option<Advice>,
    said: Option<(Advice, Duration)>,
}

impl Prompt {
    /// Advice shorter than this flickers.
    const STAYS: Duration = Duration::from_millis(900);

    fn advise(&mut self, at: Duration, advice: Advice) {
        self.advice = Some(advice);
        let due = |(said, since): (Advice, Duration)| {
            said != advice && at.saturating_sub(since) >= Self::STAYS
        };
        if self.said.is_none_or(due) {
            self.said = Some((advice, at));
            self.say(&advice.to_string());
        }
    }

    fn say(&mut self, words: &str) {
        // Who closed standard error wants no prompts.
        let _ = writeln!(io::stderr(), "{words}");
    }
}

/// Where samples of a name go.
struct Place {
    /// The person who has the name already.
    own: Option<PersonId>,
    /// How many more templates they may have.
    room: usize,
}

impl Place {
    fn of(gallery: &Gallery, name: &Name, to_existing: bool) -> Result<Self, Failure> {
        let known = gallery.list()?.into_iter().find(|person| person.name.reads_like(name));
        let problem = match (&known, to_existing) {
            (None, false) => return Ok(Self { own: None, room: MAX_TEMPLATES }),
            (Some(person), true) if person.templates < MAX_TEMPLATES => {
                let room = MAX_TEMPLATES - person.templates;
                return Ok(Self { own: Some(person.id), room });
            }
            (None, true) => "is not enrolled; leave out --add".to_owned(),
            (Some(_), true) => format!(
                "has {MAX_TEMPLATES} templates, as many as there may be; start over after `facelatch \
                 people remove`"
            ),
            (Some(_), false) => {
                "is enrolled already; add pictures with --add, or start over after \
                                 `facelatch people remove`"
                    .to_owned()
            }
        };
        Err(Failure::new(code::DATA, &format!("{name} {problem}")))
    }
}

/// Checks the samples and enrols, or adds to who is enrolled, as many as there is room for. Who it is, and
/// how many samples were taken in.
pub fn add(
    gallery: &mut Gallery,
    name: &Name,
    samples: &[Embedding],
    threshold: f32,
    to_existing: bool,
) -> Result<(PersonId, usize), Failure> {
    let Place { own, room } = Place::of(gallery, name, to_existing)?;
    let (samples, surplus) = samples.split_at(samples.len().min(room));
    if !surplus.is_empty() {
        log::warn!("the last {} are left out: there is room for {room}", surplus.len());
    }
    let people = gallery.list()?;
    let unfit = |e: EnrolmentError| {
        let who = people.iter().find(|person| Some(person.id) == e.person());
        let who = who.map_or(String::new(), |p| format!("; person {} is {}", p.id, p.name));
        Failure::new(code::DATA, &format!("{e}{who}"))
    };
    let agreement = Score(threshold * AGREEMENT);
    check_agreement(samples, agreement).map_err(unfit)?;
    let matcher = gallery.matcher()?;
    check_stranger(samples, &matcher, own, Score(threshold)).map_err(unfit)?;
    let id = match own {
        Some(id) => {
            check_same(samples, &matcher, id, agreement).map_err(unfit)?;
            gallery.add_templates(id, samples)?;
            id
        }
        None => gallery.enrol(name, samples, wall())?,
    };
    Ok((id, samples.len()))
}
