use super::{Failure, Outcome, data, export::AboutArgs, onnx_path, train::Machine, write_network};
use crate::{
    engine::Parameters,
    net::Graph,
    onnx::{self, BiasCorrection, Calibration, Method, WeightScale},
    quantize::{correct_biases, observe, similarity},
    run::{Config, Model, Pixels, load_dataset, progress, training_pixels},
};
use std::path::{Path, PathBuf};
use tch::Device;

/// Write a trained network as an int8 ONNX file in QDQ form.
///
/// Weights: int8, symmetric, a scale for each output channel. Activations: u8 with ranges found on
/// calibration pictures, or those that quantization-aware training has learned to live with. Pooling,
/// the dense layer and the L2 norm stay f32.
#[derive(clap::Args)]
pub struct Quantize {
    /// A checkpoint, or the folder of a run: its best model.
    model: PathBuf,
    /// The file to write; one that is there is replaced.
    #[arg(long, value_name = "FILE.onnx", value_parser = onnx_path)]
    out: PathBuf,
    /// Pictures to find the ranges on, spread over the training pictures of the run's sources.
    #[arg(long, default_value_t = IMAGES)]
    images: usize,
    /// How ranges are chosen: minmax, percentile:P or mse.
    #[arg(long, default_value = "mse")]
    pub method: Method,
    /// How the weights' scales are chosen.
    #[arg(long, value_enum, default_value_t)]
    weight_scale: WeightScale,
    /// Leave the biases as they are instead of making up for what rounding shifts.
    #[arg(long)]
    no_bias_correction: bool,
    #[command(flatten)]
    pub about: AboutArgs,
    #[command(flatten)]
    machine: Machine,
}

/// Pictures that ranges are found on unless the command says otherwise.
const IMAGES: usize = 512;
/// As many of them at most go through the network at once, to correct biases and to compare.
const FEW: usize = 256;

impl Quantize {
    pub fn new(model: &Path, out: &Path, machine: Machine) -> Self {
        Self {
            model: model.into(),
            out: out.into(),
            images: IMAGES,
            method: Method::Mse,
            weight_scale: WeightScale::MaxAbs,
            no_bias_correction: false,
            about: AboutArgs::default(),
            machine,
        }
    }

    pub fn run(&self) -> Outcome {
        let model: Model = Model::load(&self.model).map_err(data)?;
        let (pixels, side) = (calibration_pixels(&model, self.images)?, model.graph.input_size());
        let (calibration, device) = self.write(&model, (&pixels, [side; 2]))?;
        let (params, few) = (model.parameters(device), few(&pixels, [side; 2]));
        let cosine = similarity(&model.graph, &params, &calibration, &few, device).map_err(data)?;
        println!("simulated int8 against f32 before bias correction: mean cosine {cosine:.5}");
        Ok(())
    }

    /// The checkpoint or run to quantize.
    pub fn model(&self) -> &Path {
        &self.model
    }

    /// How many pictures to find the ranges on.
    pub fn images(&self) -> usize {
        self.images
    }

    /// Quantizes a model with ranges found on `pixels`, and writes it.
    pub fn write<C: Config>(
        &self,
        model: &Model<C>,
        (pixels, sides): Pixels,
    ) -> Result<(Calibration, Device), Failure> {
        let device = self.machine.prepare()?;
        let about = self.about.read()?;
        let params = model.parameters(device);
        let graph = &model.graph;
        let learned = model.calibration().map_err(data)?;
        // A network that was trained with its rounding has learned its biases under it.
        let is_corrected = learned.is_none() && !self.no_bias_correction;
        let calibration = match learned {
            Some(ranges) => {
                println!("ranges from quantization-aware training");
                ranges
            }
            None => self.observed(graph, &params, (pixels, sides), device)?,
        };
        let correction = match is_corrected {
            true => {
                correct_biases(graph, &params, &calibration, (&few(pixels, sides), sides), device)
                    .map_err(data)?
            }
            false => BiasCorrection::new(),
        };
        let folded = onnx::fold(graph, &model.params()).map_err(data)?;
        let mut file =
            onnx::quantize(graph, &folded, &calibration, Some(&correction), &[]).map_err(data)?;
        model.sign(&mut file, &about).map_err(data)?;
        let bytes = onnx::to_bytes(&file);
        let replaced = write_network(&self.out, &bytes)?;
        let (out, mb) = (self.out.display(), bytes.len() as f64 / 1e6);
        println!("{out}: int8, {mb:.2} MB, from step {}{replaced}", model.step);
        Ok((calibration, device))
    }

    fn observed(
        &self,
        graph: &Graph,
        params: &Parameters,
        (pixels, sides): Pixels,
        device: Device,
    ) -> Result<Calibration, Failure> {
        let bar = progress(
            (pixels.len() / (sides[0] * sides[1] * 3)) as u64,
            "observing {bar:30} {pos}/{len} {eta}",
        );
        let observed =
            observe(graph, params, (pixels, sides), device, &mut |n| bar.set_position(n as u64));
        bar.finish_and_clear();
        Ok(observed.map_err(data)?.calibration(self.method, self.weight_scale))
    }
}

/// Of pictures that lie one after another at most [`FEW`], evenly spread: from all sources alike.
fn few(pixels: &[u8], [height, width]: [usize; 2]) -> Vec<u8> {
    let picture = height * width * 3;
    let step = (pixels.len() / picture).div_ceil(FEW).max(1);
    pixels.chunks(picture).step_by(step).flatten().copied().collect()
}

/// `count` training pictures, evenly spread, canonical, [N, S, S, 3].
fn calibration_pixels(model: &Model, count: usize) -> Result<Vec<u8>, Failure> {
    let mut config = model.config.clone();
    // A few of each person are enough, and quicker to decode.
    config.data.limits.per_person = Some(config.data.limits.per_person.unwrap_or(4).min(4));
    config.data.limits.unlabelled = Some(config.data.limits.unlabelled.unwrap_or(400).min(400));
    let dataset = load_dataset(&config).map_err(data)?;
    let pixels = training_pixels(&dataset, model.graph.input_size(), count);
    if pixels.is_empty() {
        return Err(data("no training picture to calibrate on"));
    }
    Ok(pixels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_pictures_are_of_the_whole_list_and_whole() {
        for (count, left, last) in
            [(0, 0, None), (8, 8, Some(7)), (256, 256, Some(255)), (512, 256, Some(254))]
        {
            let pixels: Vec<u8> = (0..count).flat_map(|i| [i as u8; 12]).collect();
            let found = few(&pixels, [2, 2]);
            assert_eq!((found.len(), found.last().copied()), (left * 12, last), "{count}");
            assert!(found.chunks(12).all(|picture| picture == [picture[0]; 12]), "{count}");
        }
    }
}
