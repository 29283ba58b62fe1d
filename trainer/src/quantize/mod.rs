//! Static int8 quantization on libtorch: activations are observed to find their ranges, int8
//! arithmetic is simulated to correct biases and to train with, and [`crate::onnx`] writes the file.

mod calibrate;
mod simulate;

pub use calibrate::{correct_biases, observe, similarity};
pub use simulate::FakeQuant;
