//! What a face at the door may have that the enrolled picture had not, one thing at a time, and what it
//! costs: pairs of pictures whose first is as it is and whose second is seen through a condition.
//!
//! Conditions are drawn onto aligned faces, so what a detector makes of them is left out. Turned heads are
//! not drawn: pairs are grouped by the yaw of their landmarks.

use crate::{
    data::augment::{Augment, Blur, Jpeg, Motion, Noise, Occlusion, Resolution},
    run::Fault,
};
use facelatch::{
    align::expose,
    detect::Pose,
    embed::{Embedder, Embedding, Score},
    evaluate::{FaceSet, ImageId, LandmarkTable, Pair, embed_faces, tar_at_far, wilson_interval},
    plot::{Chart, Series},
};
use image::RgbImage;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::collections::BTreeMap;

/// Eye to eye in an aligned face of 160 px, px.
const EYES_APART: f32 = 50.3;
/// False accepts among the pairs of strangers of a condition that [`Finding::tar`] allows.
const FAR: f64 = 0.01;
/// Upper ends of the groups by yaw, degrees.
const YAWS: [(f32, &str); 4] =
    [(15.0, "up to 15°"), (25.0, "15 to 25°"), (35.0, "25 to 35°"), (90.0, "more")];

/// One thing that is different, by how much.
pub struct Condition {
    /// What it is.
    pub kind: &'static str,
    /// How much of it there is; empty where there are no degrees.
    pub amount: String,
    /// What the pixels' values are multiplied by. They follow light to the power of 1 / 2.2 or so, and a dark
    /// sensor's noise is not drawn.
    light: f32,
    /// Pixels from eye to eye that the camera had; none: as many as the aligned face has.
    apart: Option<f32>,
    change: Augment,
}

/// What a condition costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// See [`Condition::kind`].
    pub kind: &'static str,
    /// See [`Condition::amount`].
    pub amount: String,
    /// Pairs of one person.
    pub genuine: usize,
    /// Pairs of two people.
    pub impostor: usize,
    /// Share of the genuine pairs below the threshold.
    pub fnmr: f64,
    /// Its 95 % interval (Wilson).
    pub fnmr_interval: (f64, f64),
    /// Share of the pairs of strangers at or above the threshold.
    pub fmr: f64,
    /// Share of the genuine pairs above all but 1 % of this condition's pairs of strangers; none where a
    /// kind of pair is missing.
    pub tar: Option<f64>,
}

/// Every condition, as it is first; amounts of a kind grow.
pub fn conditions() -> Vec<Condition> {
    let mut all = vec![Condition::new("as it is", String::new(), |_| {})];
    for apart in [24.0, 18.0, 12.0, 8.0] {
        let mut far = Condition::new("far away", format!("{apart} px eye to eye"), |_| {});
        far.apart = Some(apart);
        all.push(far);
    }
    for share in [0.02, 0.04, 0.06, 0.08] {
        all.push(Condition::new("out of focus", format!("σ {share} of the eyes"), |a| {
            a.blur = Blur { probability: 1.0, sigma_px: [share * EYES_APART; 2] };
        }));
    }
    for share in [0.1, 0.2, 0.3, 0.4] {
        all.push(Condition::new("moving", format!("{share} of the eyes"), |a| {
            a.motion = Motion { probability: 1.0, length_px: [share * EYES_APART; 2] };
        }));
    }
    for light in [0.5, 0.25, 0.12, 0.06] {
        let amount = format!("values × {light}");
        let mut dark = Condition::new("in the dark", amount, |_| {});
        dark.light = light;
        all.push(dark);
    }
    for sigma in [5.0, 10.0, 15.0, 20.0] {
        all.push(Condition::new("noisy", format!("σ {sigma} of 255"), |a| {
            a.noise = Noise { probability: 1.0, sigma: [sigma; 2] };
        }));
    }
    for quality in [40, 20, 10, 5] {
        all.push(Condition::new("squeezed", format!("JPEG quality {quality}"), |a| {
            a.jpeg = Jpeg { probability: 1.0, quality: [quality; 2] };
        }));
    }
    for side in [30.0, 45.0, 60.0, 75.0] {
        all.push(Condition::new("covered", format!("a square of {side} of 160 px"), |a| {
            (a.occlusion.rectangle, a.occlusion.side_px) = (1.0, [side; 2]);
        }));
    }
    let occluded = |kind, change: fn(&mut Occlusion)| {
        Condition::new(kind, String::new(), |a| change(&mut a.occlusion))
    };
    all.push(occluded("sunglasses", |o| o.sunglasses = 1.0));
    all.push(occluded("mask", |o| o.mask = 1.0));
    all.push(Condition::new("without colour", String::new(), |a| a.grayscale = 1.0));
    all
}

