//! The arithmetic of int8: which scale each tensor gets and what a value becomes, shared by the file
//! that is written and by the trainer's simulation of it.

use super::{Layer, Range};
use serde::{Deserialize, Serialize};

/// Weights lie in ±127: symmetric, so that the zero point is 0.
pub const WEIGHT_MAX: f32 = 127.0;

/// Largest magnitude of an int32 bias. Half of what int32 holds; the other half is far more than any
/// sum of products needs (2,304 inputs · 127 · 255 < 2²⁷).
pub const BIAS_MAX: f32 = (1u32 << 30) as f32;

/// Scale of the weights of a channel that has none but zeros.
const MIN_WEIGHT_SCALE: f32 = 1e-12;

/// Narrower than this, a node was silent on every calibration image. It gets [`IMAGE`]'s scale, so
/// that it is still heard should it speak at the door.
const MIN_WIDTH: f32 = 1e-6;

/// The image as the camera's bytes: scale 1/255, zero point 0.
pub const IMAGE: ActivationQuant = ActivationQuant { scale: 1.0 / 255.0, zero_point: 0 };

/// How a node's value is held in u8: `x ≈ (q − zero_point) · scale`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActivationQuant {
    /// Size of a step, above 0.
    pub scale: f32,
    /// The byte that stands for 0; 0 itself where no value is negative.
    pub zero_point: u8,
}

impl ActivationQuant {
    /// The 256 steps that cover a range and 0, one of them exactly on 0.
    pub fn of(range: Range) -> Self {
        let (min, max) = (f64::from(range.min.min(0.0)), f64::from(range.max.max(0.0)));
        if max - min < f64::from(MIN_WIDTH) {
            return IMAGE;
        }
        let scale = ((max - min) / 255.0) as f32;
        let zero_point = (-min / f64::from(scale)).round_ties_even().clamp(0.0, 255.0) as u8;
        Self { scale, zero_point }
    }

    /// What is left of `x` once it has been a u8.
    pub fn fake(self, x: f32) -> f32 {
        fake_quantize(x, self.scale, self.zero_point.into(), 0, 255)
    }
}

/// `x` quantized and dequantized as ONNX's `QuantizeLinear` and `DequantizeLinear` define it:
/// `q = clamp(round_half_to_even(x / scale) + zero_point, qmin, qmax)`, then `(q − zero_point) · scale`.
pub fn fake_quantize(x: f32, scale: f32, zero_point: i32, qmin: i32, qmax: i32) -> f32 {
    let q = ((x / scale).round_ties_even() + zero_point as f32).clamp(qmin as f32, qmax as f32);
    (q - zero_point as f32) * scale
}

/// How the scale of each output channel's weights is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum WeightScale {
    /// The largest magnitude becomes 127.
    #[default]
    MaxAbs,
    /// The scale of least squared error, from half the largest magnitude to all of it.
    Mse,
}

/// The scale of each of `out` output channels, `max|w| / 127`, for row-major weights [out, …].
///
/// # Panics
/// A number of weights that `out` does not divide.
pub fn weight_scales(weight: &[f32], out: usize) -> Vec<f32> {
    assert!(
        out > 0 && weight.len().is_multiple_of(out),
        "{} weights, {out} channels",
        weight.len()
    );
    weight.chunks_exact(weight.len() / out).map(max_abs_scale).collect()
}

/// As [`weight_scales`], with the scale of least squared error for each channel.
///
/// # Panics
/// A number of weights that `out` does not divide.
pub fn weight_scales_mse(weight: &[f32], out: usize) -> Vec<f32> {
    const STEPS: usize = 50;
    let error = |channel: &[f32], scale: f32| -> f64 {
        let one = |&w: &f32| f64::from(fake_quantize(w, scale, 0, -127, 127) - w).powi(2);
        channel.iter().map(one).sum()
    };
    (weight_scales(weight, out).into_iter().zip(weight.chunks_exact(weight.len() / out)))
        .map(|(full, channel)| {
            (0..=STEPS)
                .map(|i| full * (1.0 - 0.5 * i as f32 / STEPS as f32))
                .min_by(|&a, &b| error(channel, a).total_cmp(&error(channel, b)))
                .expect("there are steps")
        })
        .collect()
}

