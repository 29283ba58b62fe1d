use super::{CheckpointConfig, OptimizerConfig, Start, metrics::Curves};
use crate::{
    engine::{Hook, NoHook, Parameters, Pass, images_from_bytes, outputs},
    loss::Terms,
    net::{Graph, ParamSpec},
    onnx::Calibration,
    quantize::FakeQuant,
};
use facelatch::{config::read_toml, plot::Chart};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use std::{error::Error, time::Duration};
use tch::{Device, Tensor};

/// Whatever goes wrong inside a task: pictures, tables, a network that gives no numbers.
pub type Fault = Box<dyn Error + Send + Sync>;

/// A run's configuration: text in `run.toml`, and what every kind of run has in common.
pub trait Config: Clone + Serialize + DeserializeOwned {
    /// # Errors
    /// A sentence that names the first key with a value that cannot work.
    fn check(&self) -> Result<(), String>;

    /// Parses and checks the text of `run.toml`.
    ///
    /// # Errors
    /// A sentence that names the key, what is wrong with it and what it may be.
    fn parse(text: &str) -> Result<Self, String> {
        let config: Self = read_toml(text)?;
        config.check()?;
        Ok(config)
    }

    /// The text of `run.toml`.
    fn to_toml(&self) -> String {
        toml::to_string(self).expect("a configuration has only values that TOML knows")
    }

    /// Names of what is learned from, for a model's metadata.
    fn sources(&self) -> String;

    /// What a finished file says about itself, as its `metadata_props`.
    fn contract(&self, signed: Signed) -> Vec<(String, String)>;

    /// The network to train.
    ///
    /// # Errors
    /// A sentence that says which value is out of range.
    fn graph(&self) -> Result<Graph, String>;

    /// What the training loop goes by.
    fn schedule(&self) -> Schedule<'_>;

    /// Makes the schedule longer or shorter.
    fn set_steps(&mut self, steps: u64);
}

/// What every kind of file says about itself.
pub struct Signed {
    /// What it was trained on and under which terms.
    pub training_data: String,
    /// How well it did: JSON text.
    pub metrics: String,
    /// [`facelatch::model::weights_sha256`] of its graph.
    pub weights_sha256: String,
    /// RFC 3339.
    pub created: String,
}

/// See [`Config::schedule`].
pub struct Schedule<'a> {
    /// Decides everything random.
    pub seed: u64,
    /// Updates in all.
    pub steps: u64,
    /// What the run starts from.
    pub start: Option<&'a Start>,
    /// Whether int8 is simulated.
    pub quantize_aware: bool,
    /// The update rule and its schedule.
    pub optimizer: &'a OptimizerConfig,
    /// When the run saves itself.
    pub checkpoint: &'a CheckpointConfig,
    /// Steps between two measurements.
    pub measure_every: u64,
}

impl Schedule<'_> {
    /// # Errors
    /// A sentence that names the first key with a value that cannot work.
    pub fn check(&self) -> Result<(), String> {
        let positive = [
            ("steps", self.steps),
            ("checkpoint.every", self.checkpoint.every),
            ("checkpoint.log_every", self.checkpoint.log_every),
            ("checkpoint.keep", self.checkpoint.keep as u64),
            ("evaluate.every", self.measure_every),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(format!("{name} is 0; it must be at least 1"));
        }
        let o = self.optimizer;
        for (name, value, high) in [
            ("optimizer.rate", o.rate, 10.0),
            ("optimizer.final_rate", o.final_rate, 10.0),
            ("optimizer.weight_decay", o.weight_decay, 10.0),
            ("optimizer.average", o.average, 0.999_999),
            ("optimizer.clip", o.clip, f64::MAX),
        ] {
            if !(0.0..=high).contains(&value) {
                return Err(format!("{name} is {value}; it goes from 0 to {high}"));
            }
        }
        if let Some(start) = self.start {
            start.check()?;
        }
        if self.quantize_aware && self.start.is_none() {
            return Err(
                "quantize_aware fine-tunes a trained network: name its checkpoint as start".into(),
            );
        }
        Ok(())
    }
}

/// Pictures in bytes, [N, H, W, 3], with H and W.
pub type Pixels<'a> = (&'a [u8], [usize; 2]);

/// What is learned: where batches come from, what the loss is, and how the result is measured. The
/// training loop ([`super::Training`]) does all the rest.
pub trait Task {
    /// What a step learns from.
    type Batch;

    /// Parameters beside the network's that help in training alone; their names begin with `head.`.
    fn head(&self) -> Vec<ParamSpec> {
        Vec::new()
    }

    /// Changes starting values where the usual ones do not do.
    fn start_values(&self, _params: &Parameters) {}

    /// Begins to prepare batches from `step` on.
    ///
    /// # Errors
    /// There are none to be had.
    fn begin(&mut self, step: u64) -> Result<(), Fault>;

    /// The next step's batch.
    ///
    /// # Errors
    /// It cannot be made.
    fn next_batch(&mut self) -> Result<Self::Batch, Fault>;

    /// The batch's pictures, and how long they were waited for.
    fn pixels<'a>(&self, batch: &'a Self::Batch) -> (Pixels<'a>, Duration);

    /// The loss of what the network made of a batch.
    fn loss(
        &self,
        batch: &Self::Batch,
        images: &Tensor,
        outputs: &[Tensor],
        params: &Parameters,
    ) -> Terms;

    /// Measures a network.
    ///
    /// # Errors
    /// It gives what cannot be measured.
    fn measure(&self, network: TorchNetwork) -> Result<Measured, Fault>;

    /// At most `count` pictures to find ranges for int8 on, and their height and width.
    fn calibration_pixels(&self, count: usize) -> (Vec<u8>, [usize; 2]);

    /// What is drawn of the metrics.
    fn curves(&self) -> &'static [Curves];
}

/// The figures of one measurement.
#[derive(Default)]
pub struct Measured {
    /// What goes into `metrics.jsonl`.
    pub figures: Map<String, Value>,
    /// The keys of `figures` that are worth a line on the screen.
    pub headline: &'static [&'static str],
    /// The one that decides which model is best; higher is better.
    pub watched: Option<f64>,
    /// Drawn when the model is the best so far, by the name of the file.
    pub charts: Vec<(&'static str, Chart)>,
}

/// A network on libtorch, with int8 simulated where it is trained for that.
pub struct TorchNetwork<'a> {
    graph: &'a Graph,
    params: &'a Parameters,
    device: Device,
    pass: Pass,
    hook: Box<dyn Hook + 'a>,
}

impl<'a> TorchNetwork<'a> {
    /// The network as it is, or as its int8 form will be.
    ///
    /// # Errors
    /// A calibration that lacks a range.
    pub fn new(
        graph: &'a Graph,
        params: &'a Parameters,
        device: Device,
        calibration: Option<&Calibration>,
    ) -> Result<Self, Fault> {
        let (pass, hook): (_, Box<dyn Hook>) = match calibration {
            None => (Pass::Evaluate, Box::new(NoHook)),
            Some(calibration) => (Pass::Folded, Box::new(FakeQuant::new(graph, calibration)?)),
        };
        Ok(Self { graph, params, device, pass, hook })
    }

    /// The network's description.
    pub fn graph(&self) -> &'a Graph {
        self.graph
    }

    /// The values of its outputs for pictures.
    pub fn outputs(&mut self, (pixels, sides): Pixels) -> Vec<Tensor> {
        let _guard = tch::no_grad_guard();
        let images = images_from_bytes(pixels, sides, self.device);
        outputs(self.graph, self.params, &images, self.pass, &mut *self.hook)
    }
}
