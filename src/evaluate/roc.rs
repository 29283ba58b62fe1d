use super::{
    ProtocolError, Scored,
    protocol::{Split, check},
};
use serde::{Deserialize, Serialize};

/// One point of a receiver operating characteristic.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RocPoint {
    /// False accept rate (FMR here): impostor pairs at or above the threshold, 0 to 1.
    pub far: f64,
    /// True accept rate (1 − FNMR): genuine pairs at or above the threshold, 0 to 1.
    pub tar: f64,
    /// The threshold.
    pub threshold: f32,
}

/// The true accept rate at a false accept rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TarAtFar {
    /// The false accept rate asked for.
    pub far: f64,
    /// The one had at the threshold: at most what was asked for.
    pub measured_far: f64,
    /// The lowest threshold that keeps to it.
    pub threshold: f32,
    /// Genuine pairs accepted there, 0 to 1.
    pub tar: f64,
    /// The lower end of the 95 % [`wilson_interval`] of `tar`.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// Genuine pairs counted.
    pub genuine: usize,
    /// Impostor pairs counted. Under 1/`far` of them the rate is not measured, only not exceeded.
    pub impostor: usize,
}

/// The curve from (0, 0) to (1, 1), one point for every distinct score, thresholds falling.
///
/// # Errors
/// [`ProtocolError`]: a score that is not finite, or a kind of pair missing.
pub fn roc(scored: &[Scored]) -> Result<Vec<RocPoint>, ProtocolError> {
    let split = Split::of(scored)?;
    let mut all: Vec<(f32, bool)> = scored.iter().map(|s| (s.score.0, s.same)).collect();
    all.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let (mut accepted, mut right) = (0usize, 0usize);
    let mut points = vec![RocPoint { far: 0.0, tar: 0.0, threshold: all[0].0.next_up() }];
    for group in all.chunk_by(|a, b| a.0 == b.0) {
        let genuine = group.iter().filter(|(_, same)| *same).count();
        right += genuine;
        accepted += group.len() - genuine;
        points.push(RocPoint {
            far: accepted as f64 / split.impostor.len() as f64,
            tar: right as f64 / split.genuine.len() as f64,
            threshold: group[0].0,
        });
    }
    Ok(points)
}

/// The area under the curve, by trapezoids: the chance that a genuine pair scores above an impostor
/// pair, a tie counting half (Hanley and McNeil 1982). 0 to 1.
pub fn auc(curve: &[RocPoint]) -> f64 {
    curve.windows(2).map(|p| (p[1].far - p[0].far) * (p[0].tar + p[1].tar) / 2.0).sum()
}

/// The rate at which false accepts and false rejects are equal, on straight lines between the points
/// of the curve. 0 to 1.
pub fn equal_error_rate(curve: &[RocPoint]) -> f64 {
    // FNMR − FMR = 1 − tar − far falls from 1 to −1 along the curve; the crossing is where it is 0.
    let excess = |p: &RocPoint| 1.0 - p.tar - p.far;
    let crossing = curve.windows(2).find(|p| excess(&p[1]) <= 0.0);
    crossing.map_or(1.0, |p| {
        let (before, after) = (excess(&p[0]), excess(&p[1]));
        p[0].far + (p[1].far - p[0].far) * before / (before - after)
    })
}

/// The share of `genuine` scores accepted at the lowest threshold that accepts at most `far` of the
/// `impostor` scores. Linear in the number of scores: millions are fine.
///
/// # Errors
/// [`ProtocolError`]: a score that is not finite, no scores of a kind, a rate outside 0 to 1.
pub fn tar_at_far(genuine: &[f32], impostor: &[f32], far: f64) -> Result<TarAtFar, ProtocolError> {
    check(genuine, impostor)?;
    if !(0.0..=1.0).contains(&far) {
        return Err(ProtocolError::Rate);
    }
    // The millionth keeps 0.001 · 3000 at 3 whichever way the product rounds.
    let allowed = (far * impostor.len() as f64 + 1e-6) as usize;
    let threshold = if allowed >= impostor.len() {
        genuine.iter().chain(impostor).copied().fold(f32::INFINITY, f32::min)
    } else {
        let mut falling = impostor.to_vec();
        let (_, refused, _) = falling.select_nth_unstable_by(allowed, |a, b| b.total_cmp(a));
        // + 0.0 makes -0.0 plain zero, whose next_up is above both.
        (*refused + 0.0).next_up()
    };
    let at_or_above = |scores: &[f32]| scores.iter().filter(|&&s| s >= threshold).count();
    let right = at_or_above(genuine);
    let (low, high) = wilson_interval(right, genuine.len());
    Ok(TarAtFar {
        far,
        measured_far: at_or_above(impostor) as f64 / impostor.len() as f64,
        threshold,
        tar: right as f64 / genuine.len() as f64,
        low,
        high,
        genuine: genuine.len(),
        impostor: impostor.len(),
    })
}

