use super::ContractError;
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};
use tract_onnx::{pb::ModelProto, prelude::*};

/// Why a network cannot be loaded or run.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The file cannot be read.
    #[error("{path}: {source}; check the path")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The file is read but is not a network for this version.
    #[error("{path}: {source}")]
    Contract {
        /// The file.
        path: PathBuf,
        /// What it does not keep to.
        source: ContractError,
    },
    /// The file is no ONNX, or one that tract cannot run.
    #[error("{path}: not a network that can run here ({reason}); export it again")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What tract said.
        reason: String,
    },
    /// The crop does not fit.
    #[error("a crop of {0}x{1} pixels for a network that takes {2}x{2}; align it to that size")]
    CropSize(u32, u32, u32),
    /// Running it failed.
    #[error("the network failed to run: {0}")]
    Run(String),
    /// It ran, and what came out is not what it is for.
    #[error("the network gave {0}; copy the file again, and say so if that does not help")]
    Output(String),
}

/// A file's bytes.
///
/// # Errors
/// [`NetworkError::Read`].
pub fn bytes(path: &Path) -> Result<Vec<u8>, NetworkError> {
    std::fs::read(path).map_err(|source| NetworkError::Read { path: path.into(), source })
}

/// An ONNX file's bytes as a message; errors call them `path`.
///
/// # Errors
/// [`NetworkError::Unusable`].
pub fn read(path: &Path, mut bytes: &[u8]) -> Result<ModelProto, NetworkError> {
    onnx().proto_model_for_read(&mut bytes).map_err(|e| unusable(path, &e))
}

/// A network made ready to run on one picture of `width`×`height` px, whose outputs must have these
/// shapes.
///
/// # Errors
/// [`NetworkError::Unusable`].
pub fn plan(
    path: &Path,
    model: &ModelProto,
    [width, height]: [usize; 2],
    outputs: &[&[usize]],
) -> Result<Arc<TypedRunnableModel>, NetworkError> {
    let ready = || -> TractResult<Arc<TypedRunnableModel>> {
        let model = onnx()
            .model_for_proto_model(model)?
            .with_input_fact(0, f32::fact([1, 3, height, width]).into())?
            .into_optimized()?;
        for (i, wanted) in outputs.iter().enumerate() {
            let shape = model.output_fact(i)?.shape.as_concrete();
            if shape != Some(wanted) {
                let text = format!("its output {i} is not {wanted:?}: {shape:?}");
                return Err(TractError::msg(text));
            }
        }
        model.into_runnable()
    };
    ready().map_err(|e| unusable(path, &e))
}

fn unusable(path: &Path, error: &TractError) -> NetworkError {
    NetworkError::Unusable { path: path.into(), reason: one_line(error) }
}

/// Bytes by pixel to numbers by channel, a byte over 255.
pub fn planes(pixels: &[u8]) -> Vec<f32> {
    let channel =
        |c: usize| pixels.iter().skip(c).step_by(3).map(|&byte| f32::from(byte) * (1.0 / 255.0));
    channel(0).chain(channel(1)).chain(channel(2)).collect()
}

/// tract's errors are chains of many lines; a user wants one.
pub fn one_line(error: &TractError) -> String {
    format!("{error:#}").lines().map(str::trim).collect::<Vec<_>>().join(" ")
}
