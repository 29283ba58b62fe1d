//! The detector from pictures to a file that the daemon's library reads, on drawn faces.

use facelatch::{
    align::{Similarity, TEMPLATE_112, template, warp_into},
    detect::{Decoder, Detector},
};
use image::RgbImage;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn facelatch_train(args: &[&str]) -> Output {
    let binary = env!("CARGO_BIN_EXE_facelatch-train");
    Command::new(binary).args(args).env("RUST_LOG", "info").output().unwrap()
}

fn done(args: &[&str]) -> String {
    let output = facelatch_train(args);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout) + &text(&output.stderr)
}

fn crops(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(crops(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Drawn faces on grey, each at another place and size, with annotations; two pictures without a face.
fn pictures(folder: &Path) {
    let drawn = folder.join("drawn");
    done(&["synthetic", drawn.to_str().unwrap(), "--people", "12", "--images", "4"]);
    let mut lines = String::new();
    for (i, path) in crops(&drawn).iter().enumerate() {
        let crop = image::open(path).unwrap().into_rgb8();
        let size = 50 + (i * 37) % 90;
        let corner = [(i * 53) % (200 - size), (i * 29) % (160 - size)];
        // The stored crop has a border of 8 px around the canonical 160.
        let shown = facelatch::align::Landmarks(
            template(size as u32).0.map(|[x, y]| [x + corner[0] as f32, y + corner[1] as f32]),
        );
        let stored = facelatch::align::Landmarks(template(160).0.map(|[x, y]| [x + 8.0, y + 8.0]));
        let map = Similarity::fit(&shown, &stored).unwrap();
        let mut face = vec![0; 200 * 160 * 3];
        warp_into(&crop, [176, 176], &map.into(), &mut face, [200, 160]);
        let mut picture = RgbImage::from_pixel(200, 160, image::Rgb([128; 3]));
        for (x, y) in (0..size).flat_map(|x| (0..size).map(move |y| (x + corner[0], y + corner[1])))
        {
            let at = (y * 200 + x) * 3;
            picture.put_pixel(
                x as u32,
                y as u32,
                image::Rgb([face[at], face[at + 1], face[at + 2]]),
            );
        }
        let name = format!("{i}.png");
        picture.save(folder.join(&name)).unwrap();
        let split = if i % 6 == 0 { "test" } else { "train" };
        let [x, y] = corner;
        lines += &format!(
            "{{\"image\":\"{name}\",\"width\":200,\"height\":160,\"split\":\"{split}\",\"faces\":[{{\"box\":[{x},{y},{size},{size}],\"landmarks\":{:?},\"score\":0.9}}],\"ignore\":[]}}\n",
            shown.0
        );
    }
    for (name, split) in [("empty-a.png", "train"), ("empty-b.png", "test")] {
        RgbImage::from_pixel(200, 160, image::Rgb([90, 120, 150])).save(folder.join(name)).unwrap();
        lines += &format!(
            "{{\"image\":\"{name}\",\"width\":200,\"height\":160,\"split\":\"{split}\",\"faces\":[],\"ignore\":[]}}\n"
        );
    }
    fs::write(folder.join("annotations.jsonl"), lines).unwrap();
    fs::remove_dir_all(drawn).unwrap();
    assert_eq!(TEMPLATE_112.len(), 5);
}

const CONFIG: &str = r#"
steps = 60
batch = 8
network = { width = 160, height = 128, alpha = 0.5 }
compose = { side = 128, face_px = [20.0, 120.0], mosaic = 0.2, rotate_deg = 5.0, shade = 0.0, dark = 0.0 }
optimizer = { rate = 5e-3, warmup = 5, average = 0.8 }
evaluate = { every = 30 }
checkpoint = { every = 30, log_every = 10 }
"#;

#[test]
fn a_detector_learns_is_resumed_and_becomes_files_that_find_faces() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name).to_str().unwrap().to_owned();
    pictures(scratch.path());
    let config = format!("{CONFIG}\n[data]\npictures = [{:?}]\nworkers = 1\n", at(""));
    fs::write(at("detect.toml"), config).unwrap();
    let (toml, run) = (at("detect.toml"), at("run"));
    done(&[
        "detect",
        "train",
        "--config",
        &toml,
        "--out",
        &run,
        "--set",
        "steps=40",
        "--threads",
        "1",
    ]);
    let metrics = fs::read_to_string(Path::new(&run).join("metrics.jsonl")).unwrap();
    let losses: Vec<f64> = (metrics.lines())
        .filter_map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["loss"].as_f64()
        })
        .collect();
    assert!(losses.last().unwrap() < &(losses[0] * 0.8), "{losses:?}");
    // More steps than were asked for at first: the run goes on where it stood.
    let text = fs::read_to_string(Path::new(&run).join("run.toml")).unwrap();
    fs::write(Path::new(&run).join("run.toml"), text.replace("steps = 40", "steps = 60")).unwrap();
    let text = done(&["detect", "resume", &run, "--threads", "1"]);
    assert!(text.contains("finished after 60 steps"), "{text}");
    assert!(done(&["detect", "evaluate", &run, "--threads", "1"]).contains("recall"));

    let [f32, int8] = ["f32.onnx", "int8.onnx"].map(at);
    done(&["detect", "export", &run, "--out", &f32]);
    done(&["detect", "quantize", &run, "--out", &int8, "--images", "16", "--threads", "1"]);
    let picture = image::open(at("1.png")).unwrap().into_rgb8();
    let decoder = Decoder { threshold: 0.01, ..Decoder::default() };
    for file in [f32, int8] {
        let detector = Detector::load(Path::new(&file)).unwrap();
        assert_eq!(detector.contract().input, [160, 128]);
        assert!(detector.detect(&picture, &decoder).is_ok());
    }
}

#[test]
fn what_is_no_data_ends_in_one_clear_line() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name).to_str().unwrap().to_owned();
    let config = format!("{CONFIG}\n[data]\npictures = [{:?}]\n", at("absent"));
    fs::write(at("detect.toml"), &config).unwrap();
    fs::write(at("annotations.jsonl"), "{\"image\": 3}\n").unwrap();
    fs::write(at("here.toml"), config.replace("absent", "")).unwrap();
    for (file, word) in [("detect.toml", "absent"), ("here.toml", "line 1")] {
        let out = at("run");
        let output = facelatch_train(&["detect", "train", "--config", &at(file), "--out", &out]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(word), "{error}");
        let _ = fs::remove_dir_all(&out);
    }
}
