use super::{Failure, Outcome, data, train::Machine};
use crate::run::{Model, TorchEmbedder, TorchNetwork, is_network};
use facelatch::{
    cli::Measure,
    embed::{Embedder, Network},
};
use std::path::{Path, PathBuf};

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
        with_embedder(&self.model, &self.machine, |hash, embedder| {
            self.measure.run(&self.model, hash, embedder)
        })
    }
}

/// Loads a checkpoint or run on libtorch, an ONNX file on tract, and hands it on with the hash of the
/// latter's weights.
pub fn with_embedder<T>(
    path: &Path,
    machine: &Machine,
    then: impl FnOnce(Option<&str>, &mut dyn Embedder) -> Result<T, Failure>,
) -> Result<T, Failure> {
    if is_network(path) {
        let mut network = Network::load(path)?;
        let hash = network.contract().weights_sha256.clone();
        return then(Some(&hash), &mut network);
    }
    let device = machine.prepare()?;
    let model: Model = Model::load(path).map_err(data)?;
    let params = model.parameters(device);
    // One that was trained with its rounding is measured with it.
    let calibration = model.calibration().map_err(data)?;
    let network = TorchNetwork::new(&model.graph, &params, device, calibration.as_ref());
    let network = network.map_err(data)?;
    then(None, &mut TorchEmbedder::new(network))
}
