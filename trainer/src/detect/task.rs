use super::{
    DetectConfig, Pictures,
    assign::Targets,
    compose::Canvas,
    loss::loss,
    measure::{found, letterboxed, measured},
};
use crate::{
    data::Loader,
    engine::{Parameters, workers},
    loss::Terms,
    run::{Curves, Fault, Measured, Pixels, Task, TorchNetwork, progress},
};
use facelatch::{
    detect::{Face, OUTPUTS},
    evaluate::PictureTruth,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::{sync::Arc, time::Duration};
use tch::{Device, Tensor};

/// Learning to find faces.
pub struct Detection {
    config: DetectConfig,
    pictures: Arc<Pictures>,
    loader: Option<Loader<(Vec<u8>, Targets)>>,
}

/// Logit that every cell starts with: one in a hundred, as focal losses want it (Lin et al. 2017, arXiv
/// 1708.02002).
const FIRST_LOGIT: f64 = -4.6;

/// A batch of canvases.
pub struct Batch {
    pixels: Vec<u8>,
    targets: Targets,
    waited: Duration,
}

impl Detection {
    /// Reads the pictures that `config` names.
    ///
    /// # Errors
    /// A file that is missing or broken.
    pub fn load(config: &DetectConfig, _device: Device) -> Result<Self, Fault> {
        let bar = progress(0, "reading pictures {bar:30} {pos}/{len} {eta}");
        let pictures = Pictures::load(&config.data, config.evaluate.pictures, &|done, total| {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        })?;
        bar.finish_and_clear();
        Ok(Self { config: config.clone(), pictures: Arc::new(pictures), loader: None })
    }

    /// What is known of each held-out picture, and the faces that a network finds in it.
    pub fn found(&self, mut network: TorchNetwork) -> Vec<(PictureTruth, Vec<Face>)> {
        let sides = [self.config.network.width, self.config.network.height];
        found(&mut network, &self.pictures.test, sides)
    }

    /// The canvases of a step, one after another.
    fn canvases(config: &DetectConfig, pictures: &Pictures, step: u64) -> Vec<Canvas> {
        let side = config.compose.side;
        let canvas = |slot: usize| {
            let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
            rng.set_stream(step.wrapping_mul(65_536).wrapping_add(slot as u64));
            let mut canvas = config.compose.canvas(pictures, &mut rng);
            config.augment.relight(&mut rng, &mut canvas.pixels);
            config.augment.degrade(&mut rng, &mut canvas.pixels, side);
            canvas
        };
        (0..config.batch).map(canvas).collect()
    }
}

impl Task for Detection {
    type Batch = Batch;

    fn start_values(&self, params: &Parameters) {
        let _guard = tch::no_grad_guard();
        for name in OUTPUTS {
            let mut bias = params.get(&format!("{name}.bias")).narrow(0, 0, 1);
            _ = bias.fill_(FIRST_LOGIT);
        }
    }

    fn begin(&mut self, step: u64) -> Result<(), Fault> {
        if self.pictures.faces.is_empty() {
            return Err("no picture with a face to learn from (split \"train\")".into());
        }
        let (config, pictures) = (self.config.clone(), Arc::clone(&self.pictures));
        let workers = workers(config.data.workers);
        let prefetch = config.data.prefetch.max(workers);
        let make = move |step| {
            let canvases = Self::canvases(&config, &pictures, step);
            let targets = Targets::of(&canvases, config.compose.side);
            let pixels: Vec<&[u8]> = canvases.iter().map(|c| &c.pixels[..]).collect();
            (pixels.concat(), targets)
        };
        self.loader = Some(Loader::ahead(make, step, workers, prefetch)?);
        Ok(())
    }

    fn next_batch(&mut self) -> Result<Batch, Fault> {
        let loader = self.loader.as_mut().expect("the loop begins before it asks");
        let ((pixels, targets), waited) = loader.wait()?;
        Ok(Batch { pixels, targets, waited })
    }

    fn pixels<'a>(&self, batch: &'a Batch) -> (Pixels<'a>, Duration) {
        ((&batch.pixels, [self.config.compose.side; 2]), batch.waited)
    }

    fn loss(&self, batch: &Batch, _: &Tensor, outputs: &[Tensor], _: &Parameters) -> Terms {
        loss(&self.config.loss, outputs, &batch.targets)
    }

    fn measure(&self, network: TorchNetwork) -> Result<Measured, Fault> {
        Ok(measured(&self.found(network)))
    }

    fn calibration_pixels(&self, count: usize) -> (Vec<u8>, [usize; 2]) {
        let [width, height] = [self.config.network.width, self.config.network.height];
        let pictures = &self.pictures.faces;
        let count = count.min(pictures.len());
        let chosen = (0..count).map(|n| &pictures[n * pictures.len() / count]);
        let pixels = letterboxed(chosen, [width, height]);
        (pixels, [height, width])
    }

    fn curves(&self) -> &'static [Curves] {
        &[
            Curves {
                file: "loss",
                title: "Loss",
                y: "loss",
                series: &[
                    ("loss", "loss"),
                    ("score", "score"),
                    ("bounds", "bounds"),
                    ("landmarks", "landmarks"),
                ],
            },
            Curves {
                file: "recall",
                title: "Detection on pictures held out",
                y: "share",
                series: &[
                    ("recall", "recall at one false face in ten pictures"),
                    ("average_precision", "average precision"),
                ],
            },
        ]
    }
}
