use super::TorchNetwork;
use crate::{engine::embedding_of, loss::unit};
use facelatch::embed::{Embedder, Embedding};
use image::RgbImage;
use std::error::Error;
use tch::Tensor;

/// Pictures embedded in one pass.
const BATCH: usize = 64;

/// A network on libtorch as the evaluation protocol sees it.
pub struct TorchEmbedder<'a>(TorchNetwork<'a>);

impl<'a> TorchEmbedder<'a> {
    /// Takes an embedder.
    pub fn new(network: TorchNetwork<'a>) -> Self {
        Self(network)
    }

    /// Unit-length embeddings of pixels [N, S, S, 3], row after row.
    pub fn embed(&mut self, pixels: &[u8]) -> Vec<f32> {
        let size = self.0.graph().input_size();
        let rows = pixels.chunks(BATCH * size * size * 3);
        let rows = rows.map(|p| unit(&embedding_of(&self.0.outputs((p, [size; 2])))));
        crate::engine::to_vec(&Tensor::cat(&rows.collect::<Vec<_>>(), 0))
    }
}

impl Embedder for TorchEmbedder<'_> {
    fn input_size(&self) -> u32 {
        self.0.graph().input_size() as u32
    }

    fn embed_all(
        &mut self,
        crops: &[RgbImage],
    ) -> Result<Vec<Embedding>, Box<dyn Error + Send + Sync>> {
        let pixels: Vec<u8> =
            crops.iter().map(|crop| &crop.as_raw()[..]).collect::<Vec<_>>().concat();
        let length = crate::net::Architecture::EMBEDDING;
        Ok(self
            .embed(&pixels)
            .chunks(length)
            .map(Embedding::from_slice)
            .collect::<Result<_, _>>()?)
    }
}
