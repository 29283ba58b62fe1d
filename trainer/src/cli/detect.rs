use super::{Failure, Outcome, data, export::Export, quantize::Quantize, train};
use crate::{
    detect::{DetectConfig, Detection},
    run::{Model, Task},
};

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
    /// Write a trained detector as an f32 ONNX file.
    Export(Export),
    /// Write a trained detector as an int8 ONNX file.
    Quantize(Quantize),
}

impl Detect {
    pub fn run(&self) -> Outcome {
        match &self.command {
            Command::Train(command) => command.run(Detection::load),
            Command::Resume(command) => command.run(Detection::load),
            Command::Export(command) => command.write(Model::<DetectConfig>::sign_detector),
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
    command.write(&model, (&pixels, sides), Model::sign_detector)?;
    Ok(())
}
