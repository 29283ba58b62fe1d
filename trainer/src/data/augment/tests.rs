use super::*;
use crate::data::resample::canonical;
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

const SRC: usize = 176;
const OUT: usize = 112;

/// Something with edges, slopes and colours.
fn picture() -> Vec<u8> {
    (0..SRC * SRC)
        .flat_map(|i| {
            let (x, y) = (i % SRC, i / SRC);
            let disc = (x as i32 - 88).pow(2) + (y as i32 - 88).pow(2) < 3600;
            [x as u8, if disc { 200 } else { 60 }, ((x / 8 + y / 8) % 2 * 90 + 80) as u8]
        })
        .collect()
}

/// A whole view of a picture of [`SRC`] px; whether it is mirrored.
fn seen(augment: &Augment, src: &[u8], rng: &mut ChaCha8Rng, size: usize, out: &mut [u8]) -> bool {
    let placed = augment.place(src, SRC, rng, size, out);
    augment.spoil(&placed, rng, out, size);
    placed.mirrored
}

fn view(augment: &Augment, seed: u64, out_size: usize) -> (Vec<u8>, bool) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut out = vec![0; out_size * out_size * 3];
    let mirrored = seen(augment, &picture(), &mut rng, out_size, &mut out);
    (out, mirrored)
}

fn plain(out_size: usize) -> Vec<u8> {
    let mut out = vec![0; out_size * out_size * 3];
    canonical(&picture(), SRC, out_size, &mut out);
    out
}

fn difference(a: &[u8], b: &[u8]) -> f64 {
    let sum: u64 = a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.len() as f64
}

/// Each kind of change alone, always applied.
fn each_alone() -> Vec<(&'static str, Augment)> {
    let with = |change: fn(&mut Augment)| {
        let mut augment = Augment::none();
        change(&mut augment);
        augment
    };
    vec![
        ("geometry", with(|a| a.geometry.probability = 1.0)),
        ("light", with(|a| a.light.probability = 1.0)),
        ("grayscale", with(|a| a.grayscale = 1.0)),
        ("rectangle", with(|a| a.occlusion.rectangle = 1.0)),
        ("sunglasses", with(|a| a.occlusion.sunglasses = 1.0)),
        ("mask", with(|a| a.occlusion.mask = 1.0)),
        ("blur", with(|a| a.blur.probability = 1.0)),
        ("motion", with(|a| a.motion.probability = 1.0)),
        ("resolution", with(|a| a.resolution.probability = 1.0)),
        ("noise", with(|a| a.noise.probability = 1.0)),
        ("jpeg", with(|a| a.jpeg.probability = 1.0)),
    ]
}

#[test]
fn no_augmentation_is_a_plain_resample_and_draws_nothing() {
    for out_size in [64, OUT, 160] {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let before = rng.clone();
        let mut out = vec![0; out_size * out_size * 3];
        let mirrored = seen(&Augment::none(), &picture(), &mut rng, out_size, &mut out);
        assert!(out == plain(out_size), "{out_size}");
        assert!(!mirrored);
        assert_eq!(rng, before);
    }
}

#[test]
fn a_mirrored_view_is_the_plain_one_read_backwards() {
    let augment = Augment { flip: 1.0, ..Augment::none() };
    let (out, mirrored) = view(&augment, 1, OUT);
    assert!(mirrored);
    for (row, plain) in out.chunks(OUT * 3).zip(plain(OUT).chunks(OUT * 3)) {
        let (row, plain) = (row.as_chunks::<3>().0, plain.as_chunks::<3>().0);
        for (a, b) in row.iter().zip(plain.iter().rev()) {
            assert!((0..3).all(|c| a[c].abs_diff(b[c]) <= 1), "{a:?} {b:?}");
        }
    }
}

#[test]
fn every_change_changes_something_and_none_destroys_the_picture() {
    let plain = plain(OUT);
    for (name, augment) in each_alone() {
        let mean = (0..40).map(|s| difference(&view(&augment, s, OUT).0, &plain)).sum::<f64>();
        let mean = mean / 40.0;
        assert!((0.3..45.0).contains(&mean), "{name} changes a value by {mean:.2} on average");
    }
}