fn max_abs_scale(channel: &[f32]) -> f32 {
    let max = channel.iter().fold(0f32, |max, w| max.max(w.abs()));
    (max / WEIGHT_MAX).max(MIN_WEIGHT_SCALE)
}

/// A layer as the int8 file holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedLayer {
    /// Row-major, of the shape of the layer; ±127.
    pub weight: Vec<i8>,
    /// One for each output channel.
    pub weight_scales: Vec<f32>,
    /// One for each output channel; within ±[`BIAS_MAX`].
    pub bias: Vec<i32>,
    /// Input scale · weight scale of each output channel.
    pub bias_scales: Vec<f32>,
}

impl QuantizedLayer {
    /// Quantizes a layer that reads an input of this scale.
    ///
    /// A channel whose weights are next to nothing beside its bias, as a pruned or dead depthwise
    /// channel has after folding, would need a bias beyond int32. Its weight scale is raised until
    /// the bias fits in ±[`BIAS_MAX`], as onnxruntime's quantizer does; its weights round towards 0,
    /// and lose nothing that the sum of bias and products could show.
    pub fn new(layer: &Layer, input_scale: f32, method: WeightScale) -> Self {
        let mut weight_scales = layer.weight_scales(method);
        for (scale, bias) in weight_scales.iter_mut().zip(&layer.bias) {
            *scale = scale.max(bias.abs() / input_scale / BIAS_MAX);
        }
        let bias_scales: Vec<_> = weight_scales.iter().map(|scale| scale * input_scale).collect();
        let bias = (layer.bias.iter().zip(&bias_scales))
            .map(|(&bias, &scale)| (f64::from(bias) / f64::from(scale)).round_ties_even() as i32)
            .collect();
        Self { weight: layer.weights_i8(&weight_scales), weight_scales, bias, bias_scales }
    }

    /// The weights that the file's engine computes with, row-major.
    pub fn weight_f32(&self) -> Vec<f32> {
        let inner = self.weight.len() / self.weight_scales.len();
        let dequantized = |(i, &q)| f32::from(q) * self.weight_scales[i / inner];
        self.weight.iter().enumerate().map(dequantized).collect()
    }

    /// The biases that the file's engine computes with.
    pub fn bias_f32(&self) -> Vec<f32> {
        self.bias.iter().zip(&self.bias_scales).map(|(&q, scale)| q as f32 * scale).collect()
    }
}

impl Layer {
    /// The scale of each output channel's weights.
    pub fn weight_scales(&self, method: WeightScale) -> Vec<f32> {
        match method {
            WeightScale::MaxAbs => weight_scales(&self.weight, self.out()),
            WeightScale::Mse => weight_scales_mse(&self.weight, self.out()),
        }
    }

