//! A training run: one folder with its configuration, checkpoints, metrics and plots.

mod checkpoint;
mod config;
mod embedder;
mod embedding;
mod folder;
mod inputs;
mod measure;
mod metrics;
mod model;
mod pace;
mod start;
mod task;
mod training;

pub use checkpoint::{Checkpoint, CheckpointError, tensors};
pub use config::{CheckpointConfig, OptimizerConfig, RunConfig};
pub use embedder::TorchEmbedder;
pub use embedding::{Embedding, head_specs};
pub use folder::RunFolder;
pub use inputs::{load_dataset, load_teacher, progress, training_pixels};
pub use metrics::Curves;
pub use model::{About, Model, ModelError, is_network};
pub use start::Start;
pub use task::{Config, Fault, Measured, Pixels, Schedule, Signed, Task, TorchNetwork};
pub use training::{Options, Summary, TrainError, Training};
