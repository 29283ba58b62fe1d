use super::{Failure, code, evaluate::show_progress};
use crate::{
    detect::{Decoder, DetectionScore, Detector, Face},
    evaluate::{
        BrokenImage, DatasetError, DetectionPoint, DetectionReport, DetectionSet, PictureTruth,
        detection_curve, detection_report, text_in,
    },
    files::Tree,
    model::NetworkError,
    parallel,
    plot::{Chart, Series},
};
use image::RgbImage;
use serde::Serialize;
use std::{
    collections::BTreeSet,
    io::{self, Write},
    path::PathBuf,
};

const ANNOTATIONS: &str = "annotations.jsonl";

/// Score down to which detections are looked at, so that the curve reaches many false faces a picture.
const LOWEST: f32 = 0.01;

/// Pictures between two signs of progress.
const BATCH: usize = 64;

/// Measure how well a detector finds faces and their landmarks.
#[derive(clap::Args)]
pub struct Args {
    /// The detector, an ONNX file exported for facelatch
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// A folder or zip with an annotations.jsonl and the pictures that it names
    #[arg(long, value_name = "DIR|ZIP")]
    images: PathBuf,
    /// The pictures to measure, by what they are set aside for
    #[arg(long, default_value = "test")]
    split: String,
    /// The operating threshold: the score, 0 to 1, from which on a face is believed
    #[arg(long, default_value_t = Decoder::default().threshold, value_parser = score)]
    threshold: f32,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Draw recall against false faces into NAME.svg and NAME.png
    #[arg(long, value_name = "NAME")]
    plot: Option<PathBuf>,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Output<'a> {
    model: String,
    weights_sha256: &'a str,
    images: String,
    split: &'a str,
    report: &'a DetectionReport,
}

/// A picture with what was found in it.
type Measured = (PictureTruth, Vec<Face>);

pub fn evaluate_detector(args: &Args) -> Result<(), Failure> {
    let detector = Detector::load(&args.model)?;
    let decoder = Decoder { threshold: args.threshold.min(LOWEST), ..Decoder::default() };
    let tree = Tree::open(&args.images)?;
    let pictures = chosen(DetectionSet::parse(&text_in(&tree, ANNOTATIONS)?)?, &args.split)?;
    let detect = |frame: &RgbImage| Ok(detector.detect(frame, &decoder)?.to_vec());
    let measured = detect_all(&tree, pictures, &detect, &mut |done, total| {
        show_progress("pictures", done, total);
    })?;
    let report = detection_report(&measured, DetectionScore(args.threshold));
    if let Some(path) = &args.plot {
        let name = args.model.file_stem().unwrap_or_default().to_string_lossy();
        chart(&name, &detection_curve(&measured), measured.len()).write(path)?;
    }
    let output = Output {
        model: args.model.display().to_string(),
        weights_sha256: &detector.contract().weights_sha256,
        images: args.images.display().to_string(),
        split: &args.split,
        report: &report,
    };
    print(&output, args.json).map_err(|e| Failure::output(&e))
}

fn score(text: &str) -> Result<f32, String> {
    let score = text.parse().ok().filter(|score| (0.0..=1.0).contains(score));
    score.ok_or_else(|| "wanted a number from 0 to 1".to_owned())
}

fn chosen(set: DetectionSet, split: &str) -> Result<Vec<PictureTruth>, Failure> {
    let splits: BTreeSet<String> = set.0.iter().map(|p| format!("`{}`", p.split)).collect();
    let chosen: Vec<PictureTruth> = set.0.into_iter().filter(|p| p.split == split).collect();
    if chosen.is_empty() {
        let there = splits.into_iter().collect::<Vec<_>>().join(", ");
        let problem = format!("no pictures of split `{split}`; choose one of: {there}");
        return Err(Failure::new(code::USAGE, &problem));
    }
    Ok(chosen)
}

