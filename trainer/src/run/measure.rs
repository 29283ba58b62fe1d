use super::TorchEmbedder;
use super::config::EvaluateConfig;
use crate::{
    data::{Dataset, resample::canonical},
    net::Architecture,
};
use facelatch::{
    embed::Score,
    evaluate::{self, FaceSet, Report, RunOptions, Scored},
    files::Tree,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::error::Error;

/// What a run is measured on: people held out from its own pictures, and LFW where it is given.
pub struct Measurer {
    held_out: Option<HeldOut>,
    lfw: Option<FaceSet>,
}

struct HeldOut {
    /// [N, S, S, 3]
    pixels: Vec<u8>,
    pairs: Vec<(usize, usize, bool)>,
}

/// The figures of one measurement.
#[derive(Default)]
pub struct Measurement {
    /// On people held out.
    pub held_out: Option<Report>,
    /// On LFW, with every pair's score for the ROC.
    pub lfw: Option<(Report, Vec<Scored>)>,
}

impl Measurement {
    /// The figure that decides which model is best: AUC on people held out, else LFW's accuracy.
    pub fn watched(&self) -> Option<f64> {
        let lfw = || Some(self.lfw.as_ref()?.0.accuracy.mean);
        self.held_out.as_ref().map(|report| report.auc).or_else(lfw)
    }
}

impl Measurer {
    /// Prepares the pictures at `size`; `seed` decides which pairs of the people held out are drawn.
    ///
    /// # Errors
    /// LFW cannot be read.
    pub fn new(
        config: &EvaluateConfig,
        dataset: &Dataset,
        size: usize,
        seed: u64,
    ) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let lfw = match &config.lfw {
            Some(path) => Some(FaceSet::lfw(&Tree::open(path)?, size as u32)?),
            None => None,
        };
        Ok(Self { held_out: HeldOut::new(dataset, size, config.val_pairs, seed), lfw })
    }

    /// Measures a network.
    ///
    /// # Errors
    /// The network gave something that is no embedding.
    pub fn measure(
        &self,
        mut embedder: TorchEmbedder,
    ) -> Result<Measurement, Box<dyn Error + Send + Sync>> {
        let held_out = match &self.held_out {
            Some(held_out) => Some(held_out.report(&mut embedder)?),
            None => None,
        };
        let lfw = match &self.lfw {
            Some(set) => {
                let options = RunOptions::default();
                let done = evaluate::run(set, &mut embedder, &options, &mut |_, _| {})?;
                Some((done.report, done.scored))
            }
            None => None,
        };
        Ok(Measurement { held_out, lfw })
    }
}

impl HeldOut {
    fn new(dataset: &Dataset, size: usize, count: usize, seed: u64) -> Option<Self> {
        let images: Vec<_> =
            (0..dataset.len()).filter(|&i| dataset.val_label(i).is_some()).collect();
        let people: Vec<_> = images.iter().map(|&i| dataset.val_label(i)).collect();
        let pairs = draw_pairs(&people, count, seed);
        let both = |wanted| pairs.iter().any(|(.., same)| *same == wanted);
        if !both(true) || !both(false) {
            log::warn!("too few people held out to measure on: the run watches LFW, or nothing");
            return None;
        }
        let mut pixels = vec![0; images.len() * size * size * 3];
        for (out, &i) in pixels.chunks_mut(size * size * 3).zip(&images) {
            canonical(dataset.pixels(i), dataset.size(), size, out);
        }
        Some(Self { pixels, pairs })
    }

    fn report(&self, embedder: &mut TorchEmbedder) -> Result<Report, evaluate::ProtocolError> {
        let rows = embedder.embed(&self.pixels);
        let row = |i: usize| &rows[i * Architecture::EMBEDDING..][..Architecture::EMBEDDING];
        let scored: Vec<_> = (self.pairs.iter())
            .map(|&(a, b, same)| {
                let score = row(a).iter().zip(row(b)).map(|(x, y)| x * y).sum();
                Scored { fold: 1, same, score: Score(score) }
            })
            .collect();
        Report::of(&scored)
    }
}

/// `count` pairs, half of one person as far as there are such, all different, the same for a seed.
fn draw_pairs<P: PartialEq>(people: &[P], count: usize, seed: u64) -> Vec<(usize, usize, bool)> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut pairs = std::collections::BTreeSet::new();
    let mut left = [count / 2, count / 2];
    if people.len() >= 2 {
        for _ in 0..count * 200 {
            let (a, b) = (rng.random_range(0..people.len()), rng.random_range(0..people.len()));
            let same = people[a] == people[b];
            let left = &mut left[usize::from(same)];
            if a != b && *left > 0 && pairs.insert((a.min(b), a.max(b), same)) {
                *left -= 1;
            }
        }
    }
    pairs.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_half_genuine_all_different_and_the_same_for_a_seed() {
        let people: Vec<_> = (0..60).map(|i| i / 6).collect();
        let pairs = draw_pairs(&people, 100, 5);
        assert_eq!(pairs, draw_pairs(&people, 100, 5));
        assert_ne!(pairs, draw_pairs(&people, 100, 6));
        assert_eq!(pairs.iter().filter(|p| p.2).count(), 50);
        assert_eq!(pairs.len(), 100);
        assert!(pairs.iter().all(|&(a, b, same)| a < b && (people[a] == people[b]) == same));
    }

    #[test]
    fn few_pictures_give_few_pairs_and_no_endless_loop() {
        assert!(draw_pairs::<u8>(&[], 100, 1).is_empty());
        assert!(draw_pairs(&[1], 100, 1).is_empty());
        assert_eq!(draw_pairs(&[1, 1, 2], 100, 1).len(), 3);
    }
}
