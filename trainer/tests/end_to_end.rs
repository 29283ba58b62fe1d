//! The binary as a user calls it: invented people are drawn, a small network learns to tell them
//! apart, is killed and goes on, is exported, quantized and measured; and bad input is refused.

use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

fn train(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_facelatch-train"));
    command.args(args).env("RUST_LOG", "warn");
    command
}

fn run(args: &[&str]) -> Output {
    train(args).output().unwrap()
}

fn done(args: &[&str]) -> String {
    let output = run(args);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn path(p: &Path) -> &str {
    p.to_str().unwrap()
}

/// Invented people, drawn once for all tests.
fn people() -> &'static Path {
    static PEOPLE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let dir = PEOPLE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        done(&["synthetic", path(&dir.path().join("faces")), "--people", "60", "--images", "8"]);
        dir
    });
    Box::leak(dir.path().join("faces").into_boxed_path())
}

/// A small run: a quarter of the width, 64 px, hardly any augmentation.
fn config(dir: &Path) -> PathBuf {
    let text = format!(
        r#"
seed = 3
steps = 400
[network]
alpha = 0.25
input_size = 64
dropout_keep = 1.0
[data]
sources = [{{ name = "drawn", path = {:?} }}]
workers = 1
[batch.blocks]
people = 8
per_person = 4
free = 0
[optimizer]
rate = 1e-2
warmup = 20
average = 0.9
weight_decay = 0.01
[evaluate]
every = 100
val_pairs = 400
[checkpoint]
every = 50
log_every = 50
[augment]
grayscale = 0.0
geometry = {{ probability = 0.5, shift_px = 2.0, scale = 0.02, rotate_deg = 2.0, stretch = 0.0 }}
light = {{ probability = 0.0 }}
occlusion = {{ rectangle = 0.0, sunglasses = 0.0, mask = 0.0 }}
blur = {{ probability = 0.0 }}
motion = {{ probability = 0.0 }}
resolution = {{ probability = 0.0 }}
noise = {{ probability = 0.0 }}
jpeg = {{ probability = 0.0 }}
"#,
        people()
    );
    let file = dir.join("config.toml");
    fs::write(&file, text).unwrap();
    file
}

fn metrics(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn series(run: &Path, key: &str) -> Vec<f64> {
    metrics(run).iter().filter_map(|line| line.get(key)?.as_f64()).collect()
}

#[test]
fn a_small_run_learns_to_tell_invented_people_apart() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    done(&["train", "--config", path(&config(dir.path())), "--out", path(&out), "--threads", "1"]);
    let loss = series(&out, "loss");
    assert!(loss.last().unwrap() < &(loss[0] * 0.8), "the loss falls: {loss:?}");
    let auc = series(&out, "val_auc");
    assert!(*auc.last().unwrap() > 0.7, "pairs of people never seen separate: {auc:?}");
    for file in ["run.toml", "best.safetensors", "loss.svg", "loss.png", "accuracy.svg"] {
        assert!(out.join(file).exists(), "{file}");
    }
    the_exported_files_measure_alike(dir.path(), &out);
}

/// The checkpoint on libtorch, the f32 file and the int8 file on tract, on the same pairs.
fn the_exported_files_measure_alike(dir: &Path, run: &Path) {
    let (f32, int8, lfw) = (dir.join("f32.onnx"), dir.join("int8.onnx"), dir.join("lfw"));
    pairs_of_held_out_people(&lfw);
    done(&["export", path(run), "--out", path(&f32)]);
    done(&["quantize", path(run), "--out", path(&int8), "--images", "128"]);
    let measure = |model: &Path| -> Value {
        let json = done(&["evaluate", path(model), "--images", path(&lfw), "--json"]);
        serde_json::from_str(&json).unwrap()
    };
    let [torch, f32, int8] = [run, &f32, &int8].map(measure).map(|m| m["report"].clone());
    let auc = |report: &Value| report["auc"].as_f64().unwrap();
    assert!(auc(&torch) > 0.7, "{torch}");
    assert!((auc(&torch) - auc(&f32)).abs() < 1e-3, "{torch} {f32}");
    assert!((auc(&f32) - auc(&int8)).abs() < 0.03, "{f32} {int8}");
}

