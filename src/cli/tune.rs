use super::{
    cluster::faces_in,
    failure::{Failure, code},
    household::{ConfigArg, gallery, model_hash, recogniser},
    output::{self, say},
};
use crate::{
    decision::LEAST_THRESHOLD,
    embed::Embedding,
    evaluate::{HouseholdScores, share_above, wilson_interval},
    files::Tree,
    plot::{Chart, Series},
};
use serde::Serialize;
use std::path::PathBuf;

/// Find a threshold for this household: how its own faces score against each other, and how strangers
/// score against them.
///
/// Take strangers as the door will see them: many, of the household's ages and looks if there are, none of
/// them enrolled. With too few to show the rate, nothing below the configured threshold is suggested.
#[derive(clap::Args)]
pub struct Args {
    /// A folder or zip with a picture of each of many strangers
    #[arg(long, value_name = "DIR|ZIP")]
    strangers: PathBuf,
    /// The share of strangers that may pass in one frame (false accept rate)
    #[arg(long, default_value_t = 0.001, value_parser = rate)]
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
    /// Whether there are enough strangers to measure the rate that was asked for.
    measured: bool,
    configured: At,
    suggested: At,
    scores: &'a HouseholdScores,
}

/// A threshold, and the shares of faces that pass it.
#[derive(Serialize)]
struct At {
    threshold: f32,
    strangers: f64,
    residents: f64,
    /// The 95 % interval of `residents`.
    interval: (f64, f64),
}

impl At {
    fn of(scores: &HouseholdScores, threshold: f32) -> Self {
        let passing = |scores: &[f32]| scores.iter().filter(|&&score| score >= threshold).count();
        let share = |scores: &[f32]| passing(scores) as f64 / scores.len().max(1) as f64;
        let interval = wilson_interval(passing(&scores.genuine), scores.genuine.len());
        let (strangers, residents) = (share(&scores.strangers), share(&scores.genuine));
        Self { threshold, strangers, residents, interval }
    }
}

/// With so many strangers over the rate, and none of them passing, the rate is that low with 95 %
/// certainty: the square of Wilson's 1.96.
const ENOUGH: f64 = 3.8415;

/// The share of the household's own faces that should pass a threshold that is of any use.
const KNOWN: f64 = 0.5;

/// A rate that strangers can show: none at all would need all the people there are.
fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().map_err(|_| format!("{text} is no number"))?;
    if 0.0 < rate && rate < 1.0 {
        Ok(rate)
    } else {
        Err("choose a rate above 0 and below 1".into())
    }
}

/// The largest share of so many strangers that may pass and still, with 95 % certainty, show a rate of `far`; none
/// where even nobody passing would not show it.
fn surely_within(far: f64, strangers: usize) -> Option<f64> {
    let most = (far * strangers as f64) as usize;
    let passing = (0..=most).rev().find(|&passing| wilson_interval(passing, strangers).1 <= far)?;
    Some(passing as f64 / strangers.max(1) as f64)
}

/// Printed with three decimals it is the same number, and nobody passes it who did not pass before.
fn up_to_thousandth(threshold: f32) -> f32 {
    let thousandths = f64::from(threshold) * 1000.0;
    let nearest = thousandths.round() as f32 / 1000.0;
    if nearest >= threshold { nearest } else { thousandths.ceil() as f32 / 1000.0 }
}

pub fn tune(args: &Args) -> Result<(), Failure> {
    let config = args.config.load()?;
    let recogniser = recogniser(&config)?;
    let model = model_hash(recogniser.network().contract())?;
    let household = gallery(&config, model, false)?.templates()?;
    let tree = Tree::open(&args.strangers)?;
    let (pictures, strangers): (Vec<&str>, Vec<Embedding>) =
        faces_in(&tree, &recogniser)?.into_iter().unzip();
    let scores = HouseholdScores::of(&household, &strangers);
    let sure = surely_within(args.far, scores.strangers.len());
    let found = scores.threshold(sure.unwrap_or(args.far)).map_err(|e| {
        Failure::new(code::DATA, &format!("{e}; enrol people with two pictures or more"))
    })?;
    if let Some(path) = &args.plot {
        chart(&scores).write(path)?;
    }
    let configured = config.recognition.threshold;
    let measured = sure.is_some();
    // Few strangers say little, and must not open the door any wider.
    let suggested = if measured { found.threshold } else { found.threshold.max(configured) };
    if !measured {
        log::warn!(
            "{} strangers cannot show a rate of {}, {:.0} would: nothing below the configured threshold is \
             suggested",
            strangers.len(),
            args.far,
            (ENOUGH * (1.0 - args.far) / args.far).ceil()
        );
    }
    let suggested = At::of(&scores, up_to_thousandth(suggested.max(LEAST_THRESHOLD)));
    if suggested.residents < KNOWN {
        let scored = pictures.iter().zip(&scores.strangers);
        if let Some((picture, score)) = scored.max_by(|a, b| a.1.total_cmp(b.1)) {
            log::warn!(
                "at the suggested threshold the door would hardly know its own people; is one of the strangers \
                 enrolled? {picture} scores {score:.3}"
            );
        }
    }
    let output = Output {
        people: household.len(),
        strangers: strangers.len(),
        measured,
        configured: At::of(&scores, configured),
        suggested,
        scores: &scores,
    };
    if args.json { output::json(&output) } else { print(&output) }
}

fn print(output: &Output) -> Result<(), Failure> {
    let most = |scores: &[f32]| scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let scores = output.scores;
    say!(
        "people      {}, {} faces that have another of the same person",
        output.people,
        scores.genuine.len()
    )?;
    say!("strangers   {}, the most alike scores {:.3}", output.strangers, most(&scores.strangers))?;
    if !scores.between.is_empty() {
        say!("residents   taken for each other score {:.3} at most", most(&scores.between))?;
    }
    for (name, at) in [("configured", &output.configured), ("suggested", &output.suggested)] {
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        let (low, high) = at.interval;
        say!(
            "{name:<10}  {:.3}: {} of the strangers pass, {} of the household's own faces ({} to {})",
            at.threshold,
            percent(at.strangers),
            percent(at.residents),
            percent(low),
            percent(high)
        )?;
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_shown_by_enough_strangers_and_few_enough_passing() {
        for (far, strangers, passing) in [
            (0.001, 0, None),
            (0.001, 3_000, None),
            (0.001, 3_838, Some(0)),
            (0.001, 10_000, Some(3)),
            (0.01, 383, Some(0)),
            (0.01, 2_000, Some(11)),
        ] {
            let got = surely_within(far, strangers);
            let share = passing.map(|k: u32| f64::from(k) / strangers as f64);
            assert_eq!(got, share, "{far} of {strangers}");
        }
    }

    #[test]
    fn a_threshold_that_is_typed_as_printed_lets_no_more_people_pass() {
        for exact in [0.46f32, 0.3601, 0.4999, 0.5, 0.123_456, 0.3f32.next_up(), 0.7f32.next_down()]
        {
            let typed: f32 = format!("{:.3}", up_to_thousandth(exact)).parse().unwrap();
            assert!(typed >= exact && typed - exact < 0.00101, "{exact} {typed}");
        }
        assert_eq!(up_to_thousandth(0.46), 0.46);
    }
}
