//! A training run: one folder with its configuration, checkpoints, metrics and plots.

mod checkpoint;
mod config;
mod folder;
mod inputs;
mod measure;
mod metrics;
mod training;

pub use checkpoint::{Checkpoint, CheckpointError, tensors};
pub use config::RunConfig;
pub use folder::RunFolder;
pub use training::{Options, Summary, TrainError, Training};
