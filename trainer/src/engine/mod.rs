//! The only place that touches libtorch's modules: parameters in one flat tensor, the forward pass of
//! a graph, and the optimizers.

mod device;
mod forward;
mod optimizer;
mod parameters;
mod teacher;
#[cfg(test)]
mod tests;
mod tuning;

pub use device::{describe, pick, prepare, send, threads, workers};
pub use forward::{Hook, NoHook, Pass, embedding_of, forward, images_from_bytes, outputs};
pub use optimizer::{Optimizer, OptimizerKind};
pub use parameters::{NamedTensors, Parameters, to_vec};
pub use teacher::Teacher;
pub use tuning::start_over_tuned;
