use super::failure::Failure;
use crate::{
    detect::{Decoder, Detector},
    embed::{Embedder, Network},
    evaluate::{
        ClipReport, CrossPairs, DatasetError, DetectedFaces, Evaluation, FaceSet, Folds, Fusion,
        LandmarkTable, Pairs, Report, RunOptions, Scored, detect_landmarks, evaluate_clips,
        parse_splits, roc, run, text_in,
    },
    files::Tree,
    plot::roc_chart,
};
use serde::Serialize;
use std::{
    fs,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
};

const GIVEN: &str = "given by the file, not detected";

/// Measure how well a network tells people apart, by LFW's protocol.
///
/// With `--detector` faces are found and cut out as the door does it. Without, they are cut out at the
/// landmarks that the landmark file gives, which leaves out what a detector adds in errors.
#[derive(clap::Args)]
pub struct Args {
    /// The embedding network, an ONNX file exported for facelatch
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    #[command(flatten)]
    measure: Measure,
}

/// What to measure a network on and how to show the result: the arguments that the daemon's and the
/// trainer's `evaluate` share.
#[derive(clap::Args)]
pub struct Measure {
    /// A folder or zip with images/PERSON/PERSON_0001.jpg, pairs.txt and landmarks.tsv
    #[arg(long, value_name = "DIR|ZIP")]
    images: PathBuf,
    /// The pairs, in place of the pairs.txt among the images
    #[arg(long, value_name = "FILE")]
    pairs: Option<PathBuf>,
    /// The landmarks, in place of the landmarks.tsv among the images
    #[arg(long, value_name = "FILE")]
    landmarks: Option<PathBuf>,
    /// The folds to measure, e.g. 1-3 or 2,5 [default: all]
    #[arg(long)]
    folds: Option<Folds>,
    /// Find the faces with this detector, an ONNX file exported for facelatch
    #[arg(long, value_name = "FILE")]
    detector: Option<PathBuf>,
    /// Embed every face mirrored as well and take the direction halfway
    #[arg(long)]
    mirror: bool,
    /// Compare clips, not pictures: a list of pairs as YouTube Faces' splits.txt; frames lie in PERSON/CLIP/
    #[arg(long, value_name = "FILE", requires = "detector",
        conflicts_with_all = ["pairs", "landmarks", "folds", "mirror", "cross_pairs", "plot"])]
    sets: Option<PathBuf>,
    /// Frames of a clip that are looked at, evenly spread
    #[arg(long, value_name = "N", default_value_t = 8, requires = "sets",
        value_parser = clap::value_parser!(u16).range(1..))]
    frames: u16,
    /// Compare every face with every other as well, and print the thresholds for false match rates
    /// of 1e-2 to 1e-5
    #[arg(long)]
    cross_pairs: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Draw the ROC curve into NAME.svg and NAME.png
    #[arg(long, value_name = "NAME")]
    plot: Option<PathBuf>,
}

/// Rates of false matches that thresholds are given for.
const RATES: [f64; 4] = [1e-2, 1e-3, 1e-4, 1e-5];

/// What `--json` prints.
#[derive(Serialize)]
struct Output<'a> {
    model: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    weights_sha256: Option<&'a str>,
    images: String,
    landmarks: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    detected: Option<&'a DetectedFaces>,
    mirror: bool,
    report: &'a Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    cross_pairs: Option<&'a CrossPairs>,
}

pub fn evaluate(args: &Args) -> Result<(), Failure> {
    let mut network = Network::load(&args.model)?;
    let hash = network.contract().weights_sha256.clone();
    args.measure.run(&args.model, Some(&hash), &mut network)
}

impl Measure {
    /// Measures `embedder`, which came out of the file or folder `model`, and prints the result.
    ///
    /// # Errors
    /// A [`Failure`] that says what to do next.
    pub fn run(
        &self,
        model: &Path,
        weights_sha256: Option<&str>,
        embedder: &mut dyn Embedder,
    ) -> Result<(), Failure> {
        if let (Some(sets), Some(detector)) = (&self.sets, &self.detector) {
            return self.clips(sets, detector, model, embedder);
        }
        let (set, detected) = faces(self, embedder.input_size())?;
        let cross = if self.cross_pairs { RATES.to_vec() } else { Vec::new() };
        let options = RunOptions { folds: None, mirror: self.mirror, cross };
        let Evaluation { report, scored, cross } =
            run(&set, embedder, &options, &mut |done, total| {
                show_progress("faces", done, total);
            })?;
        warn_of_small_numbers(&report);
        if let Some(path) = &self.plot {
            plot(model, &scored, path)?;
        }
        let output = Output {
            model: model.display().to_string(),
            weights_sha256,
            images: self.images.display().to_string(),
            landmarks: match &self.detector {
                Some(detector) => format!("found by {}", detector.display()),
                None => GIVEN.to_owned(),
            },
            detected: detected.as_ref(),
            mirror: self.mirror,
            report: &report,
            cross_pairs: cross.as_ref(),
        };
        print(&output, self.json).map_err(|e| Failure::output(&e))
    }

