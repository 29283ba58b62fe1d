//! The default limits on real pictures, where they are: see [`Limits`]. The numbers given there are what
//! `cargo test --lib quality::ordinary -- --nocapture` prints.

use super::*;
use crate::{
    detect::DetectionScore,
    evaluate::{DetectionSet, text_in},
    files::Tree,
    parallel,
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The shared research data, beside the repository unless `FACELATCH_SHARED` says where.
fn shared(file: &str) -> Option<Tree> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let folder = std::env::var_os("FACELATCH_SHARED").map_or_else(beside, PathBuf::from);
    let path = folder.join("data").join(file);
    if path.exists() {
        return Some(Tree::open(&path).unwrap());
    }
    eprintln!("SKIP: {} is not there; set FACELATCH_SHARED to its folder", path.display());
    None
}

fn frame(tree: &Tree, path: &str) -> RgbImage {
    image::load_from_memory(&tree.read(path).unwrap()).unwrap().into_rgb8()
}

/// Prints how measures spread and what is refused; returns the share refused for what.
fn summary(name: &str, faces: &[Quality]) -> BTreeMap<&'static str, f64> {
    type Measure = fn(&Quality) -> f32;
    let measures: [(&str, Measure); 9] = [
        ("brightness", |q| q.light.brightness),
        ("dark", |q| q.light.dark),
        ("bright", |q| q.light.bright),
        ("contrast", |q| q.light.contrast),
        ("sharpness", |q| q.light.sharpness),
        ("roll", |q| q.pose.roll),
        ("yaw", |q| q.pose.yaw),
        ("pitch", |q| q.pose.pitch),
        ("misfit", |q| q.misfit),
    ];
    println!("{name}: {} faces; 1, 50 and 99 of 100 are below", faces.len());
    for (name, measure) in measures {
        let mut sorted: Vec<f32> = faces.iter().map(measure).collect();
        sorted.sort_by(f32::total_cmp);
        let [low, middle, high] = [1, 50, 99].map(|p| sorted[p * (sorted.len() - 1) / 100]);
        println!("  {name:<10} {low:8.3} {middle:8.3} {high:8.3}");
    }
    let mut refused = BTreeMap::new();
    for refusal in faces.iter().filter_map(|q| Limits::default().judge(q).err()) {
        *refused.entry(refusal.name()).or_default() += 1.0 / faces.len() as f64;
    }
    println!("  refused {refused:.4?}");
    refused
}

/// Share refused for how the light falls or for blur.
fn light(refused: &BTreeMap<&str, f64>) -> f64 {
    let faults = ["too_dark", "too_bright", "flat", "blurred"];
    faults.iter().filter_map(|fault| refused.get(fault)).sum()
}

#[test]
fn the_default_limits_pass_ordinary_pictures() {
    let Some(tree) = shared("detect.zip") else { return };
    let mut set = DetectionSet::parse(&text_in(&tree, "annotations.jsonl").unwrap()).unwrap().0;
    set.retain(|picture| picture.split == "test" && !picture.faces.is_empty());
    let measured = parallel::map(&set, |picture| {
        let frame = frame(&tree, &picture.image);
        picture.faces.iter().map(|face| assess(&frame, face)).collect::<Vec<_>>()
    });
    let mut faces = measured.concat();
    faces.retain(|q| q.eye_distance >= Limits::default().least_eye_distance);
    let refused = summary("labelled faces of the test pictures", &faces);
    assert!(faces.len() > 1000 && light(&refused) < 0.02, "{refused:?}");
    // People in these pictures look anywhere; at a door they look at it.
    assert!(refused.values().sum::<f64>() < 0.2, "{refused:?}");
}

/// UTKFace's names say `age_gender_race_date`: 0 White, 1 Black, 2 Asian, 3 Indian, 4 others.
#[test]
fn light_is_judged_alike_for_every_colour_of_skin() {
    let Some(tree) = shared("faces/utk.zip") else { return };
    let mut groups: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
    for path in tree.paths().iter().step_by(2) {
        let race = path.split('_').nth(2).filter(|race| race.len() == 1);
        groups.entry(race.unwrap_or("unknown")).or_default().push(path);
    }
    groups.remove("unknown");
    // The inner 160 of 176 px are the aligned crop.
    let landmarks = Landmarks(template(160).0.map(|p| p.map(|v| v + 8.0)));
    let bounds = Bounds { x: 30.0, y: 20.0, width: 115.0, height: 140.0 };
    let face = Face { bounds, landmarks, score: DetectionScore(1.0) };
    for (race, paths) in groups {
        let faces = parallel::map(&paths, |path| assess(&frame(&tree, path), &face));
        let refused = summary(&format!("UTKFace, race {race}"), &faces);
        assert!(light(&refused) < 0.01, "{race}: {refused:?}");
    }
}

#[test]
fn blur_that_takes_detail_from_the_crop_is_seen() {
    let Some(tree) = shared("detect.zip") else { return };
    let mut set = DetectionSet::parse(&text_in(&tree, "annotations.jsonl").unwrap()).unwrap().0;
    set.retain(|picture| picture.split == "test" && picture.image.starts_with("celeba/"));
    set.truncate(60);
    // Standard deviation of a Gaussian blur, in shares of the inter-eye distance.
    let mut refused = [0.0, 0.03, 0.05, 0.1].map(|blur| {
        let measured = parallel::map(&set, |picture| {
            let frame = frame(&tree, &picture.image);
            let large = picture.faces.iter().filter(|f| assess(&frame, f).eye_distance >= 30.0);
            let sharpness = large.map(|face| {
                let sigma = blur * assess(&frame, face).eye_distance;
                let frame =
                    if blur == 0.0 { frame.clone() } else { image::imageops::blur(&frame, sigma) };
                assess(&frame, face).light.sharpness
            });
            sharpness.collect::<Vec<_>>()
        });
        let mut sharpness = measured.concat();
        sharpness.sort_by(f32::total_cmp);
        let limit = Limits::default().least_sharpness;
        let count = sharpness.partition_point(|&v| v < limit);
        let share = count as f64 / sharpness.len() as f64;
        println!("blur {blur}: middle {:.3}, refused {share:.3}", sharpness[sharpness.len() / 2]);
        share
    });
    assert!(refused.is_sorted() && refused[0] < 0.02, "{refused:?}");
    refused.reverse();
    assert!(refused[0] > 0.99 && refused[1] > 0.5, "{refused:?}");
}
