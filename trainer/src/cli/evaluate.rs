use super::{Outcome, data, train::Machine};
use crate::run::{Model, TorchEmbedder, TorchNetwork};
use facelatch::{cli::Measure, embed::Network};
use std::path::PathBuf;

/// Measure how well a network tells people apart, by LFW's protocol.
///
/// A checkpoint or run is computed by libtorch; an ONNX file by tract, as at the door. Faces are cut
/// out at the landmarks that the landmark file gives.
#[derive(clap::Args)]
pub struct Evaluate {
    /// A checkpoint, the folder of a run (its best model), or an ONNX file.
    model: PathBuf,
    #[command(flatten)]
    measure: Measure,
    #[command(flatten)]
    machine: Machine,
}

impl Evaluate {
    pub fn run(&self) -> Outcome {
        if self.model.extension().is_some_and(|e| e == "onnx") {
            let mut network = Network::load(&self.model)?;
            let hash = network.contract().weights_sha256.clone();
            return self.measure.run(&self.model, Some(&hash), &mut network);
        }
        let device = self.machine.prepare()?;
        let model: Model = Model::load(&self.model).map_err(data)?;
        let params = model.parameters(device);
        let network = TorchNetwork::new(&model.graph, &params, device, None).map_err(data)?;
        let mut embedder = TorchEmbedder::new(network);
        self.measure.run(&self.model, None, &mut embedder)
    }
}
