use super::{
    failure::{Failure, code},
    household::{picture, shipped},
    output::{json, say},
};
use crate::{
    align::crop,
    detect::{Decoder, Detector, Limits, assess},
    embed::{EMBEDDING_LEN, Embedding, Network},
    gallery::{Matcher, PersonId},
    model::{self, Plan, Pool},
};
use facelatch_kernels::{FORCE, MOST_THREADS, Net, ceiling, ways};
use image::imageops::{FilterType, resize};
use serde::Serialize;
use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

/// Time each stage of one frame: detect, judge, align, embed, and a search among 1,000 people of 8
/// templates; and how fast the networks' convolutions run on this processor.
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
    /// Threads that share the work of a network, 1 to 4
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=MOST_THREADS as i64))]
    threads: u8,
    /// Show every stage of the networks' convolutions
    #[arg(long)]
    layers: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    /// How the convolutions are computed.
    kernels: &'static str,
    threads: u8,
    /// What one thread does of the largest product in its cache, 10⁹ multiplications a second.
    ceiling_gmacs: f64,
    stages: Vec<Stage>,
    /// How often one face took how long, from the least time to the 99th percentile.
    histogram: Vec<Bar>,
    networks: Vec<Convolutions>,
}

/// The times of one stage, ms.
#[derive(Serialize)]
struct Stage {
    stage: &'static str,
    min: f64,
    median: f64,
    p99: f64,
}

/// The runs that took less than this, and no less than the bar before.
#[derive(Serialize)]
struct Bar {
    below_ms: f64,
    runs: usize,
}

/// The part of a network that runs on bytes.
#[derive(Serialize)]
struct Convolutions {
    network: &'static str,
    load_ms: f64,
    macs: u64,
    /// The whole network's least time, its surroundings included, as 10⁹ multiplications a second.
    gmacs: f64,
    /// Each stage on one thread, the least of its times.
    layers: Vec<Layer>,
}

#[derive(Serialize)]
struct Layer {
    layer: String,
    macs: u64,
    ms: f64,
}

const PEOPLE: u32 = 1000;
const TEMPLATES: usize = 8;

pub fn bench(args: &Args) -> Result<(), Failure> {
    let file = |given: &Option<PathBuf>, name| given.clone().unwrap_or_else(|| shipped(name));
    let pool = Arc::new(Pool::new(args.threads.into()));
    let path = file(&args.detector, "models/detector-int8.onnx");
    let start = Instant::now();
    let detector = Detector::parse(&path, model::bytes(&path)?, &pool)?;
    let detector_load = start.elapsed();
    let path = file(&args.model, "models/embedding-int8.onnx");
    let start = Instant::now();
    let network = Network::parse(&path, model::bytes(&path)?, &pool)?;
    let network_load = start.elapsed();
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
    let networks = vec![
        convolutions("detector", detector.plan(), detector_load, stages[0].min, runs),
        convolutions("embedding", network.plan(), network_load, stages[3].min, runs),
    ];
    let whole = times(runs, || {
        let faces = detector.detect(&frame, &decoder);
        let judged = limits.judge(&assess(&frame, &face));
        let aligned = crop(&frame, &face.landmarks, network.input_size());
        let embedded = aligned.map(|aligned| network.embed(&aligned));
        (faces.is_ok(), judged, embedded.is_ok(), matcher.search(&probe))
    });
    stages.push(stage("one face", &whole));
    let report = Report {
        kernels: ways().0,
        threads: args.threads,
        ceiling_gmacs: ceiling() / 1e9,
        stages,
        histogram: histogram(&whole),
        networks,
    };
    if args.json { json(&report) } else { print(&report, args.layers) }
}

