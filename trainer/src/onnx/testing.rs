//! What the tests of this folder share: random networks, tract, and comparisons.

use super::{Calibration, Folded, Histogram, Method, Params, WeightScale, needs_range};
use crate::net::{Graph, Role};
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;

/// SplitMix64 (Steele, Lea and Flood 2014): enough for test data, the same on every machine.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// In [0, 1).
    pub fn uniform(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u32 << 24) as f32
    }

    /// Mean 0, standard deviation 1, by the sum of twelve.
    pub fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.uniform()).sum::<f32>() - 6.0
    }
}

/// Parameters as a trained network has them in scale: He weights and live batch norm statistics.
pub fn params(graph: &Graph, seed: u64) -> Params {
    let mut random = Random::new(seed);
    (graph.params().into_iter())
        .map(|spec| {
            let fan_in: usize = spec.shape.iter().skip(1).product();
            let draw = |_| match spec.role {
                Role::Weight => random.normal() * (2.0 / fan_in as f32).sqrt(),
                Role::Offset => random.normal() * 0.3,
                Role::Scale => 0.5 + random.uniform(),
                Role::Mean => random.normal() * 0.2,
                Role::Variance => 0.5 + random.uniform(),
            };
            let values = (0..spec.count()).map(draw).collect();
            (spec.name, values)
        })
        .collect()
}

/// An image of smooth stripes and noise whose values are bytes / 255, [3, H, W].
pub fn image([height, width]: [usize; 2], seed: u64) -> Vec<f32> {
    let mut random = Random::new(seed);
    let wave: Vec<_> = (0..9).map(|_| random.uniform() * 0.4).collect();
    (0..3 * height * width)
        .map(|i| {
            let (c, row, col) = (i / (height * width), i / width % height, i % width);
            let phase = wave[c] * row as f32 + wave[c + 3] * col as f32 + wave[c + 6] * 9.0;
            let x = 0.5 + 0.35 * phase.sin() + 0.1 * random.normal();
            (x.clamp(0.0, 1.0) * 255.0).round() / 255.0
        })
        .collect()
}

/// Ranges of the random images with these seeds.
pub fn calibrate(
    graph: &Graph,
    folded: &Folded,
    seeds: std::ops::Range<u64>,
    method: Method,
) -> Calibration {
    let mut histograms = vec![Histogram::default(); graph.nodes.len()];
    for seed in seeds {
        let values = super::reference::run(graph, folded, &image(graph.input_sides(), seed));
        for (histogram, values) in histograms.iter_mut().zip(&values) {
            histogram.observe(values).unwrap();
        }
    }
    let range =
        |(id, histogram): (_, &Histogram)| needs_range(graph, id).then(|| histogram.range(method));
    let ranges = histograms.iter().enumerate().map(range).collect();
    Calibration { ranges, weight_scale: WeightScale::MaxAbs }
}

/// A model loaded by tract for one image of this height and width; it gives all outputs one after
/// another.
pub fn tract(
    model: &ModelProto,
    [height, width]: [usize; 2],
) -> impl Fn(&[f32]) -> Vec<f32> + use<> {
    let plan = tract_onnx::onnx()
        .model_for_read(&mut super::to_bytes(model).as_slice())
        .and_then(|m| m.with_input_fact(0, f32::fact([1, 3, height, width]).into()))
        .and_then(|m| m.into_optimized())
        .and_then(|m| m.into_runnable())
        .unwrap();
    move |image| {
        let input = Tensor::from_shape(&[1, 3, height, width], image).unwrap();
        let output = plan.run(tvec!(input.into())).unwrap();
        let values = |t: &TValue| -> Vec<f32> {
            t.to_plain_array_view::<f32>().unwrap().iter().copied().collect()
        };
        output.iter().flat_map(values).collect()
    }
}

/// Largest absolute difference.
pub fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Cosine of the angle between two vectors of unit length.
pub fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