    /// The weights divided by their channel's scale and rounded, ±127, row-major.
    pub fn weights_i8(&self, scales: &[f32]) -> Vec<i8> {
        let quantized =
            |w: f32, scale: f32| (w / scale).round_ties_even().clamp(-WEIGHT_MAX, WEIGHT_MAX) as i8;
        (self.channels().zip(scales))
            .flat_map(|(channel, &scale)| channel.iter().map(move |&w| quantized(w, scale)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::testing::Random;
    use proptest::prelude::*;

    #[test]
    fn ties_go_to_the_even_step_and_values_saturate() {
        for (x, expected) in [
            (0.5, 0.0),
            (1.5, 2.0),
            (2.5, 2.0),
            (-0.5, 0.0),
            (-1.5, -2.0),
            (300.0, 245.0),
            (-99.0, -10.0),
        ] {
            assert_eq!(fake_quantize(x, 1.0, 10, 0, 255), expected, "{x}");
        }
    }

    #[test]
    fn every_byte_of_the_image_comes_through_unchanged() {
        for byte in 0..=255u8 {
            let x = f32::from(byte) / 255.0;
            assert_eq!((x / IMAGE.scale).round_ties_even() as u8, byte);
            assert!((IMAGE.fake(x) - x).abs() < 1e-7);
        }
    }

    #[test]
    fn a_range_without_negative_values_has_zero_point_0() {
        let q = ActivationQuant::of(Range { min: 0.0, max: 6.0 });
        assert_eq!(q, ActivationQuant { scale: 6.0 / 255.0, zero_point: 0 });
        assert_eq!(ActivationQuant::of(Range { min: 2.0, max: 6.0 }).zero_point, 0);
        assert_eq!(ActivationQuant::of(Range { min: -2.0, max: -1.0 }).zero_point, 255);
        assert_eq!(ActivationQuant::of(Range { min: 0.0, max: 0.0 }), IMAGE);
    }

    #[test]
    fn a_bias_far_above_its_weights_never_leaves_int32() {
        let input_scale = 6.0 / 255.0;
        for (weight, bias) in [
            (0.0, 0.3),
            (1e-30, 5.0),
            (1e-9, -7.5),
            (1e-7, 1e4),
            (0.1, 0.2),
            (0.0, 0.0),
            (f32::MIN_POSITIVE, -6.0),
        ] {
            let layer = Layer {
                weight: vec![weight, -weight, weight / 3.0, 0.0],
                shape: vec![1, 1, 2, 2],
                bias: vec![bias],
            };
            for method in [WeightScale::MaxAbs, WeightScale::Mse] {
                let q = QuantizedLayer::new(&layer, input_scale, method);
                assert!(q.bias[0].unsigned_abs() <= (1 << 30) + 64, "{weight} {bias}: {q:?}");
                assert!(
                    (q.bias_f32()[0] - bias).abs() <= 1e-6 * bias.abs(),
                    "{weight} {bias}: {q:?}"
                );
                assert!(q.bias_scales[0].is_normal() && q.weight_scales[0].is_normal());
                for (got, w) in q.weight_f32().iter().zip(&layer.weight) {
                    // What is lost is at most what the largest activation makes of half a step.
                    let lost = (got - w).abs() * 255.0 * input_scale;
                    assert!(lost <= 255.0 * input_scale * q.weight_scales[0], "{weight} {bias}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn zero_is_exact_and_errors_stay_within_half_a_step(min in -9f32..9.0, width in 1e-3f32..20.0, at in 0f32..1.0) {
            let range = Range { min, max: min + width };
            let q = ActivationQuant::of(range);
            prop_assert_eq!(q.fake(0.0), 0.0);
            let x = range.min + at * width;
            // Rounding the zero point may push an end of the range out by up to half a step.
            prop_assert!((q.fake(x) - x).abs() <= 1.01 * q.scale);
        }

        #[test]
        fn weights_are_within_half_a_step_and_mse_is_never_worse(seed: u64) {
            let mut random = Random::new(seed);
            let weight: Vec<_> = (0..4 * 27).map(|_| random.normal().powi(3)).collect();
            let layer = Layer { weight, shape: vec![4, 3, 3, 3], bias: vec![0.1; 4] };
            let error = |method| {
                let q = QuantizedLayer::new(&layer, 0.02, method);
                assert!(q.weight.iter().all(|&w| w >= -127));
                let pairs = q.weight_f32().into_iter().zip(&layer.weight);
                let errors: Vec<_> = pairs.map(|(a, b)| f64::from(a - b)).collect();
                if method == WeightScale::MaxAbs {
                    for (i, e) in errors.iter().enumerate() {
                        assert!(e.abs() <= 0.501 * f64::from(q.weight_scales[i / 27]));
                    }
                }
                errors.iter().map(|e| e * e).sum::<f64>()
            };
            prop_assert!(error(WeightScale::Mse) <= error(WeightScale::MaxAbs));
        }
    }
}
