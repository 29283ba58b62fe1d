//! ONNX files of a trained network, in f32 and in int8: parameters are folded into layers, and the
//! layers are written out node by node. Nothing here needs libtorch.

mod error;
mod fold;
mod histogram;
mod layers;
mod proto;
mod quantize;
mod range;
#[cfg(test)]
mod reference;
mod scales;
#[cfg(test)]
pub(crate) mod testing;
mod write;

pub use error::Error;
pub use fold::{Folded, Layer, Params, fold};
pub use histogram::{BINS, Histogram};
pub use proto::{metadata, to_bytes};
pub use quantize::{BiasCorrection, corrected, quantize};
pub use range::{Calibration, Method, Range, activation_quants, needs_range};
pub use scales::{
    ActivationQuant, BIAS_MAX, IMAGE, QuantizedLayer, WEIGHT_MAX, WeightScale, fake_quantize,
    weight_scales, weight_scales_mse,
};
pub use write::write;
