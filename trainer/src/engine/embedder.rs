use super::{Hook, NoHook, Parameters, Pass, forward, images_from_bytes};
use crate::{loss::unit, net::Graph};
use facelatch::embed::{Embedder, Embedding};
use image::RgbImage;
use std::error::Error;
use tch::{Device, Tensor};

/// Pictures embedded in one pass.
const BATCH: usize = 64;

/// A network on libtorch as the evaluation protocol sees it.
pub struct TorchEmbedder<'a> {
    graph: &'a Graph,
    params: &'a Parameters,
    device: Device,
    pass: Pass,
    hook: Box<dyn Hook + 'a>,
}

impl<'a> TorchEmbedder<'a> {
    /// Evaluates with the parameters as they are.
    pub fn new(graph: &'a Graph, params: &'a Parameters, device: Device) -> Self {
        Self { graph, params, device, pass: Pass::Evaluate, hook: Box::new(NoHook) }
    }

    /// Evaluates with batch norms folded and `hook` in the way: int8 as it is simulated.
    pub fn folded(self, hook: impl Hook + 'a) -> Self {
        Self { pass: Pass::Folded, hook: Box::new(hook), ..self }
    }

    /// Unit-length embeddings of pixels [N, S, S, 3], row after row.
    pub fn embed(&mut self, pixels: &[u8]) -> Vec<f32> {
        let _guard = tch::no_grad_guard();
        let size = self.graph.input_size();
        let rows = pixels.chunks(BATCH * size * size * 3).map(|pixels| {
            let images = images_from_bytes(pixels, size, self.device);
            unit(&forward(self.graph, self.params, &images, self.pass, &mut *self.hook))
        });
        super::parameters::to_vec(&Tensor::cat(&rows.collect::<Vec<_>>(), 0))
    }
}

impl Embedder for TorchEmbedder<'_> {
    fn input_size(&self) -> u32 {
        self.graph.input_size() as u32
    }

    fn embed_all(
        &mut self,
        crops: &[RgbImage],
    ) -> Result<Vec<Embedding>, Box<dyn Error + Send + Sync>> {
        let pixels: Vec<u8> = crops.iter().flat_map(|crop| crop.as_raw()).copied().collect();
        let length = crate::net::Architecture::EMBEDDING;
        Ok(self
            .embed(&pixels)
            .chunks(length)
            .map(Embedding::from_slice)
            .collect::<Result<_, _>>()?)
    }
}
