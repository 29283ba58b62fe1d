use crate::embed::{EMBEDDING_LEN, Embedding};
use facelatch_kernels::{Builder, Conv, Map, Net, Output, Pool, Run};
use std::{ops::Range, sync::Arc};

/// All templates as bytes: scores that are off by little, in a quarter of the memory, by the kernels of
/// the networks. A gallery of 1,000 people is 1 MB then, which a core's cache holds.
pub struct Sieve {
    net: Net,
    scores: Map,
    /// The length of the longest difference between a template and its bytes.
    error: f32,
}

/// Scores of one probe.
pub struct Sifted<'a> {
    run: Run<'a>,
    scores: Map,
    /// A step of the probe's bytes.
    step: f32,
    margin: f32,
}

/// A vector in whole steps, a step, and the length of what rounding took off.
fn steps(vector: &[f32; EMBEDDING_LEN]) -> ([i8; EMBEDDING_LEN], f32, f32) {
    let most = vector.iter().fold(f32::MIN_POSITIVE, |most, v| most.max(v.abs()));
    let step = most / 127.0;
    let rounded = vector.map(|v| (v / step).round() as i8);
    let off = |(v, r): (&f32, &i8)| (v - f32::from(*r) * step).powi(2);
    (rounded, step, vector.iter().zip(&rounded).map(off).sum::<f32>().sqrt())
}

impl Sieve {
    /// A sieve of unit vectors; nothing where there are too many to be held at once.
    pub fn new(templates: &[[f32; EMBEDDING_LEN]]) -> Option<Self> {
        let rounded: Vec<_> = templates.iter().map(steps).collect();
        let (mut builder, probe) = Builder::new([1, 1], EMBEDDING_LEN).ok()?;
        let product = Conv {
            kernel: [1, 1],
            stride: [1, 1],
            pads: [0; 4],
            inputs: EMBEDDING_LEN,
            outputs: templates.len(),
            depthwise: false,
            weights: rounded.iter().flat_map(|(steps, ..)| *steps).collect(),
            bias: vec![0; templates.len()],
            scale: rounded.iter().map(|(_, step, _)| *step).collect(),
            input_zero: 128,
            output: Output::Floats,
        };
        let scores = builder.conv(probe, product).ok()?;
        let net = builder.finish(&[scores], Arc::new(Pool::new(1)));
        // The first run allocates what later ones use again.
        drop(net.run(&[128; EMBEDDING_LEN], None));
        let error = rounded.iter().fold(0.0, |most: f32, (.., error)| most.max(*error));
        Some(Self { net, scores, error })
    }

    /// The scores of all templates, each within half of [`Sifted::margin`] of the cosine.
    pub fn sift(&self, probe: &Embedding) -> Option<Sifted<'_>> {
        let (rounded, step, error) = steps(probe.values());
        let bytes = rounded.map(|steps| (i16::from(steps) + 128) as u8);
        let run = self.net.run(&bytes, None).ok()?;
        // p·t − p'·t' is (p − p')·t + p'·(t − t'), and p' is no longer than 1 + |p − p'|; sums in f32
        // are off by less than a millionth.
        let off = error + (1.0 + error) * self.error + 1e-5;
        Some(Sifted { run, scores: self.scores, step, margin: 2.0 * off })
    }
}

impl Sifted<'_> {
    /// The best score of some templates.
    pub fn best_of(&self, templates: Range<usize>) -> f32 {
        let scores = &self.run.floats(self.scores)[templates];
        scores.iter().fold(f32::MIN, |best, score| best.max(*score)) * self.step
    }

    /// Two scores that are further apart than this are in the right order.
    pub fn margin(&self) -> f32 {
        self.margin
    }
}