    fn clips(
        &self,
        sets: &Path,
        detector: &Path,
        model: &Path,
        embedder: &mut dyn Embedder,
    ) -> Result<(), Failure> {
        let text = fs::read_to_string(sets).map_err(|e| Failure::input(sets, &e))?;
        let pairs = parse_splits(&text)?;
        let tree = Tree::open(&self.images)?;
        let (detector, decoder) = (Detector::load(detector)?, Decoder::default());
        let frames = usize::from(self.frames);
        let report = evaluate_clips(
            &tree,
            &pairs,
            (&detector, &decoder),
            embedder,
            frames,
            &mut |done, all| show_progress("clips", done, all),
        )?;
        print_clips(model, &report, self.json).map_err(|e| Failure::output(&e))
    }
}

fn print_clips(model: &Path, report: &ClipReport, json: bool) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    if json {
        let output = serde_json::json!({ "model": model.display().to_string(), "clips": report });
        return writeln!(stdout, "{output:#}");
    }
    writeln!(stdout, "model      {}", model.display())?;
    let ClipReport { clips, frames, without_face, frames_without_face, .. } = report;
    writeln!(
        stdout,
        "clips      {clips} ({without_face} without a face), {frames} frames ({frames_without_face} without)"
    )?;
    for fused in &report.fused {
        let name = match fused.fusion {
            Fusion::Mean => "mean of the frames",
            Fusion::Best => "best pair of frames",
            Fusion::Votes => "votes, as the door",
        };
        let (threshold, fnmr, fmr) = (fused.threshold, fused.fnmr * 100.0, fused.fmr * 100.0);
        writeln!(
            stdout,
            "\n{name}: at the door's default of {threshold} FNMR {fnmr:.2} %, FMR {fmr:.2} %"
        )?;
        writeln!(stdout, "{}", fused.report)?;
    }
    Ok(())
}

/// The faces of the chosen folds only: the others need not be there.
fn faces(args: &Measure, size: u32) -> Result<(FaceSet, Option<DetectedFaces>), Failure> {
    let tree = Tree::open(&args.images)?;
    let mut pairs = Pairs::parse(&text(args.pairs.as_deref(), &tree, "pairs.txt")?)?;
    if let Some(folds) = &args.folds {
        pairs = pairs.in_folds(folds)?;
    }
    let landmarks = text(args.landmarks.as_deref(), &tree, "landmarks.tsv")?;
    let mut landmarks = LandmarkTable::parse(&landmarks)?;
    let mut detected = None;
    if let Some(path) = &args.detector {
        let (detector, decoder) = (Detector::load(path)?, Decoder::default());
        let (found, report) = detect_landmarks(&tree, &pairs, &landmarks, &detector, &decoder)?;
        (landmarks, detected) = (found, Some(report));
    }
    let set = FaceSet::new(&tree, pairs, &landmarks, size);
    if let Err(DatasetError::Broken(images)) = &set {
        images.iter().for_each(|image| log::warn!("{image}"));
    }
    Ok((set?, detected))
}

fn text(named: Option<&Path>, tree: &Tree, name: &'static str) -> Result<String, Failure> {
    match named {
        Some(path) => fs::read_to_string(path).map_err(|e| Failure::input(path, &e)),
        None => Ok(text_in(tree, name)?),
    }
}

/// A line that counts up, for a person who watches.
pub(super) fn show_progress(what: &str, done: usize, total: usize) {
    let mut stderr = io::stderr();
    if stderr.is_terminal() {
        let end = if done == total { "\n" } else { "" };
        let _ = write!(stderr, "\r{what} {done}/{total}{end}");
    }
}

fn warn_of_small_numbers(report: &Report) {
    for at in report.tar_at_far.iter().filter(|at| (at.impostor as f64) * at.far < 1.0) {
        log::warn!(
            "{} impostor pairs cannot measure a FAR of {:.0e}: the TAR given is the one without any \
             false accept among them",
            at.impostor,
            at.far
        );
    }
}

fn plot(model: &Path, scored: &[Scored], path: &Path) -> Result<(), Failure> {
    let name = model.file_stem().unwrap_or_default().to_string_lossy();
    let curve = roc(scored).map_err(crate::evaluate::RunError::from)?;
    Ok(roc_chart(&[(&name, &curve)]).write(path)?)
}

fn print(output: &Output, json: bool) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut stdout, output)?;
        return writeln!(stdout);
    }
    let mirror = if output.mirror { ", mirrored as well" } else { "" };
    writeln!(stdout, "model      {}{mirror}", output.model)?;
    writeln!(stdout, "images     {}", output.images)?;
    writeln!(stdout, "landmarks  {}", output.landmarks)?;
    if let Some(d) = output.detected {
        let nme = d.landmark_nme.map_or("-".into(), |v| format!("{:.2} %", v * 100.0));
        writeln!(
            stdout,
            "detected   {} of {} faces ({} of another person), landmarks off by {nme} of the face",
            d.images - d.missed,
            d.images,
            d.other_face
        )?;
    }
    writeln!(stdout, "{}", output.report)?;
    let Some(cross) = output.cross_pairs else { return Ok(()) };
    let CrossPairs { images, genuine, impostor, .. } = cross;
    writeln!(
        stdout,
        "\nall {images} faces against each other: {genuine} genuine, {impostor} impostor"
    )?;
    writeln!(stdout, "     FMR   threshold      FNMR   false matches")?;
    for p in &cross.at {
        let fnmr = p.fnmr * 100.0;
        let (rate, threshold) = (format!("{:.0e}", p.fmr), p.threshold);
        writeln!(stdout, "{rate:>8}   {threshold:9.4}   {fnmr:6.2} %   {:13}", p.false_matches)?;
    }
    Ok(())
}
