use super::{
    Checkpoint, CheckpointError, RunFolder,
    inputs::progress,
    metrics::Metrics,
    model::{calibration_from, ranges_to_tensors},
    pace::Pace,
    task::{Config, Fault, Task, TorchNetwork},
};
use crate::{
    engine::{NoHook, Optimizer, Parameters, Pass, images_from_bytes, outputs},
    loss::Terms,
    net::Graph,
    onnx::{Calibration, Method, WeightScale},
    quantize::{FakeQuant, observe},
};
use indicatif::ProgressBar;
use serde_json::{Map, json};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tch::{Device, Kind, Tensor};

/// What the machine brings to a run, as opposed to what decides its numbers.
pub struct Options {
    /// Where to compute.
    pub device: Device,
    /// Activations in bfloat16; weights, statistics and losses stay f32.
    pub bf16: bool,
    /// Set from outside, by Ctrl-C, to end after the step in hand with a checkpoint.
    pub stop: Arc<AtomicBool>,
    /// When to end likewise by itself, on a machine that is lent for a time.
    pub deadline: Option<Instant>,
    /// Whether the number of steps is set anew, once their speed is known, to what there is time for.
    pub fit: bool,
}

/// How a run ended.
pub struct Summary {
    /// Steps made in all.
    pub step: u64,
    /// Whether that is all of them.
    pub finished: bool,
    /// The best value of the figure watched.
    pub best: Option<f64>,
}

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The loss left the numbers; nothing was saved after the last checkpoint.
    #[error(
        "the loss is {value} at step {step} ({terms}); lower optimizer.rate or set optimizer.clip, \
         then train again: the last checkpoint is from before"
    )]
    NotFinite {
        /// The step.
        step: u64,
        /// The loss.
        value: f64,
        /// Each term's value.
        terms: String,
    },
    /// A checkpoint does not belong to this run.
    #[error("{path}: {name} is missing or of another shape: not a checkpoint of this network")]
    Foreign {
        /// The checkpoint, or the run's folder.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A checkpoint could not be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The run's folder cannot be made.
    #[error("{0}")]
    Folder(String),
    /// Pictures, tables, metrics.
    #[error("{0}")]
    Other(#[from] Fault),
}

/// A run in progress.
pub struct Training<C, T> {
    config: C,
    task: T,
    folder: RunFolder,
    options: Options,
    graph: Graph,
    params: Parameters,
    /// Holds the moving average while it is measured.
    average: Parameters,
    optimizer: Optimizer,
    /// Ranges of the activations, when training for int8, and what simulates it.
    int8: Option<(Calibration, FakeQuant)>,
    step: u64,
    best: Option<f64>,
}

/// What a run tells of itself.
struct Report {
    metrics: Metrics,
    bar: ProgressBar,
    sums: Sums,
    /// When `sums` began.
    since: Instant,
}

/// Sums since the last line of metrics.
#[derive(Default)]
struct Sums {
    steps: u64,
    images: usize,
    terms: BTreeMap<&'static str, Tensor>,
    waited: Duration,
}

/// Training pictures that the ranges of quantization-aware training are found on.
const CALIBRATION_IMAGES: usize = 512;

fn other(error: impl Into<Fault>) -> TrainError {
    TrainError::Other(error.into())
}

impl<C: Config, T: Task> Training<C, T> {
    /// Prepares the run in `folder`, from its latest checkpoint where there is one. Nothing is written yet.
    ///
    /// # Errors
    /// Checkpoints that are missing, broken or of another network.
    pub fn prepare(
        folder: RunFolder,
        config: C,
        task: T,
        options: Options,
    ) -> Result<Self, TrainError> {
        let schedule = config.schedule();
        let (device, seed) = (options.device, schedule.seed as i64);
        let graph = config.graph().map_err(other)?;
        let head = task.head();
        let params = Parameters::new(&graph, &head, seed, device);
        task.start_values(&params);
        let average = Parameters::new(&graph, &head, seed, device);
        let o = schedule.optimizer;
        let latest = folder.latest()?;
        let step = latest.as_ref().map_or(0, |checkpoint| checkpoint.step);
        let mut this = Self {
            optimizer: Optimizer::new(o.kind, o.weight_decay, o.average, &params),
            int8: None,
            step,
            best: None,
            config,
            task,
            folder,
            options,
            graph,
            params,
            average,
        };
        match latest {
            Some(checkpoint) => this.restore(&checkpoint)?,
            None => this.start()?,
        }
        Ok(this)
    }

    fn foreign(&self, path: PathBuf, name: impl Into<String>) -> TrainError {
        TrainError::Foreign { path, name: name.into() }
    }

    /// Takes over the weights of the checkpoint that the configuration starts from.
    fn start(&mut self) -> Result<(), TrainError> {
        let Some(start) = self.config.schedule().start else { return Ok(()) };
        let checkpoint = start.read()?;
        let missing = self.params.import("average.", &checkpoint.tensors);
        if let Some(name) = missing.iter().find(|name| !name.starts_with("head.")) {
            return Err(self.foreign(start.paths()[0].clone(), name.as_str()));
        }
        let schedule = self.config.schedule();
        let o = schedule.optimizer;
        self.optimizer = Optimizer::new(o.kind, o.weight_decay, o.average, &self.params);
        if schedule.quantize_aware {
            self.simulate(self.calibrate()?)?;
        }
        Ok(())
    }

    fn simulate(&mut self, calibration: Calibration) -> Result<(), TrainError> {
        let fake = FakeQuant::new(&self.graph, &calibration).map_err(other)?;
        self.int8 = Some((calibration, fake));
        Ok(())
    }

    /// Ranges of the activations of the network that training for int8 starts from.
    fn calibrate(&self) -> Result<Calibration, TrainError> {
        let (pixels, sides) = self.task.calibration_pixels(CALIBRATION_IMAGES);
        let device = self.options.device;
        let observed = observe(&self.graph, &self.params, (&pixels, sides), device, &mut |_| {});
        Ok(observed.map_err(other)?.calibration(Method::Mse, WeightScale::MaxAbs))
    }

    fn restore(&mut self, checkpoint: &Checkpoint) -> Result<(), TrainError> {
        let path = self.folder.checkpoint(checkpoint.step);
        if let Some(name) = self.params.import("model.", &checkpoint.tensors).first() {
            return Err(self.foreign(path, name.as_str()));
        }
        if let Err(name) = self.optimizer.import(&self.params, &checkpoint.tensors) {
            return Err(self.foreign(path, name));
        }
        if self.config.schedule().quantize_aware {
            let ranges = checkpoint.under("quantization.");
            let calibration = calibration_from(&self.graph, &ranges);
            self.simulate(calibration.map_err(|why| self.foreign(path, why))?)?;
        }
        self.best = checkpoint.best;
        Ok(())
    }

    /// Trains to the configured number of steps, or until told to stop.
    ///
    /// # Errors
    /// [`TrainError`]; the folder then holds the last checkpoint made.
    pub fn run(mut self) -> Result<Summary, TrainError> {
        self.task.begin(self.step)?;
        self.folder.begin(&self.config.to_toml()).map_err(TrainError::Folder)?;
        let mut steps = self.config.schedule().steps;
        let mut pace = self.options.deadline.filter(|_| self.options.fit).map(Pace::new);
        let bar = progress(steps, "{bar:30} {pos}/{len} {msg} · {eta} left");
        let mut report = Report {
            metrics: Metrics::open(&self.folder, self.step).map_err(other)?,
            bar: bar.with_position(self.step),
            sums: Sums::default(),
            since: Instant::now(),
        };
        while self.step < steps && !self.told_to_stop() {
            let batch = self.task.next_batch()?;
            let terms = self.update(&batch)?;
            self.step += 1;
            let ((pixels, [height, width]), waited) = self.task.pixels(&batch);
            report.sums.add(pixels.len() / (height * width * 3), waited, &terms);
            report.bar.set_position(self.step);
            if let Some(fitting) = pace.as_mut().and_then(|p| p.steps(self.step, Instant::now())) {
                log::info!(
                    "there is time for {fitting} steps, and the schedule had {steps}: it ends there"
                );
                (steps, pace) = (fitting, None);
                self.config.set_steps(steps);
                self.folder.change(&self.config.to_toml()).map_err(TrainError::Folder)?;
                report.bar.set_length(steps);
            }
            let schedule = self.config.schedule();
            let at = |every: u64| self.step.is_multiple_of(every) || self.step == steps;
            let (log, measure, save) = (
                at(schedule.checkpoint.log_every),
                at(schedule.measure_every),
                at(schedule.checkpoint.every),
            );
            if log || measure || save {
                self.log(&mut report)?;
            }
            if measure {
                self.measure(&mut report)?;
                report.since = Instant::now();
            }
            if save {
                self.save()?;
            }
        }
        report.bar.abandon();
        if self.step < steps {
            self.save()?;
        }
        Ok(Summary { step: self.step, finished: self.step == steps, best: self.best })
    }

    fn told_to_stop(&self) -> bool {
        let late = self.options.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        late || self.options.stop.load(Ordering::Relaxed)
    }

    /// One update. Everything random in it depends on the seed and the step alone.
    fn update(&mut self, batch: &T::Batch) -> Result<Terms, TrainError> {
        let device = self.options.device;
        let seed = self.config.schedule().seed;
        tch::manual_seed(seed.wrapping_mul(0x9E37_79B9).wrapping_add(self.step) as i64);
        let ((pixels, sides), _) = self.task.pixels(batch);
        let images = images_from_bytes(pixels, sides, device);
        // int8 is simulated in f32: bfloat16 has no room for 256 levels.
        let half = self.options.bf16 && self.int8.is_none();
        let images = if half { images.to_kind(Kind::BFloat16) } else { images };
        let values = match &mut self.int8 {
            None => outputs(&self.graph, &self.params, &images, Pass::Train, &mut NoHook),
            Some((_, fake)) => outputs(&self.graph, &self.params, &images, Pass::Folded, fake),
        };
        let terms = self.task.loss(batch, &images, &values, &self.params);
        // On a GPU the value is looked at only when it is logged, to keep the device's queue full.
        if device == Device::Cpu {
            self.check_finite(&terms)?;
        }
        let mut gradient = self.params.gradient(&terms.total);
        let schedule = self.config.schedule();
        if schedule.optimizer.clip > 0.0 {
            let shrink = gradient.norm().clamp_min(1e-12).reciprocal() * schedule.optimizer.clip;
            _ = gradient.g_mul_(&shrink.clamp_max(1.0));
        }
        let rate = schedule.optimizer.rate_at(self.step, schedule.steps);
        self.optimizer.step(&self.params, &gradient, rate);
        Ok(terms)
    }

    fn check_finite(&self, terms: &Terms) -> Result<(), TrainError> {
        let value = terms.total.double_value(&[]);
        if value.is_finite() {
            return Ok(());
        }
        let each = terms.values.iter().map(|(n, v)| format!("{n} {}", v.double_value(&[])));
        let terms = each.collect::<Vec<_>>().join(", ");
        Err(TrainError::NotFinite { step: self.step, value, terms })
    }

    fn log(&self, report: &mut Report) -> Result<(), TrainError> {
        let sums = std::mem::take(&mut report.sums);
        if sums.steps == 0 {
            return Ok(());
        }
        let seconds = report.since.elapsed().as_secs_f64();
        let mut line = Map::new();
        line.insert("step".into(), json!(self.step));
        for (name, sum) in &sums.terms {
            let mean = sum.double_value(&[]) / sums.steps as f64;
            if !mean.is_finite() {
                let terms = format!("{name} {mean}");
                return Err(TrainError::NotFinite { step: self.step, value: mean, terms });
            }
            line.insert((*name).into(), json!(mean));
        }
        let schedule = self.config.schedule();
        let rate = schedule.optimizer.rate_at(self.step - 1, schedule.steps);
        let (speed, wait) = (sums.images as f64 / seconds, sums.waited.as_secs_f64() / seconds);
        line.insert("rate".into(), json!(rate));
        line.insert("images_per_second".into(), json!(speed));
        line.insert("wait_share".into(), json!(wait));
        let loss = line["loss"].as_f64().unwrap_or(f64::NAN);
        report.bar.set_message(format!(
            "loss {loss:.4} · {speed:.0} images/s · {:.0}% waiting",
            wait * 100.0
        ));
        report.metrics.add(line).map_err(other)?;
        report.since = Instant::now();
        Ok(())
    }

    fn measure(&mut self, report: &mut Report) -> Result<(), TrainError> {
        tch::no_grad(|| {
            let [flat, statistics] = self.optimizer.ema();
            self.average.flat().detach().copy_(flat);
            self.average.statistics().detach().copy_(statistics);
        });
        let calibration = self.int8.as_ref().map(|(calibration, _)| calibration);
        let device = self.options.device;
        let network = TorchNetwork::new(&self.graph, &self.average, device, calibration)?;
        let measured = self.task.measure(network)?;
        let text: Vec<_> = (measured.headline.iter())
            .filter_map(|&key| Some(format!("{key} {:.4}", measured.figures.get(key)?.as_f64()?)))
            .collect();
        report.bar.suspend(|| log::info!("step {}: {}", self.step, text.join(", ")));
        let mut line = Map::from_iter([("step".to_owned(), json!(self.step))]);
        line.extend(measured.figures);
        report.metrics.add(line).map_err(other)?;
        report.metrics.draw(&self.folder, self.task.curves()).map_err(other)?;
        let Some(value) = measured.watched else { return Ok(()) };
        if self.best.is_some_and(|best| best >= value) {
            return Ok(());
        }
        self.best = Some(value);
        let mut checkpoint = self.checkpoint();
        checkpoint.tensors.extend(self.average.export("average."));
        checkpoint.write(&self.folder.best())?;
        for (name, chart) in &measured.charts {
            chart.write(&self.folder.file(name)).map_err(other)?;
        }
        Ok(())
    }

    fn checkpoint(&self) -> Checkpoint {
        let (config, step, best) = (self.config.to_toml(), self.step, self.best);
        let ranges = self.int8.iter().flat_map(|(c, _)| ranges_to_tensors(&self.graph, c));
        let tensors = ranges.map(|(name, t)| (format!("quantization.{name}"), t)).collect();
        Checkpoint { config, step, best, tensors }
    }

    fn save(&self) -> Result<(), TrainError> {
        let mut checkpoint = self.checkpoint();
        checkpoint.tensors.extend(self.params.export("model."));
        checkpoint.tensors.extend(self.optimizer.export(&self.params));
        Ok(self.folder.save(&checkpoint, self.config.schedule().checkpoint.keep)?)
    }
}

impl Sums {
    fn add(&mut self, images: usize, waited: Duration, terms: &Terms) {
        self.steps += 1;
        self.images += images;
        self.waited += waited;
        let total = [("loss", terms.total.detach())];
        for (name, value) in total.iter().chain(&terms.values) {
            let sum = self.terms.entry(name).or_insert_with(|| value.zeros_like());
            *sum = &*sum + value;
        }
    }
}
