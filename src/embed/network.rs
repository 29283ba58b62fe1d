use super::{Contract, ContractError, EMBEDDING_LEN, Embedder, Embedding, EmbeddingError};
use crate::parallel;
use image::RgbImage;
use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};
use tract_onnx::{pb::ModelProto, prelude::*};

/// An embedding network as the daemon runs it: read from ONNX, held to its [`Contract`], optimised
/// for one crop at a time. Any number of threads may use it at once.
pub struct Network {
    contract: Contract,
    plan: Arc<TypedRunnableModel>,
}

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
    /// The file is read but is not an embedding network for this version.
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
    /// It ran, and what came out is no embedding.
    #[error(transparent)]
    Output(#[from] EmbeddingError),
}

impl Network {
    /// Reads and checks an embedding network.
    ///
    /// # Errors
    /// [`NetworkError::Read`], [`NetworkError::Contract`], [`NetworkError::Unusable`].
    pub fn load(path: &Path) -> Result<Self, NetworkError> {
        let bytes =
            fs::read(path).map_err(|source| NetworkError::Read { path: path.into(), source })?;
        Self::parse(path, &bytes)
    }

    /// [`Network::load`] of bytes that are read already; errors call them `path`.
    ///
    /// # Errors
    /// [`NetworkError::Contract`], [`NetworkError::Unusable`].
    pub fn parse(path: &Path, mut bytes: &[u8]) -> Result<Self, NetworkError> {
        let file = || path.to_path_buf();
        let unusable =
            |e: TractError| NetworkError::Unusable { path: file(), reason: one_line(&e) };
        let model = onnx().proto_model_for_read(&mut bytes).map_err(unusable)?;
        let contract = Contract::of(&model)
            .map_err(|source| NetworkError::Contract { path: file(), source })?;
        let plan = plan(&model, contract.input_size).map_err(unusable)?;
        Ok(Self { contract, plan })
    }

    /// What the file says about itself.
    pub fn contract(&self) -> &Contract {
        &self.contract
    }

    /// The side of the crops it takes, in pixels.
    pub fn input_size(&self) -> u32 {
        self.contract.input_size
    }

    /// The embedding of one crop, [`input_size`](Self::input_size) a side and aligned to
    /// [`crate::align::template`].
    ///
    /// # Errors
    /// [`NetworkError::CropSize`], [`NetworkError::Run`], [`NetworkError::Output`].
    pub fn embed(&self, crop: &RgbImage) -> Result<Embedding, NetworkError> {
        let size = self.input_size();
        if crop.dimensions() != (size, size) {
            return Err(NetworkError::CropSize(crop.width(), crop.height(), size));
        }
        let run = || -> TractResult<Vec<f32>> {
            let side = size as usize;
            let input = Tensor::from_shape(&[1, 3, side, side], &planes(crop))?;
            let outputs = self.plan.run(tvec!(input.into()))?;
            Ok(outputs[0].to_plain_array_view::<f32>()?.iter().copied().collect())
        };
        let values = run().map_err(|e| NetworkError::Run(one_line(&e)))?;
        Ok(Embedding::from_slice(&values)?)
    }
}

impl Embedder for Network {
    fn input_size(&self) -> u32 {
        self.contract.input_size
    }

    fn embed_all(
        &mut self,
        crops: &[RgbImage],
    ) -> Result<Vec<Embedding>, Box<dyn Error + Send + Sync>> {
        let embeddings = parallel::map(crops, |crop| self.embed(crop));
        Ok(embeddings.into_iter().collect::<Result<_, _>>()?)
    }
}

fn plan(model: &ModelProto, size: u32) -> TractResult<Arc<TypedRunnableModel>> {
    let side = size as usize;
    let model = onnx()
        .model_for_proto_model(model)?
        .with_input_fact(0, f32::fact([1, 3, side, side]).into())?
        .into_optimized()?;
    let output = model.output_fact(0)?.shape.as_concrete();
    if output != Some(&[1, EMBEDDING_LEN]) {
        return Err(TractError::msg(format!("its output is not [1, {EMBEDDING_LEN}]: {output:?}")));
    }
    model.into_runnable()
}

/// Bytes by pixel to numbers by channel, a byte over 255.
fn planes(crop: &RgbImage) -> Vec<f32> {
    let channel = |c: usize| {
        crop.as_raw().iter().skip(c).step_by(3).map(|&byte| f32::from(byte) * (1.0 / 255.0))
    };
    channel(0).chain(channel(1)).chain(channel(2)).collect()
}

/// tract's errors are chains of many lines; a user wants one.
fn one_line(error: &TractError) -> String {
    format!("{error:#}").lines().map(str::trim).collect::<Vec<_>>().join(" ")
}
