use super::{Failure, Outcome, data, export::Export, quantize::Quantize, train};
use crate::{
    detect::{DetectConfig, Detection},
    run::{Model, Task, TorchNetwork},
};
use facelatch::{
    detect::{Decoder, DetectionScore},
    evaluate::detection_report,
};
use std::path::PathBuf;

/// The face detector: the same commands as for the embedding network, over the same kind of run folder.
#[derive(clap::Args)]
pub struct Detect {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Start a training run from a configuration.
    Train(train::Train),
    /// Go on with a run from its latest checkpoint.
    Resume(train::Resume),
    /// Measure a trained detector on the pictures held out, by libtorch; `facelatch
    /// evaluate-detector` measures an ONNX file.
    Evaluate(Evaluate),
    /// Write a trained detector as an f32 ONNX file.
    Export(Export),
    /// Write a trained detector as an int8 ONNX file.
    Quantize(Quantize),
}

/// What to measure.
#[derive(clap::Args)]
struct Evaluate {
    /// A checkpoint, or the folder of a run: its best model.
    model: PathBuf,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    machine: train::Machine,
}

impl Evaluate {
    fn run(&self) -> Outcome {
        let device = self.machine.prepare()?;
        let model: Model<DetectConfig> = Model::load(&self.model).map_err(data)?;
        let mut config = model.config.clone();
        (config.data.limit, config.evaluate.pictures) = (1, 0);
        let task = Detection::load(&config, device).map_err(data)?;
        let params = model.parameters(device);
        let calibration = model.calibration().map_err(data)?;
        let network = TorchNetwork::new(&model.graph, &params, device, calibration.as_ref());
        let threshold = DetectionScore(Decoder::default().threshold);
        let report = detection_report(&task.found(network.map_err(data)?), threshold);
        match self.json {
            true => println!("{}", serde_json::to_string_pretty(&report).map_err(data)?),
            false => println!("{report}"),
        }
        Ok(())
    }
}

impl Detect {
    pub fn run(&self) -> Outcome {
        match &self.command {
            Command::Train(command) => command.run(Detection::load),
            Command::Resume(command) => command.run(Detection::load),
            Command::Evaluate(command) => command.run(),
            Command::Export(command) => command.write::<DetectConfig>(),
            Command::Quantize(command) => quantize(command),
        }
    }
}

fn quantize(command: &Quantize) -> Result<(), Failure> {
    let model: Model<DetectConfig> = Model::load(command.model()).map_err(data)?;
    let mut config = model.config.clone();
    // No more is decoded than is looked at.
    config.data.limit = command.images();
    config.evaluate.pictures = 1;
    let task = Detection::load(&config, tch::Device::Cpu).map_err(data)?;
    let (pixels, sides) = task.calibration_pixels(command.images());
    command.write(&model, (&pixels, sides))?;
    Ok(())
}