/// The 95 % score interval of a proportion of `hits` in `trials`: E. B. Wilson, "Probable inference,
/// the law of succession, and statistical inference", JASA 22, 1927. (0, 1) without trials.
pub fn wilson_interval(hits: usize, trials: usize) -> (f64, f64) {
    if trials == 0 {
        return (0.0, 1.0);
    }
    const Z: f64 = 1.959_963_984_540_054;
    let n = trials as f64;
    let p = hits as f64 / n;
    let spread = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let (middle, whole) = (p + Z * Z / (2.0 * n), 1.0 + Z * Z / n);
    // The interval always holds p; at 0 and 1 rounding would put it a hair outside.
    (((middle - spread) / whole).clamp(0.0, p), ((middle + spread) / whole).clamp(p, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embed::Score;
    use proptest::prelude::*;

    fn scored(genuine: &[f32], impostor: &[f32]) -> Vec<Scored> {
        let tag = |scores: &[f32], same| {
            scores
                .iter()
                .map(move |&s| Scored { fold: 1, same, score: Score(s) })
                .collect::<Vec<_>>()
        };
        [tag(genuine, true), tag(impostor, false)].concat()
    }

    #[test]
    fn curves_worked_by_hand() {
        // AUC: wins and half ties over all genuine × impostor couples. EER: drawn on paper.
        for (name, genuine, impostor, area, eer) in [
            ("apart", &[0.9, 0.8][..], &[0.2, 0.1][..], 1.0, 0.0),
            ("upside down", &[0.1], &[0.9], 0.0, 1.0),
            ("all tied", &[0.5, 0.5], &[0.5, 0.5], 0.5, 0.5),
            ("one swap", &[0.9, 0.7, 0.5], &[0.6, 0.2, 0.1], 8.0 / 9.0, 1.0 / 3.0),
            ("one tie", &[0.9, 0.5], &[0.5, 0.1], 3.5 / 4.0, 0.25),
        ] {
            let curve = roc(&scored(genuine, impostor)).unwrap();
            assert!((auc(&curve) - area).abs() < 1e-12, "{name}: {}", auc(&curve));
            let rate = equal_error_rate(&curve);
            assert!((rate - eer).abs() < 1e-12, "{name}: {rate}");
            let (first, last) = (curve[0], curve[curve.len() - 1]);
            assert_eq!([first.far, first.tar, last.far, last.tar], [0.0, 0.0, 1.0, 1.0]);
        }
    }

    #[test]
    fn rates_at_a_rate_worked_by_hand() {
        let impostor: Vec<f32> = (0..100).map(|i| i as f32 / 100.0).collect();
        for (name, genuine, far, tar, measured) in [
            ("none allowed", &[0.995, 0.985][..], 0.0, 0.5, 0.0),
            ("one in a hundred", &[0.995, 0.985], 0.01, 1.0, 0.01),
            ("less than one", &[0.995, 0.985], 0.009, 0.5, 0.0),
            ("all", &[0.995, -1.0], 1.0, 1.0, 1.0),
        ] {
            let found = tar_at_far(genuine, &impostor, far).unwrap();
            assert_eq!((found.tar, found.measured_far), (tar, measured), "{name}");
        }
        let ties = tar_at_far(&[0.5, 0.6], &[0.5; 10], 0.3).unwrap();
        assert_eq!((ties.tar, ties.measured_far), (0.5, 0.0), "ties go together");
        assert_eq!(tar_at_far(&[0.5], &[0.5], f64::NAN), Err(ProtocolError::Rate));
        assert!(tar_at_far(&[f32::NAN], &[0.5], 0.1).is_err());
    }

    #[test]
    fn the_interval_is_wilsons() {
        // 10 of 10 and 1 of 10, worked from the formula with z² = 3.8415.
        for (hits, trials, low, high) in
            [(10, 10, 0.7225, 1.0), (1, 10, 0.0179, 0.4042), (0, 0, 0.0, 1.0)]
        {
            let found = wilson_interval(hits, trials);
            assert!((found.0 - low).abs() < 1e-4 && (found.1 - high).abs() < 1e-4, "{found:?}");
        }
    }

    proptest! {
        #[test]
        fn the_rate_asked_for_is_kept_and_no_lower_threshold_keeps_it(
            genuine in prop::collection::vec(-1f32..1.0, 1..50),
            impostor in prop::collection::vec((-20i8..20).prop_map(|v| f32::from(v) / 20.0), 1..200),
            far in 0f64..1.0,
        ) {
            let found = tar_at_far(&genuine, &impostor, far).unwrap();
            prop_assert!(found.measured_far <= far + 1e-6);
            let lower = impostor.iter().filter(|&&s| s >= found.threshold.next_down()).count();
            prop_assert!(lower as f64 / impostor.len() as f64 > far);
            prop_assert!(found.low <= found.tar && found.tar <= found.high);
        }

        #[test]
        fn the_area_is_the_share_of_couples_won(
            genuine in prop::collection::vec((-9i8..9).prop_map(f32::from), 1..20),
            impostor in prop::collection::vec((-9i8..9).prop_map(f32::from), 1..20),
        ) {
            let couples = genuine.iter().flat_map(|g| impostor.iter().map(move |i| (g, i)));
            let wins: f64 = couples.map(|(g, i)| f64::from(u8::from(g > i)) + f64::from(u8::from(g == i)) / 2.0).sum();
            let curve = roc(&scored(&genuine, &impostor)).unwrap();
            let share = wins / (genuine.len() * impostor.len()) as f64;
            prop_assert!((auc(&curve) - share).abs() < 1e-9);
        }
    }
}