impl Condition {
    fn new(kind: &'static str, amount: String, change: impl FnOnce(&mut Augment)) -> Self {
        let mut augment = Augment::none();
        change(&mut augment);
        Self { kind, amount, light: 1.0, apart: None, change: augment }
    }

    /// Of the pixels across an aligned face of `size` px, how many the camera had.
    fn share_of_pixels(&self, size: usize) -> Option<f32> {
        self.apart.map(|apart| (apart / (EYES_APART * size as f32 / 160.0)).min(1.0))
    }

    /// The face as seen through the condition; `seed` decides what is left to chance.
    pub fn seen(&self, face: &RgbImage, seed: u64) -> RgbImage {
        let (mut seen, mut rng) = (face.clone(), ChaCha8Rng::seed_from_u64(seed));
        let size = face.width() as usize;
        if self.light < 1.0 {
            seen.iter_mut().for_each(|v| *v = (f32::from(*v) * self.light).round() as u8);
        }
        let mut change = self.change.clone();
        if let Some(share) = self.share_of_pixels(size) {
            change.resolution = Resolution { probability: 1.0, share: [share; 2] };
        }
        change.relight(&mut rng, &mut seen);
        change.cover(&mut rng, &mut seen, size);
        change.degrade(&mut rng, &mut seen, size);
        expose(&mut seen, size);
        seen
    }
}