/// Runs `detect` on every picture; all that cannot be used are named. `progress` hears how many are done
/// out of how many.
fn detect_all(
    tree: &Tree,
    pictures: Vec<PictureTruth>,
    detect: &(dyn Fn(&RgbImage) -> Result<Vec<Face>, NetworkError> + Sync),
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<Measured>, Failure> {
    let folder = folder_of_annotations(tree);
    let mut found = Vec::new();
    let mut broken = Vec::new();
    for batch in pictures.chunks(BATCH) {
        found.extend(parallel::map(batch, |truth| {
            let path = format!("{folder}{}", truth.image);
            let picture = picture(tree, &path, truth);
            let picture = picture.map_err(|reason| BrokenImage { path, reason })?;
            Ok(detect(&picture))
        }));
        progress(found.len(), pictures.len());
    }
    let mut measured = Vec::new();
    for (truth, found) in pictures.into_iter().zip(found) {
        match found {
            Ok(faces) => measured.push((truth, faces?)),
            Err(image) => broken.push(image),
        }
    }
    if !broken.is_empty() {
        broken.iter().for_each(|image| log::warn!("{image}"));
        return Err(DatasetError::Broken(broken).into());
    }
    Ok(measured)
}

/// What the annotations' paths count from: the path up to their own name.
fn folder_of_annotations(tree: &Tree) -> &str {
    let path = tree.paths().iter().find(|path| path.rsplit('/').next() == Some(ANNOTATIONS));
    path.map_or("", |path| &path[..path.len() - ANNOTATIONS.len()])
}

fn picture(tree: &Tree, path: &str, truth: &PictureTruth) -> Result<RgbImage, String> {
    let bytes = tree.read(path).map_err(|e| e.to_string())?;
    let picture = image::load_from_memory(&bytes).map_err(|e| e.to_string())?.into_rgb8();
    let (width, height) = picture.dimensions();
    if (width, height) != (truth.width, truth.height) {
        let (w, h) = (truth.width, truth.height);
        return Err(format!("{width}x{height} pixels, but {w}x{h} in the {ANNOTATIONS}"));
    }
    Ok(picture)
}

/// A logarithm has no zero: what is found without a false face is drawn at half a face in all pictures.
fn chart(name: &str, curve: &[DetectionPoint], pictures: usize) -> Chart {
    let left_end = 0.5 / pictures.max(1) as f64;
    let point = |p: &DetectionPoint| (p.false_per_image.max(left_end), p.recall);
    Chart {
        title: "Finding faces".into(),
        x_label: "False faces per picture (log scale)".into(),
        y_label: "Share of faces found".into(),
        log_x: true,
        series: vec![Series { name: name.to_owned(), points: curve.iter().map(point).collect() }],
    }
}

fn print(output: &Output, json: bool) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut stdout, output)?;
        return writeln!(stdout);
    }
    writeln!(stdout, "model      {}", output.model)?;
    writeln!(stdout, "images     {}, split {}", output.images, output.split)?;
    writeln!(stdout, "{}", output.report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{align::template, detect::Bounds};
    use std::fs;

    /// `set/annotations.jsonl` with two pictures of 20×10 to test with, and one to train.
    fn prepared() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("set/images")).unwrap();
        let line = |name: &str, split: &str| {
            format!(
                r#"{{"image":"images/{name}.png","width":20,"height":10,"split":"{split}","faces":[],"ignore":[]}}"#
            )
        };
        let lines = [line("a", "test"), line("b", "train"), line("c", "test")].join("\n");
        fs::write(dir.path().join("set/annotations.jsonl"), lines).unwrap();
        for (name, width) in [("a", 20), ("c", 20)] {
            RgbImage::new(width, 10)
                .save(dir.path().join(format!("set/images/{name}.png")))
                .unwrap();
        }
        dir
    }

    fn test_pictures(tree: &Tree) -> Vec<PictureTruth> {
        let set = DetectionSet::parse(&text_in(tree, ANNOTATIONS).unwrap()).unwrap();
        chosen(set, "test").unwrap()
    }

    #[test]
    fn every_picture_of_the_split_is_shown_to_the_detector() {
        let dir = prepared();
        let tree = Tree::open(dir.path()).unwrap();
        let face = Face {
            bounds: Bounds { x: 0.0, y: 0.0, width: 9.0, height: 9.0 },
            landmarks: template(9),
            score: DetectionScore(0.7),
        };
        let mut heard = Vec::new();
        let progress = &mut |done, total| heard.push((done, total));
        let measured = detect_all(&tree, test_pictures(&tree), &|_| Ok(vec![face]), progress);
        let measured = measured.unwrap();
        let names: Vec<_> = measured.iter().map(|(truth, _)| truth.image.as_str()).collect();
        assert_eq!(names, ["images/a.png", "images/c.png"]);
        assert!(measured.iter().all(|(_, faces)| faces == &[face]));
        assert_eq!(heard, [(2, 2)]);
        let chart = chart("one", &detection_curve(&measured), 2);
        assert_eq!(chart.series[0].points, [(1.0, 0.0)]);
    }

    #[test]
    fn pictures_that_cannot_be_used_are_named_with_what_is_wrong() {
        let dir = prepared();
        fs::remove_file(dir.path().join("set/images/a.png")).unwrap();
        RgbImage::new(20, 11).save(dir.path().join("set/images/c.png")).unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        let failure =
            detect_all(&tree, test_pictures(&tree), &|_| Ok(vec![]), &mut |_, _| ()).unwrap_err();
        assert_eq!(failure.code, code::DATA);
        for part in ["2 of the pictures", "set/images/a.png", "20x11 pixels, but 20x10"] {
            assert!(failure.message.contains(part), "{part} in {}", failure.message);
        }
    }

    #[test]
    fn a_network_that_fails_ends_the_run() {
        let dir = prepared();
        let tree = Tree::open(dir.path()).unwrap();
        let fail = |_: &RgbImage| Err(NetworkError::Run("no more".into()));
        let failure = detect_all(&tree, test_pictures(&tree), &fail, &mut |_, _| ()).unwrap_err();
        assert_eq!(failure.code, code::SOFTWARE);
    }

    #[test]
    fn a_split_that_is_not_there_is_answered_with_those_that_are() {
        let dir = prepared();
        let tree = Tree::open(dir.path()).unwrap();
        let set = DetectionSet::parse(&text_in(&tree, ANNOTATIONS).unwrap()).unwrap();
        let failure = chosen(set, "val").unwrap_err();
        assert_eq!(failure.code, code::USAGE);
        assert!(failure.message.ends_with("choose one of: `test`, `train`"), "{}", failure.message);
    }

    #[test]
    fn a_threshold_is_a_share() {
        assert_eq!(score("0.25"), Ok(0.25));
        for text in ["1.5", "-0.1", "NaN", "much"] {
            assert!(score(text).is_err(), "{text}");
        }
    }
}
