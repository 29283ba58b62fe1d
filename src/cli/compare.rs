use super::{
    failure::{Failure, code},
    household::{ConfigArg, files_in, gallery, model_hash, picture, recogniser},
    output::{LeftOut, even_if_closed, say},
};
use crate::{config::Config, gallery::PersonId, pipeline::Probe, service::House};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Say whether two pictures show one person: exit code 0 if so, 1 if not.
#[derive(clap::Args)]
pub struct Verify {
    /// A picture
    a: PathBuf,
    /// Another
    b: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArg,
}

/// Say who of the household is in pictures: exit code 0 if everybody is known, 1 if not.
///
/// A picture that cannot be read or shows no face is named and passed over; only if there is no other one
/// is that an error.
#[derive(clap::Args)]
pub struct Identify {
    /// The pictures, or folders of them
    #[arg(required = true)]
    pictures: Vec<PathBuf>,
    /// Print JSON, one line a picture
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArg,
}

/// Exit code of a comparison that found no match.
pub const NO_MATCH: u8 = 1;

pub fn verify(args: &Verify) -> Result<u8, Failure> {
    let config = args.config.load()?;
    let recogniser = recogniser(&config)?;
    let [a, b] = [&args.a, &args.b].map(|path| probe(&recogniser, path));
    let score = a?.embedding.cosine(&b?.embedding).0;
    let threshold = config.recognition.threshold;
    let same = score >= threshold;
    even_if_closed(if args.json {
        say!("{}", serde_json::json!({ "same": same, "score": score, "threshold": threshold }))
    } else {
        let verdict = if same { "one person" } else { "two people" };
        say!("{verdict}: score {score:.3}, threshold {threshold:.3}")
    })?;
    Ok(if same { 0 } else { NO_MATCH })
}

pub fn identify(args: &Identify) -> Result<u8, Failure> {
    let config = args.config.load()?;
    let recogniser = recogniser(&config)?;
    let house = House::of(&gallery(&config, model_hash(recogniser.network().contract())?, false)?)?;
    let (mut all_known, mut last_problem, mut looked_at) = (true, None, 0);
    let mut left_out = LeftOut::default();
    for path in paths(&args.pictures)? {
        match probe(&recogniser, &path) {
            Ok(probe) => {
                looked_at += 1;
                let found = Identified::of(&path, &probe, &house, &config);
                all_known &= found.name.is_some();
                even_if_closed(found.tell(args.json))?;
            }
            Err(failure) => {
                left_out.note(&failure.message);
                if args.json {
                    let line = serde_json::json!({
                        "picture": path.display().to_string(), "error": failure.message,
                    });
                    even_if_closed(say!("{line}"))?;
                }
                last_problem = Some(failure);
            }
        }
    }
    left_out.end();
    match (looked_at, last_problem) {
        (0, Some(failure)) => Err(failure),
        (0, None) => Err(Failure::new(code::NO_INPUT, "there is no picture; name one or more")),
        _ if all_known => Ok(0),
        _ => Ok(NO_MATCH),
    }
}

/// Folders become the files in them.
fn paths(named: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let files = named.iter().map(|path| match path.is_dir() {
        true => files_in(path),
        false => Ok(vec![path.clone()]),
    });
    Ok(files.collect::<Result<Vec<_>, _>>()?.concat())
}

/// What is said of one picture.
#[derive(Serialize)]
struct Identified<'a> {
    picture: String,
    person: Option<PersonId>,
    name: Option<&'a str>,
    /// Known, and not let in.
    disabled: bool,
    score: Option<f32>,
    margin: Option<f32>,
    threshold: f32,
}

impl<'a> Identified<'a> {
    fn of(path: &Path, probe: &Probe, house: &'a House, config: &Config) -> Self {
        let found = house.matcher().search(&probe.embedding);
        let threshold = config.recognition.threshold;
        let margin = found.and_then(|m| Some(m.best.score.0 - m.second?.score.0));
        let known = found.filter(|m| {
            m.best.score.0 >= threshold
                && margin.is_none_or(|margin| margin >= config.recognition.margin)
        });
        Self {
            picture: path.display().to_string(),
            person: known.map(|m| m.best.id),
            name: known.and_then(|m| house.name(m.best.id)),
            disabled: known.is_some_and(|m| m.best.disabled),
            score: found.map(|m| m.best.score.0),
            margin,
            threshold,
        }
    }

    fn tell(&self, json: bool) -> Result<(), Failure> {
        if json {
            return say!("{}", serde_json::json!(self));
        }
        let score = self.score.map_or("-".into(), |score| format!("{score:.3}"));
        let disabled = if self.disabled { ", disabled: not let in" } else { "" };
        say!("{}: {}{disabled}, score {score}", self.picture, self.name.unwrap_or("nobody known"))
    }
}

fn probe(recogniser: &crate::pipeline::Recogniser, path: &Path) -> Result<Probe, Failure> {
    recogniser
        .probe(&picture(path)?, false)
        .map_err(|e| Failure::new(code::DATA, &format!("{}: {e}", path.display())))
}
