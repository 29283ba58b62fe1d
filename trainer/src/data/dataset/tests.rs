use super::*;
use image::{Rgb, RgbImage};
use std::{fs, io::Write, path::Path};
use tempfile::TempDir;

/// A folder of small pictures, each of a colour of its own, named without their `.png`.
pub(crate) struct Scratch {
    dir: TempDir,
}

impl Scratch {
    pub(crate) fn new(paths: &[impl AsRef<str>]) -> Self {
        let scratch = Self { dir: tempfile::tempdir().unwrap() };
        for path in paths {
            scratch.picture(path.as_ref());
        }
        scratch
    }

    pub(crate) fn source(&self, name: &str) -> Source {
        Source::new(name, self.dir.path())
    }

    fn picture(&self, path: &str) {
        let sum = path.bytes().fold(7u32, |h, b| h.wrapping_mul(31).wrapping_add(u32::from(b)));
        let colour = Rgb([sum as u8, (sum >> 8) as u8, (sum >> 16) as u8]);
        let file = self.dir.path().join(format!("{path}.png"));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        RgbImage::from_pixel(20, 20, colour).save(file).unwrap();
    }

    fn rubbish(&self, path: &str) {
        let file = self.dir.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, b"rubbish").unwrap();
    }
}

fn small() -> Limits {
    Limits { store_size: 32, ..Limits::default() }
}

pub(crate) fn load(sources: &[Source]) -> Dataset {
    Dataset::load(sources, &small(), &mut |_, _| ()).unwrap()
}

fn names(data: &Dataset) -> Vec<(&str, &str)> {
    (0..data.len()).map(|i| (data.source(i).name.as_str(), data.name(i))).collect()
}

#[test]
fn pictures_are_sorted_and_know_their_split_and_person() {
    let scratch = Scratch::new(&["val/c/1", "train/b/2", "train/b/1", "unlabelled/x", "train/a/1"]);
    let mut heard = Vec::new();
    let data = Dataset::load(&[scratch.source("s")], &small(), &mut |done, total| {
        heard.push((done, total));
    })
    .unwrap();
    assert_eq!(heard, [(0, 5), (5, 5)]);
    let found: Vec<_> =
        (0..5).map(|i| (data.name(i), data.split(i), data.label(i), data.val_label(i))).collect();
    assert_eq!(
        found,
        [
            ("train/a/1.png", Split::Train, Some(0), None),
            ("train/b/1.png", Split::Train, Some(1), None),
            ("train/b/2.png", Split::Train, Some(1), None),
            ("unlabelled/x.png", Split::Unlabelled, None, None),
            ("val/c/1.png", Split::Val, None, Some(0)),
        ]
    );
    assert_eq!(data.people(), ["s/a", "s/b"]);
    assert_eq!(data.val_people(), ["s/c"]);
    assert_eq!(data.by_person(), [vec![0], vec![1, 2]]);
}

#[test]
fn what_is_to_be_left_out_is_not_taken() {
    let scratch =
        Scratch::new(&["train/a/1", "train/a/2", "train/ab/1", "unlabelled/x", "val/c/1"]);
    let leave_out = vec!["train/a".to_owned(), "unlabelled/x.png".to_owned()];
    let data = load(&[Source { leave_out, ..scratch.source("s") }]);
    assert_eq!(names(&data), [("s", "train/ab/1.png"), ("s", "val/c/1.png")]);
}

#[test]
fn a_name_is_one_person_only_within_a_namespace() {
    let (a, b, c) = (
        Scratch::new(&["train/ann/1", "train/bob/1"]),
        Scratch::new(&["train/ann/1"]),
        Scratch::new(&["ann/1"]),
    );
    let shared = |scratch: &Scratch, name: &str| Source {
        namespace: Some("film".to_owned()),
        ..scratch.source(name)
    };
    let data = load(&[shared(&a, "a"), shared(&b, "b"), c.source("c")]);
    assert_eq!(data.people(), ["c/ann", "film/ann", "film/bob"]);
    let labels: Vec<_> = (0..4).map(|i| data.label(i).unwrap()).collect();
    assert_eq!(labels, [1, 2, 1, 0]);
}

#[test]
fn who_is_held_out_in_one_source_is_held_out_in_all() {
    let (a, b) = (Scratch::new(&["train/ann/1", "train/bob/1"]), Scratch::new(&["val/ann/1"]));
    let shared = |scratch: &Scratch, name: &str| Source {
        namespace: Some("film".to_owned()),
        ..scratch.source(name)
    };
    let data = load(&[shared(&a, "a"), shared(&b, "b")]);
    assert_eq!(data.people(), ["film/bob"]);
    assert_eq!(data.val_people(), ["film/ann"]);
    assert_eq!((data.val_label(0), data.label(0)), (Some(0), None));
    let apart = load(&[a.source("a"), b.source("b")]);
    assert_eq!(apart.people(), ["a/ann", "a/bob"]);
}

#[test]
fn a_broken_picture_is_named_and_skipped() {
    let scratch = Scratch::new(&["a/1", "a/3", "b/1"]);
    scratch.rubbish("a/2.jpg");
    let clean = load(&[Scratch::new(&["a/1", "a/3", "b/1"]).source("s")]);
    let error = Dataset::load(&[scratch.source("s")], &small(), &mut |_, _| ()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("1 of 4") && text.contains("a/2.jpg"), "{text}");
    let limits = Limits { broken_share: 0.25, ..small() };
    let data = Dataset::load(&[scratch.source("s")], &limits, &mut |_, _| ()).unwrap();
    assert_eq!(data.broken(), 1);
    assert_eq!(names(&data), names(&clean));
    for i in 0..3 {
        assert_eq!(data.pixels(i), clean.pixels(i), "pixels stay with their names");
    }
}