#[test]
fn sunglasses_cover_the_eyes_and_a_mask_the_mouth_of_a_turned_face() {
    let mut base = Augment::none();
    base.geometry = Geometry { probability: 1.0, ..Geometry::default() };
    for (kind, covered, open) in [
        ("sunglasses", [(38.3, 51.7), (73.5, 51.5)], [(41.5, 92.4), (70.7, 92.2)]),
        ("mask", [(41.5, 92.4), (70.7, 92.2)], [(38.3, 51.7), (73.5, 51.5)]),
    ] {
        let mut over = base.clone();
        let p =
            if kind == "mask" { &mut over.occlusion.mask } else { &mut over.occlusion.sunglasses };
        *p = 1.0;
        for seed in 0..30 {
            let (without, with) = (view(&base, seed, OUT).0, view(&over, seed, OUT).0);
            // The turn is small: a point moves by less than the spot looked at.
            let changed = |points: [(f32, f32); 2]| {
                points.iter().all(|(x, y)| {
                    let i = (*y as usize * OUT + *x as usize) * 3;
                    difference(&without[i..i + 3], &with[i..i + 3]) > 3.0
                })
            };
            assert!(changed(covered), "{kind}, seed {seed}");
            assert!(!changed(open), "{kind}, seed {seed}");
        }
    }
}

#[test]
fn noise_has_the_deviation_asked_for() {
    let mut augment = Augment::none();
    augment.noise = Noise { probability: 1.0, sigma: [10.0, 10.0] };
    let mut out = vec![0; 160 * 160 * 3];
    let grey = vec![128; SRC * SRC * 3];
    seen(&augment, &grey, &mut ChaCha8Rng::seed_from_u64(1), 160, &mut out);
    let off = out.iter().map(|v| f64::from(*v) - 128.0);
    let (mean, square) = off.fold((0.0, 0.0), |(m, s), d| (m + d, s + d * d));
    let count = out.len() as f64;
    assert!((mean / count).abs() < 0.2, "mean {}", mean / count);
    assert!(((square / count).sqrt() - 10.0).abs() < 0.3, "{}", (square / count).sqrt());
}

#[test]
fn px_are_those_of_the_face_at_any_output_size() {
    // A dark face moves as far at 80 px as at 160 px, in px of the face.
    let mut augment = Augment::none();
    augment.geometry = Geometry { probability: 1.0, ..Geometry::default() };
    let centre = |out: &[u8], size: usize| {
        let at = out.as_chunks::<3>().0.iter().enumerate().filter(|(_, p)| p[1] > 150);
        let (n, x) = at.fold((0.0, 0.0), |(n, x), (i, _)| (n + 1.0, x + (i % size) as f64));
        x / n * 160.0 / size as f64
    };
    for seed in 0..10 {
        let (small, large) = (view(&augment, seed, 80).0, view(&augment, seed, 160).0);
        let (a, b) = (centre(&small, 80), centre(&large, 160));
        assert!((a - b).abs() < 1.0, "seed {seed}: {a} {b}");
    }
}

#[test]
fn settings_out_of_range_are_named() {
    type Change = fn(&mut Augment);
    let broken: [(&str, Change); 6] = [
        ("augment.flip is 1.5", |a| a.flip = 1.5),
        ("augment.noise.probability is NaN", |a| a.noise.probability = f32::NAN),
        ("augment.geometry.shift_px", |a| a.geometry.shift_px = -1.0),
        ("augment.blur.sigma_px is [2.0, 1.0]", |a| a.blur.sigma_px = [2.0, 1.0]),
        ("augment.resolution.share", |a| a.resolution.share = [0.0, 1.0]),
        ("augment.jpeg.quality", |a| a.jpeg.quality = [0, 90]),
    ];
    for (says, change) in broken {
        let mut augment = Augment::default();
        augment.check().unwrap();
        change(&mut augment);
        let error = augment.check().unwrap_err().to_string();
        assert!(error.starts_with(says), "{error}");
    }
    Augment::none().check().unwrap();
}