fn print(report: &Report, layers: bool) -> Result<(), Failure> {
    let all = report.stages.last().map_or(1.0, |s| s.median);
    say!("{:<16}{:>9}{:>9}{:>9}{:>8}", "ms", "min", "median", "p99", "share")?;
    for s in &report.stages {
        let share = s.median / all * 100.0;
        say!("{:<16}{:9.3}{:9.3}{:9.3}{share:7.1}%", s.stage, s.min, s.median, s.p99)?;
    }
    say!("\none face, ms")?;
    let most = report.histogram.iter().map(|bar| bar.runs).max().unwrap_or(0).max(1);
    for bar in &report.histogram {
        let length = (bar.runs * 40).div_ceil(most);
        say!("  below {:8.3} {:6}  {}", bar.below_ms, bar.runs, "#".repeat(length))?;
    }
    say!(
        "\n{} kernels ({FORCE} chooses: {}), {} thread{}; one does {:.0} GMAC/s in its cache",
        report.kernels,
        ways().1.join(", "),
        report.threads,
        if report.threads == 1 { "" } else { "s" },
        report.ceiling_gmacs
    )?;
    for network in &report.networks {
        let share = network.gmacs / report.ceiling_gmacs / f64::from(report.threads) * 100.0;
        say!(
            "{:<16}{:>9.1} million MACs, {:.1} GMAC/s, {share:.0} % of that; loaded in {:.0} ms",
            network.network,
            network.macs as f64 / 1e6,
            network.gmacs,
            network.load_ms
        )?;
        for layer in network.layers.iter().filter(|_| layers) {
            let rate = layer.macs as f64 / layer.ms / 1e6;
            say!("  {:<50}{:9.3} ms{rate:9.1} GMAC/s", layer.layer, layer.ms)?;
        }
    }
    Ok(())
}

fn convolutions(
    network: &'static str,
    plan: &Plan,
    load: Duration,
    min: f64,
    runs: usize,
) -> Convolutions {
    // A network that tract runs alone has no stages of ours.
    let net = plan.on_bytes();
    let macs = net.map_or(0, Net::macs);
    let profile = net.map(|net| net.profile(runs.min(50))).unwrap_or_default();
    let layer = |(layer, macs, time)| Layer { layer, macs, ms: ms(time) };
    let layers = profile.into_iter().map(layer).collect();
    Convolutions { network, load_ms: ms(load), macs, gmacs: macs as f64 / min / 1e6, layers }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn time<T>(name: &'static str, runs: usize, work: impl FnMut() -> T) -> Stage {
    stage(name, &times(runs, work))
}

/// How long each of some runs took, the shortest first.
fn times<T>(runs: usize, mut work: impl FnMut() -> T) -> Vec<Duration> {
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        let start = Instant::now();
        std::hint::black_box(work());
        times.push(start.elapsed());
    }
    times.sort_unstable();
    times
}

fn stage(stage: &'static str, times: &[Duration]) -> Stage {
    let at = |share: f64| ms(times[((times.len() - 1) as f64 * share) as usize]);
    Stage { stage, min: at(0.0), median: at(0.5), p99: at(0.99) }
}

/// Ten bars of the same width; what took longer than the 99th percentile is in none.
fn histogram(times: &[Duration]) -> Vec<Bar> {
    let Stage { min, p99, .. } = stage("", times);
    let edge = |bar: usize| min + (p99 - min) * bar as f64 / 10.0;
    let runs = |bar: usize| {
        let reach = edge(bar)..edge(bar + 1);
        times.iter().filter(|&&time| reach.contains(&ms(time))).count()
    };
    (0..10).map(|bar| Bar { below_ms: edge(bar + 1), runs: runs(bar) }).collect()
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
                let values: Vec<f32> = (0..EMBEDDING_LEN).map(|_| number()).collect();
                Embedding::from_slice(&values).expect("random numbers have a direction")
            };
            (PersonId(id), (0..TEMPLATES).map(template).collect())
        })
        .collect();
    Matcher::new(people.iter().map(|(id, templates)| (*id, false, &templates[..])))
}
