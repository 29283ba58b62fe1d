//! ONNX files of a trained network, in f32 and in int8: parameters are folded into layers, and the
//! layers are written out node by node. Nothing here needs libtorch.

mod error;
mod fold;
mod layers;
mod proto;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod testing;
mod write;

pub use error::Error;
pub use fold::{Folded, Layer, Params, fold};
pub use proto::to_bytes;
pub use write::write;
