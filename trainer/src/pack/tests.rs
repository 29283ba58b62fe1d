use super::*;
use crate::data::{Source, Split, synthetic};
use crate::run::Checkpoint;
use facelatch::align::template;

/// Invented people, and a configuration that names them and a few pairs.
fn scene(dir: &Path) -> RunConfig {
    synthetic::write(&dir.join("faces"), 12, 4, 5).unwrap();
    fs::create_dir_all(dir.join("lfw/images")).unwrap();
    let points: String =
        template(160).0.iter().flatten().map(|v| format!("\t{}", v + 8.0)).collect();
    let mut landmarks = String::new();
    let mut people: Vec<_> = fs::read_dir(dir.join("faces/val")).unwrap().collect();
    people.sort_by_key(|p| p.as_ref().unwrap().file_name());
    for (person, name) in people.iter().zip(["Ann", "Bob"]) {
        let from = person.as_ref().unwrap().path();
        fs::create_dir_all(dir.join("lfw/images").join(name)).unwrap();
        for (i, picture) in fs::read_dir(from).unwrap().enumerate() {
            let file = format!("{name}/{name}_{:04}.jpg", i + 1);
            fs::copy(picture.unwrap().path(), dir.join("lfw/images").join(&file)).unwrap();
            landmarks += &format!("{file}{points}\n");
        }
    }
    fs::write(dir.join("lfw/landmarks.tsv"), landmarks).unwrap();
    fs::write(dir.join("lfw/pairs.txt"), "1\nAnn\t1\t2\nAnn\t1\tBob\t1\n").unwrap();
    let mut config = RunConfig::default();
    config.data.sources.push(Source::new("drawn", dir.join("faces")));
    config.evaluate.lfw = Some(dir.join("lfw"));
    config
}

fn settings(limit: u64) -> Settings {
    Settings { size: 64, quality: 60.0, limit }
}

fn run(config: &RunConfig, limit: u64, out: &Path) -> Result<Vec<Part>, PackError> {
    pack(&[("a".to_owned(), config.clone())], &settings(limit), out, &mut |_, _| ())
}

/// Every file below a folder and its bytes.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let tree = facelatch::files::Tree::open(folder).unwrap();
    tree.paths().iter().map(|path| (path.clone(), tree.read(path).unwrap())).collect()
}

#[test]
fn the_same_pictures_come_out_smaller_with_their_border_and_their_people() {
    let dir = tempfile::tempdir().unwrap();
    let (config, out) = (scene(dir.path()), dir.path().join("pack"));
    let parts = run(&config, 10_000_000, &out).unwrap();
    let size: u64 = files(&out).iter().map(|(_, bytes)| bytes.len() as u64).sum();
    assert_eq!(parts.iter().map(|part| part.bytes).sum::<u64>(), size);
    let packed = RunConfig::parse(&fs::read_to_string(out.join("a.toml")).unwrap()).unwrap();
    assert_eq!(packed.data.sources[0].path, Path::new("faces/drawn.zip"));
    assert_eq!(packed.evaluate.lfw.as_deref(), Some(Path::new("lfw.zip")));
    assert_eq!(packed.data.limits.store_size, 64);
    let at = |source: &Source, path: PathBuf| Source { path, ..source.clone() };
    let load = |source: &Source| {
        Dataset::load(std::slice::from_ref(source), &packed.data.limits, &mut |_, _| ()).unwrap()
    };
    let before = load(&config.data.sources[0]);
    let source = &packed.data.sources[0];
    let after = load(&at(source, out.join(&source.path)));
    assert_eq!(before.images(), after.images());
    assert_eq!((before.people(), before.val_people()), (after.people(), after.val_people()));
    assert!((0..after.len()).any(|i| after.split(i) == Split::Val));
    let off = |i: usize| {
        let pairs = before.pixels(i).iter().zip(after.pixels(i));
        pairs.map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / before.pixels(i).len() as f64
    };
    // A face taken as one without a border would be 9 % smaller: some 15 levels off at edges.
    let worst = (0..after.len()).map(off).fold(0.0, f64::max);
    assert!(worst < 6.0, "{worst}");
    let tree = facelatch::files::Tree::open(&out.join("lfw.zip")).unwrap();
    let lfw = facelatch::evaluate::FaceSet::lfw(&tree, 112).unwrap();
    assert_eq!((lfw.faces().len(), lfw.pairs().0.len()), (3, 2));
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let config = scene(dir.path());
    let made = ["one", "two"].map(|name| {
        let out = dir.path().join(name);
        run(&config, 10_000_000, &out).unwrap();
        files(&out)
    });
    assert!(made[0] == made[1]);
}

#[test]
fn a_start_is_packed_without_what_a_start_does_not_use() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = scene(dir.path());
    let start = dir.path().join("start.safetensors");
    let tensor = (vec![2], vec![1.0f32, 2.0]);
    let tensors = ["average.a", "model.a", "optimizer.first"];
    let tensors = tensors.map(|name| (name.to_owned(), tensor.clone())).into();
    Checkpoint { config: config.to_toml(), step: 3, best: None, tensors }.write(&start).unwrap();
    config.start = Some(start.into());
    let out = dir.path().join("pack");
    run(&config, 10_000_000, &out).unwrap();
    let packed = Checkpoint::read(&out.join("a.start.safetensors")).unwrap();
    assert_eq!(packed.tensors.keys().collect::<Vec<_>>(), ["average.a"]);
    assert!(fs::read_to_string(out.join("a.toml")).unwrap().contains("a.start.safetensors"));
}

#[test]
fn too_much_is_refused_with_its_parts_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let config = scene(dir.path());
    let before = fs::read_dir(dir.path()).unwrap().count();
    let error = run(&config, 10_000, &dir.path().join("pack")).unwrap_err().to_string();
    for word in ["may have 0.0", "faces of drawn", "LFW", "--quality", "per_person"] {
        assert!(error.contains(word), "{word}: {error}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), before);
}

#[test]
fn what_cannot_be_packed_together_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let config = scene(dir.path());
    let mut other = config.clone();
    other.data.limits.per_person = Some(1);
    let named = |name: &str, config: &RunConfig| (name.to_owned(), config.clone());
    for (configs, says) in [
        (vec![], "no configuration"),
        (vec![named("a", &config), named("a", &config)], "two configurations"),
        (vec![named("a", &config), named("b", &other)], "other data"),
    ] {
        let out = dir.path().join("pack");
        let error = pack(&configs, &settings(1), &out, &mut |_, _| ()).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    let error = run(&config, 10_000_000, dir.path()).unwrap_err().to_string();
    assert!(error.contains("is there already"), "{error}");
}

#[test]
fn the_two_stages_of_a_gpu_day_go_into_one_pack() {
    let [a, b, on_a_cpu] = ["gpu-160", "gpu-112", "cpu-160-every"].map(|name| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("recipes/{name}.toml"));
        toml::from_str::<RunConfig>(&fs::read_to_string(path).unwrap()).unwrap()
    });
    assert_eq!((&a.data.sources, &a.data.limits), (&b.data.sources, &b.data.limits));
    assert_eq!((&a.data.teacher, &a.evaluate.lfw), (&b.data.teacher, &b.evaluate.lfw));
    // Whoever is left out of one is left out of all that is trained from here on.
    assert_eq!(a.data.sources, on_a_cpu.data.sources);
}