/// The people held out as a set in LFW's layout, the faces where the template puts them.
fn pairs_of_held_out_people(out: &Path) {
    let template = facelatch::align::template(160).0;
    let points: String = template.iter().flatten().map(|v| format!("\t{}", v + 8.0)).collect();
    let mut landmarks = String::new();
    let mut names: Vec<_> = (fs::read_dir(people().join("val")).unwrap())
        .map(|person| person.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    for name in &names {
        let folder = out.join("images").join(name);
        fs::create_dir_all(&folder).unwrap();
        let mut pictures: Vec<_> = (fs::read_dir(people().join("val").join(name)).unwrap())
            .map(|picture| picture.unwrap().path())
            .collect();
        pictures.sort();
        for (i, picture) in pictures.iter().enumerate() {
            let file = format!("{name}_{:04}.jpg", i + 1);
            fs::copy(picture, folder.join(&file)).unwrap();
            landmarks += &format!("{name}/{file}{points}\n");
        }
    }
    let mut pairs = format!("{}\n", names.len() * 7);
    for name in &names {
        (2..=8).for_each(|i| pairs += &format!("{name}\t1\t{i}\n"));
    }
    for (n, name) in names.iter().enumerate() {
        let other = &names[(n + 1) % names.len()];
        (2..=8).for_each(|i| pairs += &format!("{name}\t{i}\t{other}\t{}\n", i - 1));
    }
    fs::write(out.join("landmarks.tsv"), landmarks).unwrap();
    fs::write(out.join("pairs.txt"), pairs).unwrap();
}

#[test]
fn every_backbone_plan_and_optimizer_takes_a_few_steps() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    for (n, sets) in [
        &["batch={triplets={count=6}}", "loss.mining=random"][..],
        &["loss.mining=batch-hard", "loss.angular=0.5", "optimizer.kind=sgd", "optimizer.clip=1"],
        &["network.backbone=mobilefacenet", "loss.label_smoothing=0.1"],
        &["network.backbone=inception_resnet_v1", "network.input_size=112"],
    ]
    .into_iter()
    .enumerate()
    {
        let out = dir.path().join(format!("run{n}"));
        let mut command = train(&["train", "--config", path(&config), "--out", path(&out)]);
        for set in sets.iter().chain(&["steps=3", "optimizer.rate=1e-3"]) {
            command.args(["--set", set]);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{sets:?}: {}", String::from_utf8_lossy(&output.stderr));
        let loss = series(&out, "loss");
        assert!(loss.len() == 1 && loss[0] > 0.0, "{sets:?}: {loss:?}");
    }
}

#[test]
fn training_for_int8_hands_its_ranges_to_the_quantizer() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let (float, int8, file) =
        (dir.path().join("float"), dir.path().join("int8"), dir.path().join("int8.onnx"));
    done(&["train", "--config", path(&config), "--out", path(&float), "--set", "steps=40"]);
    let start = format!("start={:?}", float.join("best.safetensors"));
    let args = ["train", "--config", path(&config), "--out", path(&int8), "--set", "steps=10"];
    let output =
        train(&args).args(["--set", &start, "--set", "quantize_aware=true"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = done(&["quantize", path(&int8), "--out", path(&file), "--images", "64"]);
    assert!(said.contains("ranges from quantization-aware training"), "{said}");
    facelatch::embed::Network::load(&file).unwrap();
}

#[test]
fn a_run_killed_in_mid_epoch_goes_on_with_the_same_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let (whole, killed) = (dir.path().join("whole"), dir.path().join("killed"));
    let start = |out: &Path| {
        let set = ["--set", "steps=90", "--set", "checkpoint.every=7", "--threads", "1"];
        let mut command = train(&["train", "--config", path(&config), "--out", path(out)]);
        command.args(set).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    assert!(start(&whole).status().unwrap().success());
    let mut child = start(&killed).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    while fs::read_dir(killed.join("checkpoints")).map_or(0, |d| d.count()) < 2 {
        assert!(
            Instant::now() < deadline && child.try_wait().unwrap().is_none(),
            "no checkpoint came"
        );
        thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!killed.join("checkpoints/step-00000090.safetensors").exists(), "killed too late");
    done(&["resume", path(&killed), "--threads", "1"]);
    let last = "checkpoints/step-00000090.safetensors";
    let [a, b] = [&whole, &killed].map(|run| fs::read(run.join(last)).unwrap());
    let [a, b] = [&a, &b].map(|bytes| safetensors::SafeTensors::deserialize(bytes).unwrap());
    assert!(a.len() > 100 && a.len() == b.len());
    for (name, tensor) in a.iter() {
        assert!(tensor.data() == b.tensor(name).unwrap().data(), "{name} differs");
    }
    assert_eq!(series(&whole, "loss"), series(&killed, "loss"));
    assert_eq!(series(&whole, "val_auc"), series(&killed, "val_auc"));
}

#[test]
fn bad_input_ends_in_one_clear_line_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let lonely = at("lonely/only");
    fs::create_dir_all(&lonely).unwrap();
    let face = fs::read_dir(people().join("train")).unwrap().next().unwrap().unwrap().path();
    for (i, picture) in fs::read_dir(face).unwrap().enumerate() {
        fs::copy(picture.unwrap().path(), lonely.join(format!("{i}.png"))).unwrap();
    }
    fs::write(at("torn.zip"), b"PK\x03\x04 and no more").unwrap();
    fs::write(at("foreign.safetensors"), b"nothing of the kind").unwrap();
    let source = |path: &Path| format!("data.sources=[{{name=\"a\",path={path:?}}}]");
    let config = config(dir.path());
    for (name, set, code, says) in [
        ("missing folder", source(&at("absent")), 66, "absent"),
        ("one identity", source(&at("lonely")), 65, "people"),
        ("corrupt zip", source(&at("torn.zip")), 65, "torn.zip"),
        (
            "wrong checkpoint",
            format!("start={:?}", at("foreign.safetensors")),
            65,
            "foreign.safetensors",
        ),
        ("absent checkpoint", format!("start={:?}", at("absent.safetensors")), 66, "absent.safe"),
        ("loss that leaves the numbers", "optimizer.rate=1e8".to_owned(), 78, "optimizer.rate"),
        ("unknown key", "optimizer.speed=3".to_owned(), 78, "speed"),
    ] {
        let out = at(&format!("run of {name}"));
        let args = ["train", "--config", path(&config), "--out", path(&out), "--threads", "1"];
        let output = train(&args).args(["--set", &set]).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{name}: {error}");
        let lines: Vec<_> = error.lines().filter(|l| l.starts_with("facelatch-train:")).collect();
        assert!(lines.len() == 1 && lines[0].contains(says), "{name}: {error}");
        assert!(!out.exists(), "{name}: nothing is made for a run that cannot begin");
    }
}

#[test]
fn a_loss_that_leaves_the_numbers_stops_the_run_and_keeps_the_last_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let config = config(dir.path());
    let mut command = train(&["train", "--config", path(&config), "--out", path(&out)]);
    // Plain gradient descent at a rate far too high, from the third update on.
    let sets = [
        "optimizer.kind=sgd",
        "optimizer.rate=9.9",
        "optimizer.warmup=1",
        "checkpoint.every=1",
        "optimizer.weight_decay=9.9",
        "steps=2000",
    ];
    for set in sets {
        command.args(["--set", set]);
    }
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(70), "{error}");
    assert!(error.contains("the loss is") && error.contains("optimizer.rate"), "{error}");
}

