use super::{Failure, Outcome, data, onnx_path, write_network};
use crate::{
    onnx,
    run::{About, Config, Model, RunConfig},
};
use std::path::{Path, PathBuf};

/// Write a trained network as an f32 ONNX file (opset 13, batch norm folded, L2 norm included).
#[derive(clap::Args)]
pub struct Export {
    /// A checkpoint, or the folder of a run: its best model.
    model: PathBuf,
    /// The file to write; one that is there is replaced.
    #[arg(long, value_name = "FILE.onnx", value_parser = onnx_path)]
    out: PathBuf,
    #[command(flatten)]
    about: AboutArgs,
}

/// What goes into the file's metadata beside the contract.
#[derive(clap::Args, Default)]
pub struct AboutArgs {
    /// What the network was trained on, and under which terms [default: the sources' names].
    #[arg(long, value_name = "TEXT")]
    training_data: Option<String>,
    /// A JSON file with its metrics, such as `evaluate --json` prints.
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
}

impl AboutArgs {
    pub fn of(training_data: &str) -> Self {
        Self { training_data: Some(training_data.to_owned()), metrics: None }
    }

    pub fn read(&self) -> Result<About, Failure> {
        let metrics = match &self.metrics {
            None => "{}".to_owned(),
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|e| Failure::input(path, &e))?;
                let json: serde_json::Value = serde_json::from_str(&text)
                    .map_err(|e| data(format!("{}: {e}", path.display())))?;
                json.to_string()
            }
        };
        Ok(About { training_data: self.training_data.clone(), metrics })
    }
}

impl Export {
    pub fn new(model: &Path, out: &Path) -> Self {
        Self { model: model.into(), out: out.into(), about: AboutArgs::default() }
    }

    pub fn run(&self) -> Outcome {
        self.write::<RunConfig>()
    }

    /// Writes a model of any kind.
    pub fn write<C: Config>(&self) -> Outcome {
        let model: Model<C> = Model::load(&self.model).map_err(data)?;
        let about = self.about.read()?;
        let folded = onnx::fold(&model.graph, &model.params()).map_err(data)?;
        let mut file = onnx::write(&model.graph, &folded, &[]).map_err(data)?;
        model.sign(&mut file, &about).map_err(data)?;
        let bytes = onnx::to_bytes(&file);
        let replaced = write_network(&self.out, &bytes)?;
        let (out, mib) = (self.out.display(), bytes.len() as f64 / 1048576.0);
        println!("{out}: f32, {mib:.2} MiB, from step {}{replaced}", model.step);
        Ok(())
    }
}
