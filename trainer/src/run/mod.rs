//! A training run: one folder with its configuration, checkpoints, metrics and plots.

mod checkpoint;
mod config;
mod folder;
mod inputs;
mod measure;
mod metrics;
mod model;
mod training;

pub use checkpoint::{Checkpoint, CheckpointError, tensors};
pub use config::RunConfig;
pub use folder::RunFolder;
pub use inputs::{load_dataset, progress, training_pixels};
pub use model::{About, Model, ModelError};
pub use training::{Options, Summary, TrainError, Training};
