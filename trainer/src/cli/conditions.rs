use super::{Outcome, data, evaluate::with_embedder, train::Machine};
use crate::{
    conditions::{Finding, chart, measure},
    run::progress,
};
use facelatch::{
    decision::Policy,
    embed::Score,
    evaluate::{FaceSet, LandmarkTable, Pairs, text_in},
    files::Tree,
};
use serde_json::json;
use std::path::PathBuf;

/// Measure what distance, blur, darkness, sunglasses and the like cost, one at a time.
///
/// The first picture of each pair stays as it is, as an enrolled one; the second is seen through the
/// condition. Pairs and landmarks as for `evaluate`.
#[derive(clap::Args)]
pub struct Conditions {
    /// A checkpoint, the folder of a run (its best model), or an ONNX file.
    model: PathBuf,
    /// A folder or zip with images/PERSON/PERSON_0001.jpg, pairs.txt and landmarks.tsv.
    #[arg(long, value_name = "DIR|ZIP")]
    images: PathBuf,
    /// The score from which the door takes two faces for one person [default: the door's own default].
    #[arg(long)]
    threshold: Option<f32>,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Draw the refused shares into NAME.svg and NAME.png.
    #[arg(long, value_name = "NAME")]
    plot: Option<PathBuf>,
    #[command(flatten)]
    machine: Machine,
}

impl Conditions {
    pub fn run(&self) -> Outcome {
        let threshold = Score(self.threshold.unwrap_or(Policy::default().votes.threshold.0));
        let tree = Tree::open(&self.images)?;
        let pairs = Pairs::parse(&text_in(&tree, "pairs.txt")?)?;
        let landmarks = LandmarkTable::parse(&text_in(&tree, "landmarks.tsv")?)?;
        let bar = progress(0, "conditions {bar:30} {pos}/{len} {eta}");
        let findings = with_embedder(&self.model, &self.machine, |_, embedder| {
            let set = FaceSet::new(&tree, pairs, &landmarks, embedder.input_size())?;
            measure(&set, &landmarks, embedder, threshold, &mut |done, all| {
                bar.set_length(all as u64);
                bar.set_position(done as u64);
            })
            .map_err(data)
        })?;
        bar.finish_and_clear();
        if let Some(path) = &self.plot {
            chart(&findings, threshold).write(path)?;
        }
        match self.json {
            true => {
                let output = json!({ "threshold": threshold.0, "conditions": findings });
                println!("{output:#}");
            }
            false => print(&findings, threshold),
        }
        Ok(())
    }
}

fn print(findings: &[Finding], threshold: Score) {
    println!("at threshold {:.3}:", threshold.0);
    println!("{:46} {:>7}  {:>15}  {:>6}  TAR at FAR 1e-2", "", "FNMR", "95 %", "FMR");
    for f in findings {
        let (low, high) = f.fnmr_interval;
        let tar = f.tar.map_or("–".to_owned(), |tar| format!("{:.1} %", tar * 100.0));
        println!(
            "{:15} {:30} {:5.1} %  {:4.1} to {:5.1} %  {:4.1} %  {tar:>8}   {} + {} pairs",
            f.kind,
            f.amount,
            f.fnmr * 100.0,
            low * 100.0,
            high * 100.0,
            f.fmr * 100.0,
            f.genuine,
            f.impostor
        );
    }
}
