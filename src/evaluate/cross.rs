use super::ImageId;
use crate::embed::Embedding;
use serde::Serialize;
use std::collections::BTreeMap;

/// Bins of a score from −1 to 1: each 1/2000 wide.
const BINS: usize = 4000;

/// Every picture of a set against every other: what a threshold costs, from far more pairs of strangers
/// than a list of pairs has.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CrossPairs {
    /// Pictures.
    pub images: usize,
    /// Pairs of one person.
    pub genuine: u64,
    /// Pairs of two people.
    pub impostor: u64,
    /// For each wanted rate of false matches.
    pub at: Vec<CrossPoint>,
}

/// A threshold and its rates.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CrossPoint {
    /// The wanted false match rate.
    pub fmr: f64,
    /// The lowest threshold (in steps of 1/2000) with no more false matches than that.
    pub threshold: f32,
    /// False matches at it.
    pub false_matches: u64,
    /// The share of genuine pairs below it.
    pub fnmr: f64,
}

/// Compares all pairs. Pairs share pictures, so they are not independent, and an interval for their
/// number would be too narrow.
pub fn cross_pairs(faces: &BTreeMap<&ImageId, Embedding>, rates: &[f64]) -> CrossPairs {
    let faces: Vec<_> = faces.iter().collect();
    let (mut genuine, mut impostor) = (vec![0u64; BINS + 1], vec![0u64; BINS + 1]);
    for (i, (id, face)) in faces.iter().enumerate() {
        for (other, embedding) in &faces[i + 1..] {
            let score = face.cosine(embedding).0;
            let bin = (((score + 1.0) / 2.0 * BINS as f32) as usize).min(BINS);
            let counts = if id.name == other.name { &mut genuine } else { &mut impostor };
            counts[bin] += 1;
        }
    }
    let totals = [&genuine, &impostor].map(|counts| counts.iter().sum::<u64>());
    let at = rates.iter().map(|&fmr| point(&genuine, &impostor, totals, fmr)).collect();
    CrossPairs { images: faces.len(), genuine: totals[0], impostor: totals[1], at }
}

fn point(genuine: &[u64], impostor: &[u64], totals: [u64; 2], fmr: f64) -> CrossPoint {
    let allowed = (totals[1] as f64 * fmr) as u64;
    let (mut bin, mut false_matches) = (BINS + 1, 0);
    while bin > 0 && false_matches + impostor[bin - 1] <= allowed {
        bin -= 1;
        false_matches += impostor[bin];
    }
    let below: u64 = genuine[..bin].iter().sum();
    CrossPoint {
        fmr,
        threshold: bin as f32 / BINS as f32 * 2.0 - 1.0,
        false_matches,
        fnmr: below as f64 / totals[0].max(1) as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_lets_no_more_strangers_in_than_asked() {
        let id = |name: &str, number| ImageId { name: name.into(), number };
        let at = |angle: f32| {
            let mut values = [0.0; 128];
            (values[0], values[1]) = (angle.cos(), angle.sin());
            Embedding::from_slice(&values).unwrap()
        };
        let ids = [id("A", 1), id("A", 2), id("B", 1), id("B", 2)];
        let faces: BTreeMap<_, _> = ids.iter().zip([0.0, 0.1, 0.8, 1.5].map(at)).collect();
        let cross = cross_pairs(&faces, &[0.0, 0.25, 1.0]);
        assert_eq!((cross.images, cross.genuine, cross.impostor), (4, 2, 4));
        // Strangers score cos of 0.8, 0.7, 1.5 and 1.4; genuine pairs cos 0.1 and cos 0.7.
        let [none, one, all] = [0, 1, 2].map(|i| cross.at[i]);
        assert_eq!((none.false_matches, one.false_matches, all.false_matches), (0, 1, 4));
        assert!((none.threshold - 0.7f32.cos()).abs() < 2e-3, "{none:?}");
        assert!((one.threshold - 0.8f32.cos()).abs() < 2e-3 || one.threshold > 0.69);
        assert_eq!((all.threshold, all.fnmr), (-1.0, 0.0));
    }
}