#[test]
fn a_schedule_is_fitted_to_the_time_and_resumed_as_fitted() {
    let dir = tempfile::tempdir().unwrap();
    let (config, run) = (config(dir.path()), dir.path().join("run"));
    // A schedule that would take weeks ends in time, and `run.toml` says how long it became.
    let said = done(&[
        "train",
        "--config",
        path(&config),
        "--out",
        path(&run),
        "--set",
        "steps=100000000",
        "--set",
        "evaluate.every=100000000",
        "--threads",
        "1",
        "--minutes",
        "0.1",
        "--fit",
    ]);
    let steps = said.split("finished after ").nth(1).and_then(|t| t.split(' ').next()).unwrap();
    let kept = fs::read_to_string(run.join("run.toml")).unwrap();
    assert!(kept.contains(&format!("steps = {steps}\n")), "{steps}: {kept}");
    assert!(run.join("best.safetensors").exists());
    assert!(done(&["resume", path(&run)]).contains(&format!("finished after {steps}")));
}

#[test]
fn a_network_is_made_again_stage_by_stage_from_wherever_it_was_stopped() {
    let dir = tempfile::tempdir().unwrap();
    config(dir.path());
    let (recipe, out) = (dir.path().join("recipe.toml"), dir.path().join("out"));
    let text = r#"
training_data = "drawn people"
ranges = "minmax"
[[stages]]
name = "one"
config = "config.toml"
set = ["steps=12", "evaluate.every=12"]
file = "small.onnx"
[[stages]]
name = "two"
config = "config.toml"
from = ["one"]
set = ["steps=6", "evaluate.every=6", "seed=4"]
[[stages]]
name = "mean"
config = "config.toml"
from = ["one", "two"]
set = ["steps=2", "evaluate.every=2"]
file = "int8.onnx"
"#;
    fs::write(&recipe, text).unwrap();
    let again = |more: &[&str]| {
        let args = ["reproduce", path(&recipe), "--out", path(&out), "--threads", "1"];
        done(&[&args, more].concat())
    };
    let said = again(&["--minutes", "0"]);
    assert!(
        said.contains("1/3 one") && said.contains("goes on") && !said.contains("2/3"),
        "{said}"
    );
    assert!(!out.join("int8.onnx").exists());
    let said = again(&[]);
    assert!(said.contains("finished after 12") && said.contains("finished after 6"), "{said}");
    for (stage, starts) in [("two", &["one"][..]), ("mean", &["one", "two"])] {
        let text = fs::read_to_string(out.join(stage).join("run.toml")).unwrap();
        let from = |start: &&str| text.contains(&format!("{start}/best.safetensors"));
        assert!(starts.iter().all(from), "{text}");
    }
    for file in ["small.onnx", "int8.onnx"] {
        let network = facelatch::embed::Network::load(&out.join(file)).unwrap();
        assert_eq!(network.contract().training_data, "drawn people", "{file}");
    }
    let said = again(&[]);
    assert!(
        said.matches("is finished").count() == 3 && said.matches("in place of").count() == 2,
        "{said}"
    );

    for (wrong, says) in [
        (text.replace("minmax", "least"), "ranges: "),
        (text.replace("from = [\"one\"]", "from = [\"mean\"]"), "stages.1: from: \"mean\""),
        (text.replace("\"two\"", "\"one\""), "stages.1: \"one\""),
        (text.replace("\"one\"", "\"../one\""), "stages.0: "),
        (text.replace("steps=12", "step=12"), "--set step=12"),
        (text.replace("small.onnx", "../small.onnx"), "stages.0: file: "),
        (text.replace("file = \"int8.onnx\"", ""), "the last stage makes no file"),
    ] {
        fs::write(&recipe, wrong).unwrap();
        let other = dir.path().join("other");
        let args = ["reproduce", path(&recipe), "--out", path(&other), "--minutes", "0"];
        let output = run(&args);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains(says) && output.status.code() == Some(78), "{error}");
    }
}

#[test]
fn a_finished_run_is_not_overwritten_by_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let config = config(dir.path());
    let args = ["train", "--config", path(&config), "--out", path(&out), "--set", "steps=2"];
    done(&args);
    let before = fs::read(out.join("run.toml")).unwrap();
    let second = run(&args);
    assert_eq!(second.status.code(), Some(65));
    assert!(String::from_utf8_lossy(&second.stderr).contains("resume"));
    assert_eq!(fs::read(out.join("run.toml")).unwrap(), before);
}