/// Measures every condition, and the groups by yaw, at a threshold. `progress` hears conditions done and in
/// all.
///
/// # Errors
/// The network fails, or gives something that is no embedding.
pub fn measure(
    set: &FaceSet,
    landmarks: &LandmarkTable,
    embedder: &mut dyn Embedder,
    threshold: Score,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<Finding>, Fault> {
    let conditions = conditions();
    let ids: Vec<&ImageId> = set.faces().keys().collect();
    let mut seen = |done: usize| {
        progress(done, conditions.len());
        let view = |i: usize| conditions[done].seen(&set.faces()[ids[i]], i as u64);
        embed_faces(&ids, &view, embedder, false, &mut |_, _| {})
    };
    let plain = seen(0)?;
    let against = |seen: &BTreeMap<&ImageId, Embedding>| -> Vec<(bool, Score)> {
        let score = |pair: &Pair| (pair.same, plain[&pair.a].cosine(&seen[&pair.b]));
        set.pairs().0.iter().map(score).collect()
    };
    let scores = against(&plain);
    let mut findings = vec![finding(conditions[0].kind, String::new(), &scores, threshold)?];
    for (done, condition) in conditions.iter().enumerate().skip(1) {
        let scores = against(&seen(done)?);
        findings.push(finding(condition.kind, condition.amount.clone(), &scores, threshold)?);
    }
    progress(conditions.len(), conditions.len());
    let yaw = |id: &ImageId| landmarks.get(&id.to_string()).map_or(0.0, |l| Pose::of(l).yaw.abs());
    let mut least = 0.0;
    for (most, amount) in YAWS {
        let within = |pair: &Pair| (least..most).contains(&yaw(&pair.a).max(yaw(&pair.b)));
        let group: Vec<_> = (set.pairs().0.iter().zip(&scores))
            .filter(|(pair, _)| within(pair))
            .map(|(_, scored)| *scored)
            .collect();
        findings.push(finding("turned", amount.to_owned(), &group, threshold)?);
        least = most;
    }
    Ok(findings)
}

fn finding(
    kind: &'static str,
    amount: String,
    scores: &[(bool, Score)],
    threshold: Score,
) -> Result<Finding, Fault> {
    let of = |wanted| -> Vec<f32> {
        scores.iter().filter(|(same, _)| *same == wanted).map(|(_, score)| score.0).collect()
    };
    let (genuine, impostor) = (of(true), of(false));
    let refused = genuine.iter().filter(|&&s| s < threshold.0).count();
    let accepted = impostor.iter().filter(|&&s| s >= threshold.0).count();
    let share = |part: usize, of: &[f32]| part as f64 / of.len().max(1) as f64;
    let tar = match genuine.is_empty() || impostor.is_empty() {
        true => None,
        false => Some(tar_at_far(&genuine, &impostor, FAR)?.tar),
    };
    Ok(Finding {
        kind,
        amount,
        fnmr: share(refused, &genuine),
        fnmr_interval: wilson_interval(refused, genuine.len()),
        fmr: share(accepted, &impostor),
        tar,
        genuine: genuine.len(),
        impostor: impostor.len(),
    })
}

/// The share refused over the degrees of each kind that has several.
pub fn chart(findings: &[Finding], threshold: Score) -> Chart {
    let plain = findings.first().map_or(0.0, |finding| finding.fnmr);
    let groups = findings.chunk_by(|a, b| a.kind == b.kind).filter(|group| group.len() > 1);
    let series = groups.map(|group| {
        let shares = group.iter().map(|finding| finding.fnmr);
        // People who were asked to turn their head were not asked for a straight look first.
        let start = (group[0].kind != "turned").then_some(plain);
        let points = (0..).zip(start.into_iter().chain(shares));
        Series {
            name: group[0].kind.to_owned(),
            points: points.map(|(x, y)| (f64::from(x), y * 100.0)).collect(),
        }
    });
    Chart {
        title: format!("Refused, one picture against one, at threshold {:.2}", threshold.0),
        x_label: "degree, 0 as it is".to_owned(),
        y_label: "refused genuine pairs, %".to_owned(),
        log_x: false,
        series: series.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    fn face() -> RgbImage {
        RgbImage::from_fn(112, 112, |x, y| Rgb([(x * 2) as u8, (y * 2) as u8, ((x ^ y) * 2) as u8]))
    }

    fn difference(a: &RgbImage, b: &RgbImage) -> f64 {
        let sum: u64 = a.iter().zip(b.iter()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        sum as f64 / a.len() as f64
    }

    #[test]
    fn every_condition_but_the_first_changes_the_face_and_the_same_way_for_a_seed() {
        let face = face();
        for condition in conditions() {
            let seen = condition.seen(&face, 3);
            let (kind, amount) = (condition.kind, &condition.amount);
            assert_eq!(seen == face, kind == "as it is", "{kind} {amount}");
            assert!(seen == condition.seen(&face, 3), "{kind} {amount}");
        }
    }

    #[test]
    fn more_of_a_condition_changes_more() {
        let face = face();
        let all = conditions();
        // Darkness is taken back by what brightens a crop, down to the levels that are left.
        let kinds = all.chunk_by(|a, b| a.kind == b.kind);
        for group in kinds.filter(|group| group[0].kind != "in the dark") {
            // Where a square lies is chance: the mean over some.
            let mean = |c: &Condition| {
                (0..20).map(|seed| difference(&c.seen(&face, seed), &face)).sum::<f64>()
            };
            for pair in group.windows(2) {
                assert!(mean(&pair[0]) < mean(&pair[1]), "{} {}", pair[1].kind, pair[1].amount);
            }
        }
    }

    #[test]
    fn a_face_far_away_has_as_many_pixels_whatever_the_network_looks_at() {
        for far in conditions().into_iter().filter(|c| c.kind == "far away") {
            let pixels = |size| far.share_of_pixels(size).map(|share| share * size as f32);
            let [small, large] = [112, 160].map(|size| pixels(size).unwrap());
            assert!((small - large).abs() < 1e-3, "{}: {small} {large}", far.amount);
        }
        let last = conditions().into_iter().rfind(|c| c.kind == "far away");
        let share = last.and_then(|far| far.share_of_pixels(160)).unwrap();
        assert!((share * EYES_APART - 8.0).abs() < 1e-4, "{share}");
    }

    #[test]
    fn rates_worked_by_hand() {
        let scores: Vec<_> = [(true, 0.9), (true, 0.5), (true, 0.4), (false, 0.6), (false, 0.1)]
            .map(|(same, score)| (same, Score(score)))
            .into();
        let found = finding("mask", String::new(), &scores, Score(0.5)).unwrap();
        assert_eq!((found.genuine, found.impostor), (3, 2));
        assert!((found.fnmr - 1.0 / 3.0).abs() < 1e-9 && (found.fmr - 0.5).abs() < 1e-9);
        // One percent of two strangers is none: above 0.6 there is one of three.
        assert!((found.tar.unwrap() - 1.0 / 3.0).abs() < 1e-9);
        let none = finding("mask", String::new(), &scores[..3], Score(0.5)).unwrap();
        assert_eq!((none.impostor, none.fmr, none.tar), (0, 0.0, None));
    }
}
