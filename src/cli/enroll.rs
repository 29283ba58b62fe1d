use super::{
    failure::{Failure, code},
    household::{ConfigArg, files_in, gallery, model_hash, picture, recogniser},
    output::say,
};
use crate::{
    embed::{Embedding, Score},
    gallery::{
        Gallery, MAX_TEMPLATES, Name, PersonId, check_agreement, check_same, check_stranger,
    },
    pipeline::Recogniser,
    service::wall,
};
use std::path::{Path, PathBuf};

/// Enrol somebody from pictures of their face, or add pictures to somebody's.
///
/// Up to eight pictures are used: the door compares with each of them, so take them as the person comes
/// home, with and without glasses, by day and by lamplight. A file that is no picture, or none that is
/// fit, is named and left out.
#[derive(clap::Args)]
pub struct Args {
    /// The person's name
    name: String,
    /// A folder of pictures, each with the person's face
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// Add to this person, who is enrolled already
    #[arg(long)]
    add: bool,
    #[command(flatten)]
    config: ConfigArg,
}

/// How alike the pictures of one person must be, as a share of what the door asks for: samples of
/// different days are less alike than frames of one moment.
const AGREEMENT: f32 = 0.6;

pub fn enroll(args: &Args) -> Result<(), Failure> {
    let config = args.config.load()?;
    let recogniser = recogniser(&config)?;
    let mut gallery = gallery(&config, model_hash(recogniser.network().contract())?, true)?;
    let name = Name::new(&args.name).map_err(|e| Failure::new(code::USAGE, &e.to_string()))?;
    let samples = samples(&recogniser, &args.from)?;
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