#[test]
fn a_config_may_name_a_part_and_nothing_unknown() {
    let augment: Augment = serde_json::from_str(r#"{"blur": {"probability": 0.5}}"#).unwrap();
    let mut expected = Augment::default();
    expected.blur.probability = 0.5;
    assert_eq!(augment, expected);
    for wrong in [r#"{"blurr": {}}"#, r#"{"blur": {"sigma": [1, 2]}}"#] {
        assert!(serde_json::from_str::<Augment>(wrong).is_err(), "{wrong}");
    }
}

#[test]
#[ignore = "measures time: cargo test --release -p facelatch-train a_view_takes -- --ignored"]
fn a_view_takes_less_than_a_millisecond() {
    const VIEWS: u32 = 2000;
    let (src, augment) = (picture(), Augment::default());
    let mut out = vec![0; OUT * OUT * 3];
    // The best of four, so that other programs' turns on the core do not count.
    let mut best = |seed: u64| {
        let once = |_| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let start = std::time::Instant::now();
            seen(&augment, &src, &mut rng, OUT, &mut out);
            start.elapsed()
        };
        (0..4).map(once).min().unwrap()
    };
    let total: std::time::Duration = (0..VIEWS).map(|seed| best(seed.into())).sum();
    let each = total / VIEWS;
    println!("{each:?} a view at {OUT} px");
    assert!(each < std::time::Duration::from_millis(1), "{each:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn augmentation_is_a_pure_function_of_its_seed(seed: u64, out_size in 8usize..130) {
        let augment = Augment::default();
        prop_assert!(view(&augment, seed, out_size) == view(&augment, seed, out_size));
    }

    #[test]
    fn the_strongest_settings_at_any_size_do_not_panic(seed: u64, out_size in 2usize..60) {
        let mut all = Augment::default();
        for (_, probability) in all.probabilities_mut() {
            *probability = 1.0;
        }
        all.geometry = Geometry {
            probability: 1.0, shift_px: 80.0, scale: 0.5, rotate_deg: 180.0, stretch: 0.5,
        };
        all.light = Light {
            probability: 1.0,
            brightness: 1.0,
            contrast: 1.0,
            gamma: 4.0,
            saturation: 1.0,
            gains: 1.0,
        };
        all.blur = Blur { probability: 1.0, sigma_px: [0.0, 8.0] };
        all.motion = Motion { probability: 1.0, length_px: [0.0, 40.0] };
        all.noise = Noise { probability: 1.0, sigma: [0.0, 64.0] };
        all.resolution = Resolution { probability: 1.0, share: [0.1, 1.0] };
        all.jpeg = Jpeg { probability: 1.0, quality: [1, 100] };
        all.check().unwrap();
        view(&all, seed, out_size);
    }
}

#[test]
fn blended_views_lie_between_two_and_the_others_stay() {
    const SIDE: usize = 8;
    let levels = [0u8, 100, 200, 255];
    let views: Vec<u8> = levels.iter().flat_map(|level| [*level; SIDE * SIDE * 3]).collect();
    let blended = |mix: f32, seed: u64| {
        let mut out = views.clone();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let augment = Augment { mix, ..Augment::none() };
        let mixed = augment.blend(&mut rng, &mut out, SIDE);
        (out, mixed)
    };
    assert_eq!(blended(0.0, 1), (views.clone(), vec![false; 4]));
    let (mut some, mut all, mut even) = (0, 0, 0);
    for seed in 0..50 {
        let (out, mixed) = blended(0.5, seed);
        some += mixed.iter().filter(|mixed| **mixed).count();
        for (i, (picture, mixed)) in out.chunks(SIDE * SIDE * 3).zip(mixed).enumerate() {
            assert!(mixed || picture.iter().all(|v| *v == levels[i]));
        }
        let (out, mixed) = blended(1.0, seed);
        assert_eq!(mixed, [true; 4]);
        for (picture, level) in out.chunks(SIDE * SIDE * 3).zip(levels) {
            let pixels = picture.as_chunks::<3>().0;
            assert!(pixels.iter().all(|p| p[0] == p[1] && p[1] == p[2]), "no colours come up");
            even += usize::from(pixels.iter().all(|p| *p == pixels[0]));
            all += usize::from(pixels.iter().any(|p| p[0] != level));
        }
    }
    assert!((70..130).contains(&some), "{some} of 200 at one half");
    assert!(all > 190, "{all} of 200 are another picture than before");
    assert!((70..130).contains(&even), "{even} of 200 have one share");
    let mut one = vec![7; 12];
    let augment = Augment { mix: 1.0, ..Augment::none() };
    let alone = augment.blend(&mut ChaCha8Rng::seed_from_u64(1), &mut one, 2);
    assert_eq!((alone, one), (vec![false], vec![7; 12]));
}
