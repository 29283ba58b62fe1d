//! Pictures in, batches out: datasets decoded once into memory, the teacher's table beside them,
//! augmentation, and batches that are a pure function of a seed and a step. Nothing here knows of
//! tensors.

pub mod augment;
pub mod dataset;
pub mod loader;
pub mod resample;
pub mod sampler;
pub mod synthetic;
pub mod teacher;

pub use augment::Augment;
pub use dataset::{About, DataError, Dataset, Limits, Source, Split};
pub use loader::{Batch, Loader, LoaderError, Work};
pub use sampler::{BatchPlan, Plan, Sampler, SamplerError, Slot, Triplets};
pub use teacher::{TeacherError, TeacherTable};
