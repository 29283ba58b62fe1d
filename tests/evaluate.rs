//! `facelatch evaluate` from the command line to the exit code, and the real pictures where they are.

mod shared;
mod tiny;

use facelatch::{
    embed::{Embedder, Embedding},
    evaluate::{FaceSet, RunError, RunOptions, run, select_folds},
    files::Tree,
};
use image::RgbImage;
use std::{
    error::Error,
    fs,
    path::Path,
    process::{Command, Output},
};

/// A folder with `tiny.onnx` and `faces/` of three people in `folds` folds.
fn prepared(folds: usize) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    tiny::write(&tiny::model(), &dir.path().join("tiny.onnx"));
    fs::create_dir(dir.path().join("faces")).unwrap();
    tiny::write_faces(&dir.path().join("faces"), folds);
    dir
}

fn evaluate(dir: &Path, arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_facelatch"));
    command.current_dir(dir).env_remove("RUST_LOG").arg("evaluate");
    command.args(arguments.split_whitespace()).output().unwrap()
}

fn stdout(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

const TINY: &str = "--model tiny.onnx --images faces";

#[test]
fn people_of_three_colours_are_told_apart_without_an_error() {
    let dir = prepared(3);
    let table = stdout(&evaluate(dir.path(), TINY));
    for part in [
        "given by the file, not detected",
        "18 (9 genuine, 9 impostor), folds: 3",
        "accuracy   100.00 % ± 0.00",
        "EER        0.00 %",
        "TAR        100.00 % at FAR 1e-3",
    ] {
        assert!(table.contains(part), "{part} in\n{table}");
    }
}

#[test]
fn json_folds_mirror_and_plot_do_what_they_say() {
    let dir = prepared(3);
    let more = "--folds 1-2 --mirror --json --plot roc";
    let json: serde_json::Value =
        serde_json::from_str(&stdout(&evaluate(dir.path(), &format!("{TINY} {more}")))).unwrap();
    assert_eq!(json["mirror"], true);
    assert_eq!(json["report"]["genuine"], 6);
    assert_eq!(json["report"]["folds"].as_array().unwrap().len(), 2);
    assert!(json["landmarks"].as_str().unwrap().contains("not detected"));
    assert!(fs::read_to_string(dir.path().join("roc.svg")).unwrap().contains("tiny"));
    assert!(fs::read(dir.path().join("roc.png")).unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn pairs_and_landmarks_may_lie_elsewhere_and_other_folds_need_not_be_there() {
    let dir = prepared(2);
    for name in ["pairs.txt", "landmarks.tsv"] {
        fs::rename(dir.path().join("faces").join(name), dir.path().join(name)).unwrap();
    }
    fs::remove_file(dir.path().join("faces/images/Ann/Ann_0003.jpg")).unwrap();
    let named = "--pairs pairs.txt --landmarks landmarks.tsv --folds 1";
    let table = stdout(&evaluate(dir.path(), &format!("{TINY} {named}")));
    assert!(table.contains("FLATTERING"), "{table}");
}

#[test]
fn what_is_wrong_ends_in_one_line_and_an_exit_code_of_its_own() {
    let dir = prepared(2);
    let path = |name: &str| dir.path().join(name);
    fs::write(path("text.onnx"), "not a network").unwrap();
    fs::write(path("short.txt"), "2\t3\nAnn\t1\t2\n").unwrap();
    fs::write(path("few.tsv"), "Ann/Ann_0001.jpg\t1\t2\n").unwrap();
    fs::write(path("none.tsv"), "").unwrap();
    fs::create_dir(path("empty")).unwrap();
    for (arguments, code, part) in [
        ("--images faces", 64, "--model"),
        ("--model tiny.onnx --images faces --folds 0", 64, "1-3"),
        ("--model tiny.onnx --images faces --folds 1-3", 64, "no fold 3"),
        ("--model text.onnx --images faces", 65, "text.onnx"),
        ("--model tiny.onnx --images faces --pairs short.txt", 65, "line 3"),
        ("--model tiny.onnx --images faces --landmarks few.tsv", 65, "line 1"),
        ("--model tiny.onnx --images faces --landmarks none.tsv", 65, "Ann_0001.jpg: no landmarks"),
        ("--model absent.onnx --images faces", 66, "absent.onnx"),
        ("--model tiny.onnx --images absent", 66, "absent"),
        ("--model tiny.onnx --images empty", 66, "pairs.txt"),
        ("--model tiny.onnx --images faces --pairs absent.txt", 66, "absent.txt"),
        ("--model tiny.onnx --images faces --plot absent/roc", 73, "absent/roc.svg"),
    ] {
        let output = evaluate(dir.path(), arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments}: {errors}");
        assert!(errors.contains(part), "{arguments}: {errors}");
        let own = errors.lines().filter(|line| line.starts_with("facelatch: ")).count();
        assert!(code == 64 || own == 1, "{arguments}: {errors}");
        assert!(output.stdout.is_empty(), "{arguments}");
    }
}

#[test]
fn every_broken_picture_is_named() {
    let dir = prepared(2);
    let images = dir.path().join("faces/images");
    fs::write(images.join("Bob/Bob_0002.jpg"), b"\xff\xd8 no picture").unwrap();
    fs::remove_file(images.join("Cid/Cid_0004.jpg")).unwrap();
    let output = evaluate(dir.path(), TINY);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(65), "{errors}");
    for part in ["2 of the pictures", "images/Bob/Bob_0002.jpg: ", "images/Cid/Cid_0004.jpg: "] {
        assert!(errors.contains(part), "{part} in {errors}");
    }
}

/// Says the colour of a crop's left edge, for which a mirrored crop is another face.
struct LeftEdge {
    size: u32,
    crops: usize,
    lost: usize,
}

impl Embedder for LeftEdge {
    fn input_size(&self) -> u32 {
        self.size
    }

    fn embed_all(
        &mut self,
        crops: &[RgbImage],
    ) -> Result<Vec<Embedding>, Box<dyn Error + Send + Sync>> {
        self.crops += crops.len();
        let edge = |crop: &RgbImage| {
            let [r, g, b] = crop.get_pixel(0, 3).0.map(f32::from);
            Embedding::new(std::array::from_fn(|i| [r, g, b][i % 3]))
        };
        Ok(crops.iter().skip(self.lost).map(edge).collect::<Result<_, _>>()?)
    }
}

#[test]
fn any_embedder_is_measured_and_a_faulty_one_is_stopped() {
    let dir = prepared(3);
    let set = FaceSet::lfw(&Tree::open(&dir.path().join("faces")).unwrap(), tiny::SIZE).unwrap();
    let measure = |size, lost, mirror, folds: &str| {
        let mut embedder = LeftEdge { size, crops: 0, lost };
        let options = RunOptions { folds: select_folds(folds).ok(), mirror, cross: vec![0.5] };
        let mut last = (0, 0);
        let done = run(&set, &mut embedder, &options, &mut |done, all| last = (done, all));
        done.map(|done| {
            let faces = done.cross.unwrap().images;
            assert_eq!(faces, last.1, "every face is compared with every other");
            (done.report.pairs(), done.scored.len(), last, embedder.crops)
        })
    };
    // Three people, two pictures of each in a fold.
    assert_eq!(measure(tiny::SIZE, 0, false, "all").unwrap(), (18, 18, (18, 18), 18));
    assert_eq!(measure(tiny::SIZE, 0, true, "2-3").unwrap(), (12, 12, (12, 12), 24));
    assert!(matches!(measure(112, 0, false, "1"), Err(RunError::Size { .. })));
    assert!(matches!(measure(tiny::SIZE, 1, false, "1"), Err(RunError::Count { .. })));
    assert!(matches!(measure(tiny::SIZE, 0, false, "4"), Err(RunError::Folds(_))));
}

#[test]
fn lfw_dev_loads_whole_and_aligned() {
    let Some(path) = shared::shared("lfw-dev.zip") else { return };
    let set = FaceSet::lfw(&Tree::open(&path).unwrap(), 112).unwrap();
    let pairs = &set.pairs().0;
    assert_eq!((pairs.len(), set.pairs().folds()), (1800, 3));
    for fold in 1..=3 {
        let genuine = pairs.iter().filter(|p| p.fold == fold && p.same).count();
        assert_eq!(genuine, 300, "fold {fold}");
    }
    assert_eq!(set.faces().len(), 2320);
    assert!(set.faces().values().all(|face| face.dimensions() == (112, 112)));
}

/// The demo's residents in YouTube Faces' layout: the pictures they were enrolled with as clips of two.
fn clips(dir: &Path, splits: &str) {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/enrol");
    for person in ["Alex", "Ben"] {
        let mut pictures: Vec<_> =
            fs::read_dir(demo.join(person)).unwrap().map(|entry| entry.unwrap().path()).collect();
        pictures.sort();
        for (i, picture) in pictures.iter().enumerate() {
            let clip = dir.join("frames").join(person).join((i / 2).to_string());
            fs::create_dir_all(&clip).unwrap();
            fs::copy(picture, clip.join(format!("{}.{i}.jpg", i / 2))).unwrap();
        }
    }
    fs::write(dir.join("splits.txt"), splits).unwrap();
}

fn sets(dir: &Path, more: &str) -> Output {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let model = |name: &str| models.join(name).display().to_string();
    let (embedding, detector) = (model("embedding-int8.onnx"), model("detector-int8.onnx"));
    evaluate(dir, &format!("--model {embedding} --detector {detector} --images frames {more}"))
}

#[test]
fn clips_of_the_demos_residents_are_told_apart_in_every_way() {
    let dir = tempfile::tempdir().unwrap();
    clips(
        dir.path(),
        "split number, first name, second name, is same\n\
         1, Alex/0, Alex/1, 1\n1, Alex/0, Ben/0, 0\n2, Ben/0, Ben/1, 1\n2, Alex/1, Ben/1, 0\n",
    );
    let json = stdout(&sets(dir.path(), "--sets splits.txt --json"));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let found = &json["clips"];
    assert_eq!((found["clips"].as_u64(), found["without_face"].as_u64()), (Some(4), Some(0)));
    for (fused, name) in found["fused"].as_array().unwrap().iter().zip(["mean", "best", "votes"]) {
        assert_eq!(fused["fusion"], name);
        assert_eq!((fused["fnmr"].as_f64(), fused["fmr"].as_f64()), (Some(0.0), Some(0.0)));
        assert_eq!(fused["report"]["accuracy"]["mean"], 1.0, "{fused}");
        assert_eq!(fused["report"]["folds"].as_array().unwrap().len(), 2);
    }
    let table = stdout(&sets(dir.path(), "--sets splits.txt --frames 1"));
    assert!(
        table.contains("4 (0 without a face), 4 frames") && table.contains("votes, as the door")
    );
}

#[test]
fn clips_that_cannot_be_measured_say_why() {
    let dir = tempfile::tempdir().unwrap();
    clips(dir.path(), "1, Alex/0, Alex/9, 1\n1, Alex/0, Cy/0, 0\n");
    fs::write(dir.path().join("torn.txt"), "1, Alex/0\n").unwrap();
    for (more, code, words) in [
        (
            "--sets splits.txt",
            66,
            "2 of the clips have no picture in a folder PERSON/CLIP: Alex/9, Cy/0",
        ),
        ("--sets torn.txt", 65, "splits, line 1: wanted fold"),
        ("--sets absent.txt", 66, "absent.txt"),
        ("--sets splits.txt --mirror", 64, "cannot be used with"),
    ] {
        let output = sets(dir.path(), more);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{more}: {error}");
        assert!(error.contains(words), "{more}: {error}");
    }
}
