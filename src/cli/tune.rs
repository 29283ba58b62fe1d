use super::{
    cluster::faces_in,
    failure::{Failure, code},
    household::{ConfigArg, gallery, model_hash, recogniser},
    output::{self, say},
};
use crate::{
    embed::Embedding,
    evaluate::{HouseholdScores, TarAtFar, share_above},
    files::Tree,
    plot::{Chart, Series},
};
use serde::Serialize;
use std::path::PathBuf;

/// Find a threshold for this household: how its own faces score against each other, and how strangers
/// score against them.
///
/// Take strangers as the door will see them: many, of the household's ages and looks if there are, none of
/// them enrolled.
#[derive(clap::Args)]
pub struct Args {
    /// A folder or zip with a picture of each of many strangers
    #[arg(long, value_name = "DIR|ZIP")]
    strangers: PathBuf,
    /// The share of strangers that may pass in one frame (false accept rate)
    #[arg(long, default_value_t = 0.001)]
    far: f64,
    /// Draw the shares that pass at every threshold into NAME.svg and NAME.png
    #[arg(long, value_name = "NAME")]
    plot: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArg,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Output<'a> {
    people: usize,
    strangers: usize,
    suggested: TarAtFar,
    configured: f32,
    strangers_passing_as_configured: f64,
    residents_passing_as_configured: f64,
    scores: &'a HouseholdScores,
}

pub fn tune(args: &Args) -> Result<(), Failure> {
    let config = args.config.load()?;
    let recogniser = recogniser(&config)?;
    let model = model_hash(recogniser.network().contract())?;
    let household = gallery(&config, model, false)?.templates()?;
    let tree = Tree::open(&args.strangers)?;
    let strangers: Vec<Embedding> =
        faces_in(&tree, &recogniser)?.into_iter().map(|(_, face)| face).collect();
    let scores = HouseholdScores::of(&household, &strangers);
    let suggested = scores.threshold(args.far).map_err(|e| {
        let text =
            format!("{e}; enrol people with two pictures or more, and choose --far from 0 to 1");
        Failure::new(code::DATA, &text)
    })?;
    if (strangers.len() as f64) * args.far < 1.0 {
        log::warn!(
            "{} strangers cannot measure a rate of {}: the threshold is the one that none of them passes",
            strangers.len(),
            args.far
        );
    }
    if let Some(path) = &args.plot {
        chart(&scores).write(path)?;
    }
    let configured = config.recognition.threshold;
    let passing = |scores: &[f32]| {
        let passed = scores.iter().filter(|&&score| score >= configured).count();
        passed as f64 / scores.len().max(1) as f64
    };
    let output = Output {
        people: household.len(),
        strangers: strangers.len(),
        suggested,
        configured,
        strangers_passing_as_configured: passing(&scores.strangers),
        residents_passing_as_configured: passing(&scores.genuine),
        scores: &scores,
    };
    if args.json { output::json(&output) } else { print(&output) }
}

fn print(output: &Output) -> Result<(), Failure> {
    let found = &output.suggested;
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let most = |scores: &[f32]| scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    say!(
        "people      {}, {} faces that have another of the same person",
        output.people,
        found.genuine
    )?;
    say!(
        "strangers   {}, the most alike scores {:.3}",
        output.strangers,
        most(&output.scores.strangers)
    )?;
    if !output.scores.between.is_empty() {
        say!("residents   taken for each other score {:.3} at most", most(&output.scores.between))?;
    }
    say!(
        "configured  {:.3}: {} of the strangers pass, {} of the household's own faces",
        output.configured,
        percent(output.strangers_passing_as_configured),
        percent(output.residents_passing_as_configured)
    )?;
    say!(
        "suggested   {:.3}: {} of the strangers pass, {} of the household's own faces ({} to {})",
        found.threshold,
        percent(found.measured_far),
        percent(found.tar),
        percent(found.low),
        percent(found.high)
    )?;
    say!("one frame against all templates; the door wants several frames that agree")
}

fn chart(scores: &HouseholdScores) -> Chart {
    let all = [("its own faces", &scores.genuine), ("one resident as another", &scores.between)];
    let series = all.into_iter().chain([("strangers", &scores.strangers)]);
    Chart {
        title: "Who passes at which threshold".into(),
        x_label: "Threshold".into(),
        y_label: "Share that passes".into(),
        log_x: false,
        series: series
            .filter(|(_, scores)| !scores.is_empty())
            .map(|(name, scores)| Series {
                name: format!("{name} ({})", scores.len()),
                points: share_above(scores, -0.2, 1.0, 601),
            })
            .collect(),
    }
}
