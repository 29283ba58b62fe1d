use super::{Checkpoint, CheckpointError, Config, Fault, RunConfig, RunFolder, Signed};
use crate::{
    engine::{NamedTensors, Parameters},
    net::{Graph, Node},
    onnx::{Calibration, Range, WeightScale, metadata, needs_range},
};
use facelatch::model::weights_sha256;
use std::path::{Path, PathBuf};
use tch::Device;
use tract_onnx::pb::ModelProto;

/// A trained network: its configuration and the moving average of its weights.
pub struct Model<C = RunConfig> {
    /// The run that made it.
    pub config: C,
    /// The network.
    pub graph: Graph,
    /// The averaged values by [`crate::net::ParamSpec::name`].
    pub values: NamedTensors,
    /// Fake-quantization ranges, where it was trained with them: [min, max] by node name.
    pub ranges: NamedTensors,
    /// Updates made.
    pub step: u64,
}

/// Why there is no model to load.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The file cannot be read, or is no checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The folder holds no run.
    #[error("{0}")]
    Run(#[source] Fault),
    /// The folder holds no checkpoint that can be read.
    #[error("{0}: neither best.safetensors nor a readable checkpoint; has the run saved one yet?")]
    Empty(PathBuf),
    /// A file that is made from a checkpoint, not one.
    #[error("{0} is a finished network; name the checkpoint or the run that it was made from")]
    Finished(PathBuf),
    /// The checkpoint's configuration and its tensors do not fit together.
    #[error("{path}: {why}")]
    Inconsistent {
        /// The checkpoint.
        path: PathBuf,
        /// What does not fit.
        why: String,
    },
}

/// Whether a file is a finished network, by its name.
pub fn is_network(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "onnx")
}

impl<C: Config> Model<C> {
    /// Loads a checkpoint, or the best (else the latest) one of a run's folder.
    ///
    /// # Errors
    /// [`ModelError`].
    pub fn load(path: &Path) -> Result<Self, ModelError> {
        let checkpoint = if path.is_dir() {
            let (folder, _) = RunFolder::open::<C>(path).map_err(ModelError::Run)?;
            let best = folder.best();
            match best.exists() {
                true => Checkpoint::read(&best)?,
                false => folder.latest()?.ok_or_else(|| ModelError::Empty(path.into()))?,
            }
        } else if is_network(path) && path.exists() {
            return Err(ModelError::Finished(path.into()));
        } else {
            Checkpoint::read(path)?
        };
        let bad = |why: String| ModelError::Inconsistent { path: path.into(), why };
        let config = C::parse(&checkpoint.config).map_err(bad)?;
        let graph = config.graph().map_err(bad)?;
        let mut values = checkpoint.under("average.");
        for spec in graph.params() {
            match values.get(&spec.name) {
                Some((shape, _)) if *shape == spec.shape => {}
                _ => return Err(bad(format!("{} is missing or of another shape", spec.name))),
            }
        }
        values.retain(|name, _| !name.starts_with("head."));
        let ranges = checkpoint.under("quantization.");
        Ok(Self { config, graph, values, ranges, step: checkpoint.step })
    }

    /// The network on a device, ready to evaluate.
    pub fn parameters(&self, device: Device) -> Parameters {
        let params = Parameters::new(&self.graph, &[], 0, device);
        params.import("", &self.values);
        params
    }

    /// The values as the ONNX writer takes them.
    pub fn params(&self) -> crate::onnx::Params {
        self.values.iter().map(|(name, (_, values))| (name.clone(), values.clone())).collect()
    }

    /// The ranges that it was trained with, if it was trained for int8.
    ///
    /// # Errors
    /// A sentence, where the checkpoint holds some of them but not all.
    pub fn calibration(&self) -> Result<Option<Calibration>, String> {
        match self.ranges.is_empty() {
            true => Ok(None),
            false => calibration_from(&self.graph, &self.ranges).map(Some),
        }
    }

    /// Puts the contract's metadata, weights' hash included, into a finished file.
    ///
    /// # Errors
    /// A sentence; a file that we have just written has none of what the hash refuses.
    pub fn sign(&self, model: &mut ModelProto, about: &About) -> Result<(), String> {
        let graph = model.graph.as_ref().ok_or("the model has no graph")?;
        let props = self.config.contract(Signed {
            training_data: about.training_data.clone().unwrap_or_else(|| self.config.sources()),
            metrics: about.metrics.clone(),
            weights_sha256: weights_sha256(graph).map_err(|e| e.to_string())?,
            created: jiff::Timestamp::now().to_string(),
        });
        model.metadata_props = metadata(&props);
        Ok(())
    }
}

/// Ranges as a checkpoint holds them, [min, max] by node.
pub fn ranges_to_tensors(graph: &Graph, calibration: &Calibration) -> NamedTensors {
    (graph.nodes.iter().zip(&calibration.ranges))
        .filter_map(|(node, range)| {
            let Range { min, max } = (*range)?;
            Some((node.name.clone(), (vec![2], vec![min, max])))
        })
        .collect()
}

/// The other way round.
///
/// # Errors
/// Names the first node that needs a range and has none.
pub fn calibration_from(graph: &Graph, named: &NamedTensors) -> Result<Calibration, String> {
    let range = |(id, node): (_, &Node)| match named.get(&node.name).map(|(_, v)| &v[..]) {
        Some(&[min, max]) => Ok(Some(Range { min, max })),
        _ if needs_range(graph, id) => {
            Err(format!("the checkpoint has no range for {}", node.name))
        }
        _ => Ok(None),
    };
    let ranges = graph.nodes.iter().enumerate().map(range).collect::<Result<_, _>>()?;
    Ok(Calibration { ranges, weight_scale: WeightScale::MaxAbs })
}

/// What a person adds to a model's metadata.
pub struct About {
    /// What it was trained on and under which terms; by default the names of the sources.
    pub training_data: Option<String>,
    /// How well it did: JSON text.
    pub metrics: String,
}
