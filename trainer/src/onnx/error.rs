/// Why a network could not be written.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum Error {
    /// A parameter of the graph is not among those given.
    #[error("parameter {0} is missing; is the checkpoint of another architecture?")]
    Missing(String),
    /// A parameter has another number of values than its shape.
    #[error(
        "{name} has {found} values where the graph needs {expected}; \
         is the checkpoint of another architecture?"
    )]
    Length {
        /// Of the parameter or correction.
        name: String,
        /// Product of its shape.
        expected: usize,
        /// What was given.
        found: usize,
    },
    /// A parameter or a folded value is NaN or infinite, or a variance is below 0.
    #[error("{name} holds {value}; the training run has diverged or the file is damaged")]
    Value {
        /// Of the parameter.
        name: String,
        /// The first such value.
        value: f32,
    },
    /// A node that must be quantized was not calibrated, or its range is not one.
    #[error("node {node}: {problem}; run the calibration again")]
    Range {
        /// Its name.
        node: String,
        /// What is wrong with its range.
        problem: String,
    },
    /// The file format has no place for a node where it stands.
    #[error("node {node}: {problem}")]
    Unsupported {
        /// Its name.
        node: String,
        /// What cannot be expressed.
        problem: &'static str,
    },
    /// An activation that is not a number reached a histogram.
    #[error("an activation is {0}; the network has diverged or an image is damaged")]
    Activation(f32),
    /// A calibration method that does not exist.
    #[error(
        "calibration method {0:?}: use minmax, mse or percentile:P with P above 50 and at most 100"
    )]
    Method(String),
}
