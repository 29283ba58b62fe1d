//! The part of a network that runs on bytes: found in the ONNX file, run by our own kernels, and wired
//! into tract's plan in front of what is left.

mod attributes;
mod op;
mod region;
#[cfg(test)]
mod tests;

pub use op::BytesOp;
pub use region::{Kind, Region, find};
