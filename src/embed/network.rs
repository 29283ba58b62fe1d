use super::{Contract, EMBEDDING_LEN, Embedder, Embedding};
use crate::{
    model::{self, NetworkError, Plan},
    parallel,
};
use facelatch_kernels::Pool;
use image::RgbImage;
use std::{error::Error, path::Path, sync::Arc};

/// An embedding network as the daemon runs it: read from ONNX, held to its [`Contract`], optimised
/// for one crop at a time. Any number of threads may use it at once.
pub struct Network {
    contract: Contract,
    plan: Plan,
}

impl Network {
    /// Reads and checks an embedding network; each crop is one thread's work.
    ///
    /// # Errors
    /// [`NetworkError::Read`], [`NetworkError::Contract`], [`NetworkError::Unusable`].
    pub fn load(path: &Path) -> Result<Self, NetworkError> {
        Self::parse(path, model::bytes(path)?, &Arc::new(Pool::new(1)))
    }

    /// [`Network::load`] of bytes that are read already; errors call them `path`. The threads of `pool`
    /// share the work of each crop.
    ///
    /// # Errors
    /// [`NetworkError::Contract`], [`NetworkError::Unusable`].
    pub fn parse(path: &Path, bytes: Vec<u8>, pool: &Arc<Pool>) -> Result<Self, NetworkError> {
        let model = model::read(path, bytes)?;
        let contract = Contract::of(&model)
            .map_err(|source| NetworkError::Contract { path: path.into(), source })?;
        let side = contract.input_size as usize;
        let plan = Plan::new(path, model, [side, side], &[&[1, EMBEDDING_LEN]], pool)?;
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

    /// How it is run.
    pub fn plan(&self) -> &Plan {
        &self.plan
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
        let outputs = self.plan.run(crop)?;
        let values = outputs[0].to_plain_array_view::<f32>();
        let values = values.map_err(|e| NetworkError::Output(model::one_line(&e)))?;
        let values =
            values.to_slice().ok_or_else(|| NetworkError::Output("numbers in pieces".into()))?;
        Embedding::from_slice(values).map_err(|e| NetworkError::Output(e.to_string()))
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
