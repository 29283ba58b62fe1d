use super::{
    failure::{Failure, code},
    household::{ConfigArg, gallery, model_hash, picture, recogniser},
};
use crate::{config::Config, pipeline::Probe, service::House};
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
#[derive(clap::Args)]
pub struct Identify {
    /// The pictures
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
    if args.json {
        println!("{}", serde_json::json!({ "same": same, "score": score, "threshold": threshold }));
    } else {
        let verdict = if same { "one person" } else { "two people" };
        println!("{verdict}: score {score:.3}, threshold {threshold:.3}");
    }
    Ok(if same { 0 } else { NO_MATCH })
}

pub fn identify(args: &Identify) -> Result<u8, Failure> {
    let config = args.config.load()?;
    let recogniser = recogniser(&config)?;
    let house = House::of(&gallery(&config, model_hash(recogniser.network().contract())?, false)?)?;
    let mut all_known = true;
    for path in &args.pictures {
        let probe = probe(&recogniser, path)?;
        all_known &= tell(path, &probe, &house, &config, args.json);
    }
    Ok(if all_known { 0 } else { NO_MATCH })
}

fn tell(path: &Path, probe: &Probe, house: &House, config: &Config, json: bool) -> bool {
    let found = house.matcher().search(&probe.embedding);
    let threshold = config.recognition.threshold;
    let margin = found.and_then(|m| Some(m.best.score.0 - m.second?.score.0));
    let known = found.filter(|m| {
        m.best.score.0 >= threshold
            && margin.is_none_or(|margin| margin >= config.recognition.margin)
    });
    let name = known.and_then(|m| house.name(m.best.id));
    let score = found.map(|m| m.best.score.0);
    let path = path.display();
    if json {
        let line = serde_json::json!({
            "picture": path.to_string(), "person": known.map(|m| m.best.id), "name": name,
            "score": score, "margin": margin, "threshold": threshold,
        });
        println!("{line}");
    } else {
        let score = score.map_or("-".into(), |score| format!("{score:.3}"));
        println!("{path}: {}, score {score}", name.unwrap_or("nobody known"));
    }
    known.is_some()
}

fn probe(recogniser: &crate::pipeline::Recogniser, path: &Path) -> Result<Probe, Failure> {
    recogniser
        .probe(&picture(path)?, false)
        .map_err(|e| Failure::new(code::DATA, &format!("{}: {e}", path.display())))
}