#[test]
fn a_zip_of_a_folder_holds_the_same_pictures() {
    let scratch = Scratch::new(&["train/a/1", "train/a/2", "unlabelled/3"]);
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut zip = zip_of(scratch.dir.path());
    file.as_file().write_all(&std::mem::take(&mut zip)).unwrap();
    let (a, b) = (load(&[scratch.source("s")]), load(&[Source::new("s", file.path())]));
    assert_eq!(names(&a), names(&b));
    assert!(a.pixels == b.pixels);
}

/// A zip archive, its files stored as they are: all a reader needs and no dependency more.
fn zip_of(root: &Path) -> Vec<u8> {
    let tree = Tree::open(root).unwrap();
    let (mut zip, mut directory) = (Vec::new(), Vec::new());
    for path in tree.paths() {
        let (bytes, offset) = (tree.read(path).unwrap(), zip.len() as u32);
        let size = (bytes.len() as u32).to_le_bytes();
        let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        common.extend(crc32(&bytes).to_le_bytes());
        common.extend(size.iter().chain(&size));
        common.extend((path.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        zip.extend(b"PK\x03\x04".iter().chain(&common).chain(path.as_bytes()).chain(&bytes));
        directory.extend(b"PK\x01\x02\x14\x00".iter().chain(&common));
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes().iter().chain(path.as_bytes()));
    }
    let (start, count) = (zip.len() as u32, (tree.paths().len() as u16).to_le_bytes());
    zip.extend(&directory);
    zip.extend(b"PK\x05\x06\0\0\0\0".iter().chain(&count).chain(&count));
    zip.extend((directory.len() as u32).to_le_bytes().iter().chain(&start.to_le_bytes()));
    zip.extend([0, 0]);
    zip
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    })
}

#[test]
fn a_source_says_which_side_its_canonical_crops_have() {
    let scratch = Scratch::new(&["a/1"]);
    let crop = RgbImage::from_fn(20, 20, |x, y| Rgb([x as u8 * 9, y as u8 * 9, 1]));
    crop.save(scratch.dir.path().join("a/1.png")).unwrap();
    let limits = Limits { store_size: 20, ..Limits::default() };
    let load = || Dataset::load(&[scratch.source("s")], &limits, &mut |_, _| ());
    assert!(
        load().unwrap().pixels(0) != &crop.as_raw()[..],
        "any picture is a face without a border"
    );
    let about = scratch.dir.path().join("source.toml");
    fs::write(&about, "canonical_side = 20\n").unwrap();
    assert!(load().unwrap().pixels(0) == &crop.as_raw()[..]);
    for bad in ["canonical_side = 15", "canonical_side = 177", "side = 20", "= 3"] {
        fs::write(&about, bad).unwrap();
        let error = load().unwrap_err().to_string();
        assert!(error.contains("source.toml: "), "{bad}: {error}");
    }
}

#[test]
fn limits_take_the_first_of_each() {
    let scratch = Scratch::new(&[
        "train/a/1",
        "train/a/2",
        "train/b/1",
        "val/a/1",
        "unlabelled/1",
        "unlabelled/2",
    ]);
    let limits = Limits { per_person: Some(1), unlabelled: Some(1), ..small() };
    let data = Dataset::load(&[scratch.source("s")], &limits, &mut |_, _| ()).unwrap();
    let names: Vec<_> = names(&data).into_iter().map(|(_, path)| path).collect();
    assert_eq!(names, ["train/a/1.png", "train/b/1.png", "unlabelled/1.png", "val/a/1.png"]);
}

#[test]
fn labels_need_two_people_with_two_pictures() {
    let few = load(&[Scratch::new(&["train/a/1", "train/a/2", "train/b/1"]).source("s")]);
    let error = few.require_identities().unwrap_err().to_string();
    assert!(error.contains("1 people have two or more"), "{error}");
    let enough = Scratch::new(&["a/1", "a/2", "b/1", "b/2"]);
    load(&[enough.source("s")]).require_identities().unwrap();
}

#[test]
fn settings_out_of_range_and_names_used_twice_are_refused() {
    let scratch = Scratch::new(&["a/1"]);
    let source = scratch.source("s");
    struct Case {
        sources: Vec<Source>,
        limits: Limits,
        says: &'static str,
    }
    let cases = [
        Case { sources: vec![], limits: small(), says: "no data sources" },
        Case { sources: vec![source.clone(); 2], limits: small(), says: "two data sources" },
        Case {
            sources: vec![Source { val_share: f64::NAN, ..source.clone() }],
            limits: small(),
            says: "val_share of source `s`",
        },
        Case {
            sources: vec![source.clone()],
            limits: Limits { store_size: 200, ..small() },
            says: "store_size is 200",
        },
        Case {
            sources: vec![source.clone()],
            limits: Limits { broken_share: -0.1, ..small() },
            says: "broken_share",
        },
        Case {
            sources: vec![Source::new("x", scratch.dir.path().join("absent"))],
            limits: small(),
            says: "no such folder",
        },
    ];
    for case in cases {
        let error = Dataset::load(&case.sources, &case.limits, &mut |_, _| ()).unwrap_err();
        assert!(error.to_string().contains(case.says), "{error}");
    }
}

#[test]
fn an_unknown_setting_is_refused() {
    assert!(serde_json::from_str::<Limits>(r#"{"store_sise": 128}"#).is_err());
    assert!(serde_json::from_str::<Source>(r#"{"name": "a", "path": "b", "val": 1}"#).is_err());
    let source: Source = serde_json::from_str(r#"{"name": "a", "path": "b"}"#).unwrap();
    assert_eq!(source, Source::new("a", "b"));
}
