//! Learning to find faces: whole pictures with boxes and landmarks become canvases, composed anew at
//! every step; cells of the network's grids are told which face is theirs; and a loss says how far off
//! they are. The training loop is the embedding network's ([`crate::run`]).

mod assign;
mod compose;
mod config;
mod loss;
mod measure;
mod pictures;
mod task;

pub use compose::Compose;
pub use config::DetectConfig;
pub use pictures::{Picture, Pictures};
pub use task::Detection;

use crate::run::{About, Model};
use facelatch::detect::DetectorContract;
use tract_onnx::pb::{ModelProto, StringStringEntryProto};

impl Model<DetectConfig> {
    /// Puts the contract's metadata, weights' hash included, into a finished file.
    ///
    /// # Errors
    /// A sentence; a file that we have just written has none of what the hash refuses.
    pub fn sign_detector(&self, model: &mut ModelProto, about: &About) -> Result<(), String> {
        let graph = model.graph.as_ref().ok_or("the model has no graph")?;
        let network = &self.config.network;
        let contract = DetectorContract {
            input: [network.width as u32, network.height as u32],
            training_data: about.training_data.clone().unwrap_or_else(|| self.config.sources()),
            metrics: about.metrics.clone(),
            weights_sha256: facelatch::model::weights_sha256(graph).map_err(|e| e.to_string())?,
            created: jiff::Timestamp::now().to_string(),
        };
        let entry = |(key, value)| StringStringEntryProto { key, value };
        model.metadata_props = contract.to_props().into_iter().map(entry).collect();
        Ok(())
    }
}
