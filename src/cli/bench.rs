use super::{
    failure::{Failure, code},
    household::{picture, shipped},
};
use crate::{
    align::crop,
    detect::{Decoder, Detector, Limits, assess},
    embed::{Embedding, Network},
    gallery::{Matcher, PersonId},
};
use image::imageops::{FilterType, resize};
use serde::Serialize;
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

/// Time each stage of one frame on one thread: detect, judge, align, embed, and a search among 1,000
/// people of 8 templates.
#[derive(clap::Args)]
pub struct Args {
    /// The detector
    #[arg(long, value_name = "FILE")]
    detector: Option<PathBuf>,
    /// The embedding network
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// A picture with a face; it is scaled to 640x480
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    /// How often
    #[arg(long, default_value_t = 200)]
    runs: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The times of one stage, ms.
#[derive(Serialize)]
struct Stage {
    stage: &'static str,
    min: f64,
    median: f64,
    p99: f64,
}

const PEOPLE: u32 = 1000;
const TEMPLATES: usize = 8;

pub fn bench(args: &Args) -> Result<(), Failure> {
    let file = |given: &Option<PathBuf>, name| given.clone().unwrap_or_else(|| shipped(name));
    let detector = Detector::load(&file(&args.detector, "models/detector-int8.onnx"))?;
    let network = Network::load(&file(&args.model, "models/embedding-int8.onnx"))?;
    let picture = picture(&file(&args.picture, "demo/enrol/Alex/0.jpg"))?;
    let frame = resize(&picture, 640, 480, FilterType::Triangle);
    let decoder = Decoder::default();
    let Some(face) = detector.detect(&frame, &decoder)?.first().copied() else {
        return Err(Failure::new(
            code::DATA,
            "no face in the picture; name another with --picture",
        ));
    };
    let aligned = crop(&frame, &face.landmarks, network.input_size())
        .map_err(|e| Failure::new(code::DATA, &e.to_string()))?;
    let (probe, matcher) = (network.embed(&aligned)?, crowd());
    let runs = args.runs.max(1);
    let limits = Limits::default();
    // What can fail has been run once above.
    let mut stages = vec![
        time("detect", runs, || detector.detect(&frame, &decoder)),
        time("judge", runs, || limits.judge(&assess(&frame, &face))),
        time("align", runs, || crop(&frame, &face.landmarks, network.input_size())),
        time("embed", runs, || network.embed(&aligned)),
        time("search 1000x8", runs, || matcher.search(&probe)),
    ];
    let sum = |of: fn(&Stage) -> f64| stages.iter().map(of).sum::<f64>();
    let whole = Stage {
        stage: "one face",
        min: sum(|s| s.min),
        median: sum(|s| s.median),
        p99: sum(|s| s.p99),
    };
    stages.push(whole);
    if args.json {
        let text = serde_json::to_string_pretty(&stages);
        println!("{}", text.map_err(|e| Failure::new(code::SOFTWARE, &e.to_string()))?);
        return Ok(());
    }
    let all = stages.last().map_or(1.0, |s| s.median);
    println!("{:<16}{:>9}{:>9}{:>9}{:>8}", "ms", "min", "median", "p99", "share");
    for s in &stages {
        let share = s.median / all * 100.0;
        println!("{:<16}{:9.3}{:9.3}{:9.3}{share:7.1}%", s.stage, s.min, s.median, s.p99);
    }
    Ok(())
}

fn time<T>(stage: &'static str, runs: usize, mut work: impl FnMut() -> T) -> Stage {
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        let start = Instant::now();
        std::hint::black_box(work());
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let ms = |d: Duration| d.as_secs_f64() * 1000.0;
    let at = |share: f64| ms(times[((times.len() - 1) as f64 * share) as usize]);
    Stage { stage, min: at(0.0), median: at(0.5), p99: at(0.99) }
}

/// 1,000 people of 8 templates each, in all directions.
fn crowd() -> Matcher {
    let mut state = 1u32;
    let mut number = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    let people: Vec<(PersonId, Vec<Embedding>)> = (0..PEOPLE)
        .map(|id| {
            let template = |_| {
                let values: Vec<f32> = (0..crate::embed::EMBEDDING_LEN).map(|_| number()).collect();
                Embedding::from_slice(&values).expect("random numbers have a direction")
            };
            (PersonId(id), (0..TEMPLATES).map(template).collect())
        })
        .collect();
    Matcher::new(people.iter().map(|(id, templates)| (*id, false, &templates[..])))
}
