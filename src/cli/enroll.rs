use super::{
    failure::{Failure, code},
    household::{ConfigArg, files_in, gallery, model_hash, picture, recogniser, wanted},
    output::say,
};
use crate::{
    camera::{CameraError, Pace, Source},
    config::Config,
    embed::{Embedding, Score},
    gallery::{
        Gallery, MAX_TEMPLATES, Name, PersonId, check_agreement, check_same, check_stranger,
    },
    pipeline::{Advice, Guide, Recogniser, Step},
    service::{Request, ask, socket_path, wall},
};
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

/// Enrol somebody before the camera or from pictures of their face, or add to who is enrolled.
///
/// Before the camera, say `--camera`: you are told what to do (come closer, turn your head, hold still), and
/// after a minute and a half at most it is over. From pictures, up to eight are used: the door compares with each
/// of them, so take them as the person comes home, with and without glasses, by day and by lamplight. A
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
    /// Before the configuration's camera, or another: v4l:DEVICE, or a replay, dir:FOLDER@FPS or y4m:FILE
    #[arg(long, value_name = "SOURCE", num_args = 0..=1, require_equals = true)]
    camera: Option<Option<Source>>,
}

/// How alike the pictures of one person must be, as a share of what the door asks for: samples of
/// different days are less alike than frames of one moment.
const AGREEMENT: f32 = 0.6;

pub fn enroll(args: &Args) -> Result<(), Failure> {
    let config = args.config.load()?;
    let recogniser = recogniser(&config)?;
    let mut gallery = gallery(&config, model_hash(recogniser.network().contract())?, true)?;
    let name = Name::new(&args.name).map_err(|e| Failure::new(code::USAGE, &e.to_string()))?;
    let samples = match (&args.samples.from, &args.samples.camera) {
        (Some(folder), _) => samples(&recogniser, folder)?,
        (None, camera) => {
            let source = camera.clone().flatten().unwrap_or_else(|| config.camera.source.clone());
            guided(&config, &recogniser, &source)?
        }
    };
    let threshold = config.recognition.threshold;
    let added = add(&mut gallery, &name, &samples, threshold, args.add)?;
    drop(gallery);
    super::control::reload(&config.state.folder);
    say!("{name} is person {added}, with {} pictures taken in", samples.len())
}

/// The embeddings of a folder's pictures. What cannot be read or is not fit is named and left out; it is
/// an error only if nothing is left.
pub fn samples(recogniser: &Recogniser, folder: &Path) -> Result<Vec<Embedding>, Failure> {
    let mut samples = Vec::new();
    for path in files_in(folder)? {
        let probe = picture(&path).and_then(|picture| {
            let unfit = |e| Failure::new(code::DATA, &format!("{}: {e}", path.display()));
            recogniser.probe(&picture, true).map_err(unfit)
        });
        match probe {
            Ok(probe) if probe.faces > 1 => {
                log::warn!("{}: {} faces; the picture is left out", path.display(), probe.faces);
            }
            Ok(probe) => samples.push(probe.embedding),
            Err(failure) => log::warn!("{}; the picture is left out", failure.message),
        }
    }
    if samples.is_empty() {
        let folder = folder.display();
        return Err(Failure::new(
            code::DATA,
            &format!("{folder}: no picture in it is fit to enrol from"),
        ));
    }
    samples.truncate(MAX_TEMPLATES);
    Ok(samples)
}

/// Samples of whoever stands before the camera, who is told on standard error what to do.
fn guided(
    config: &Config,
    recogniser: &Recogniser,
    source: &Source,
) -> Result<Vec<Embedding>, Failure> {
    // A replay need not be waited for: its frames have their times.
    let mut camera = source.open(&wanted(config)?, Pace::Fast).map_err(|e| busy(config, e))?;
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

/// Why the camera cannot be opened; the daemon is the first that comes to mind.
fn busy(config: &Config, error: CameraError) -> Failure {
    let failure = Failure::from(error);
    match ask(&socket_path(&config.state.folder), &Request::Status) {
        Ok(_) => Failure::new(
            failure.code,
            &format!(
                "{} (facelatch is running and holds it: `systemctl stop facelatch` while you enrol)",
                failure.message
            ),
        ),
        Err(_) => failure,
    }
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

/// Checks the samples and enrols, or adds to who is enrolled.
pub fn add(
    gallery: &mut Gallery,
    name: &Name,
    samples: &[Embedding],
    threshold: f32,
    to_existing: bool,
) -> Result<PersonId, Failure> {
    let known = gallery.list()?.into_iter().find(|person| person.name.reads_like(name));
    let unfit = |e: crate::gallery::EnrolmentError| Failure::new(code::DATA, &e.to_string());
    let agreement = Score(threshold * AGREEMENT);
    check_agreement(samples, agreement).map_err(unfit)?;
    if known.is_some() && !to_existing {
        let text = format!(
            "{name} is enrolled already; add pictures with --add, or start over after \
             `facelatch people remove`"
        );
        return Err(Failure::new(code::DATA, &text));
    }
    let own = known.as_ref().filter(|_| to_existing).map(|person| person.id);
    let matcher = gallery.matcher()?;
    check_stranger(samples, &matcher, own, Score(threshold)).map_err(unfit)?;
    match own {
        Some(id) => {
            check_same(samples, &matcher, id, agreement).map_err(unfit)?;
            gallery.add_templates(id, samples)?;
            Ok(id)
        }
        None if to_existing => {
            Err(Failure::new(code::DATA, &format!("{name} is not enrolled; leave out --add")))
        }
        None => Ok(gallery.enrol(name, samples, wall())?),
    }
}
