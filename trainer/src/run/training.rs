use super::{
    Checkpoint, CheckpointError, RunConfig, RunFolder,
    inputs::{Target, load_dataset, progress, training_pixels},
    measure::{Measurement, Measurer},
    metrics::Metrics,
    model::{calibration_from, ranges_to_tensors},
};
use crate::{
    data::{Batch, Dataset, Loader, Sampler},
    engine::{
        NoHook, Optimizer, Parameters, Pass, TorchEmbedder, forward, images_from_bytes, send,
        spare_cores,
    },
    loss::{Inputs, Terms, full},
    net::{Graph, ParamSpec, Role},
    onnx::{Calibration, Method, WeightScale},
    quantize::{FakeQuant, observe},
};
use facelatch::{evaluate::roc, plot::roc_chart};
use indicatif::ProgressBar;
use serde_json::{Map, json};
use std::{
    collections::BTreeMap,
    error::Error,
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
    /// Pictures, tables, metrics.
    #[error("{0}")]
    Other(#[from] Box<dyn Error + Send + Sync>),
}

/// A run in progress.
pub struct Training {
    config: RunConfig,
    folder: RunFolder,
    options: Options,
    dataset: Arc<Dataset>,
    graph: Graph,
    params: Parameters,
    /// Holds the moving average while it is measured.
    average: Parameters,
    optimizer: Optimizer,
    target: Target,
    measurer: Measurer,
    metrics: Metrics,
    /// Ranges of the activations, when training for int8.
    calibration: Option<Calibration>,
    step: u64,
    best: Option<f64>,
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

/// Names of the class head's parameters.
const HEAD: [&str; 2] = ["head.weight", "head.bias"];

fn head_specs(config: &RunConfig, dataset: &Dataset) -> Vec<ParamSpec> {
    if !config.loss.needs_head() {
        return Vec::new();
    }
    let classes = dataset.people().len();
    let spec = |name: &str, shape: Vec<usize>, role| ParamSpec { name: name.into(), shape, role };
    vec![
        spec(HEAD[0], vec![classes, crate::net::Architecture::EMBEDDING], Role::Weight),
        spec(HEAD[1], vec![classes], Role::Offset),
    ]
}

impl Training {
    /// Loads everything that `config` names and prepares the run in `folder`, from its latest
    /// checkpoint where there is one.
    ///
    /// # Errors
    /// Pictures, tables or checkpoints that are missing, broken or of another network.
    pub fn prepare(
        folder: RunFolder,
        config: RunConfig,
        options: Options,
    ) -> Result<Self, TrainError> {
        let device = options.device;
        let dataset = Arc::new(load_dataset(&config)?);
        let graph = config.network.graph().map_err(Box::<dyn Error + Send + Sync>::from)?;
        let head = head_specs(&config, &dataset);
        let seed = config.seed as i64;
        let params = Parameters::new(&graph, &head, seed, device);
        let average = Parameters::new(&graph, &head, seed, device);
        let o = &config.optimizer;
        let size = config.network.input_size;
        let latest = folder.latest();
        let step = latest.as_ref().map_or(0, |checkpoint| checkpoint.step);
        let mut this = Self {
            optimizer: Optimizer::new(o.kind, o.weight_decay, o.average, &params),
            target: Target::load(&config, &dataset, device)?,
            measurer: Measurer::new(&config.evaluate, &dataset, size, config.seed)?,
            metrics: Metrics::open(&folder, step).map_err(|e| Box::new(e) as Box<_>)?,
            calibration: None,
            step,
            best: None,
            config,
            folder,
            options,
            dataset,
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
        let Some(path) = self.config.start.clone() else { return Ok(()) };
        let checkpoint = Checkpoint::read(&path)?;
        let missing = self.params.import("average.", &checkpoint.tensors);
        if let Some(name) = missing.iter().find(|name| !name.starts_with("head.")) {
            return Err(self.foreign(path, name.as_str()));
        }
        let o = &self.config.optimizer;
        self.optimizer = Optimizer::new(o.kind, o.weight_decay, o.average, &self.params);
        if self.config.quantize_aware {
            self.calibration = Some(self.calibrate()?);
        }
        Ok(())
    }

    /// Ranges of the activations of the network that training for int8 starts from.
    fn calibrate(&self) -> Result<Calibration, TrainError> {
        let pixels = training_pixels(&self.dataset, self.graph.input_size(), CALIBRATION_IMAGES);
        let device = self.options.device;
        let observed = observe(&self.graph, &self.params, &pixels, device, &mut |_| {})
            .map_err(|e| Box::new(e) as Box<_>)?;
        Ok(observed.calibration(Method::Mse, WeightScale::MaxAbs))
    }

    fn restore(&mut self, checkpoint: &Checkpoint) -> Result<(), TrainError> {
        let path = self.folder.checkpoint(checkpoint.step);
        if let Some(name) = self.params.import("model.", &checkpoint.tensors).first() {
            return Err(self.foreign(path, name.as_str()));
        }
        if let Err(name) = self.optimizer.import(&self.params, &checkpoint.tensors) {
            return Err(self.foreign(path, name));
        }
        if self.config.quantize_aware {
            let ranges = checkpoint.under("quantization.");
            let calibration = calibration_from(&self.graph, &ranges);
            self.calibration = Some(calibration.map_err(|why| self.foreign(path, why))?);
        }
        self.best = checkpoint.best;
        Ok(())
    }

    /// Trains to the configured number of steps, or until told to stop.
    ///
    /// # Errors
    /// [`TrainError`]; the folder then holds the last checkpoint made.
    pub fn run(mut self) -> Result<Summary, TrainError> {
        let mut loader = self.loader()?;
        let bar = progress(self.config.steps, "{bar:30} {pos}/{len} {msg} · {eta} left")
            .with_position(self.step);
        let head = self.params.find(HEAD[0]).is_some();
        let (mut sums, mut since) = (Sums::default(), Instant::now());
        while self.step < self.config.steps && !self.told_to_stop() {
            let batch = loader.next_batch().map_err(|e| Box::new(e) as Box<_>)?;
            let terms = self.update(&batch, head)?;
            self.step += 1;
            sums.add(&batch, &terms);
            bar.set_position(self.step);
            let at = |every: u64| self.step.is_multiple_of(every) || self.step == self.config.steps;
            let (log, measure, save) = (
                at(self.config.checkpoint.log_every),
                at(self.config.evaluate.every),
                at(self.config.checkpoint.every),
            );
            if log || measure || save {
                self.log(&mut sums, &mut since, &bar)?;
            }
            if measure {
                self.measure(&bar)?;
                since = Instant::now();
            }
            if save {
                self.save()?;
            }
        }
        bar.abandon();
        if self.step < self.config.steps {
            self.save()?;
        }
        Ok(Summary { step: self.step, finished: self.step == self.config.steps, best: self.best })
    }

    fn told_to_stop(&self) -> bool {
        let late = self.options.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        late || self.options.stop.load(Ordering::Relaxed)
    }

    fn loader(&self) -> Result<Loader, TrainError> {
        let other = |e: Box<dyn Error + Send + Sync>| TrainError::Other(e);
        let sampler = Sampler::new(&self.dataset, self.config.batch, self.config.seed)
            .map_err(|e| other(e.into()))?;
        let workers = match self.config.data.workers {
            0 => spare_cores(),
            n => n,
        };
        Loader::start(
            Arc::clone(&self.dataset),
            sampler,
            self.config.augment.clone(),
            self.config.network.input_size,
            self.step,
            workers,
            self.config.data.prefetch.max(workers),
        )
        .map_err(|e| other(e.into()))
    }

    /// One update. Everything random in it depends on the seed and the step alone.
    fn update(&mut self, batch: &Batch, head: bool) -> Result<Terms, TrainError> {
        let device = self.options.device;
        tch::manual_seed(self.config.seed.wrapping_mul(0x9E37_79B9).wrapping_add(self.step) as i64);
        let images = images_from_bytes(&batch.pixels, batch.size, device);
        // int8 is simulated in f32: bfloat16 has no room for 256 levels.
        let half = self.options.bf16 && self.calibration.is_none();
        let images = if half { images.to_kind(Kind::BFloat16) } else { images };
        let teacher = self.target.of(batch, &images);
        let labels = send(&Tensor::from_slice(&batch.labels), device);
        let labelled: Vec<i64> =
            (0..).zip(&batch.labels).filter(|(_, l)| **l >= 0).map(|(i, _)| i).collect();
        let raw = match &self.calibration {
            None => forward(&self.graph, &self.params, &images, Pass::Train, &mut NoHook),
            Some(calibration) => {
                let fake = FakeQuant::new(&self.graph, calibration);
                let mut fake = fake.map_err(|e| Box::new(e) as Box<_>)?;
                forward(&self.graph, &self.params, &images, Pass::Folded, &mut fake)
            }
        };
        let terms = full(
            &self.config.loss,
            &Inputs {
                raw: &raw,
                labels: &labels,
                labelled: &send(&Tensor::from_slice(&labelled), device),
                head: head.then(|| (self.params.get(HEAD[0]), self.params.get(HEAD[1]))),
                teacher: teacher.as_ref(),
                bank: self.target.bank.as_ref(),
            },
        );
        // On a GPU the value is looked at only when it is logged, to keep the device's queue full.
        if device == Device::Cpu {
            self.check_finite(&terms)?;
        }
        let mut gradient = self.params.gradient(&terms.total);
        let clip = self.config.optimizer.clip;
        if clip > 0.0 {
            let factor = (gradient.norm().clamp_min(1e-12).reciprocal() * clip).clamp_max(1.0);
            _ = gradient.g_mul_(&factor);
        }
        let rate = self.config.optimizer.rate_at(self.step, self.config.steps);
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

    fn log(
        &mut self,
        sums: &mut Sums,
        since: &mut Instant,
        bar: &ProgressBar,
    ) -> Result<(), TrainError> {
        if sums.steps == 0 {
            return Ok(());
        }
        let seconds = since.elapsed().as_secs_f64();
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
        let rate = self.config.optimizer.rate_at(self.step - 1, self.config.steps);
        let (speed, wait) = (sums.images as f64 / seconds, sums.waited.as_secs_f64() / seconds);
        line.insert("rate".into(), json!(rate));
        line.insert("images_per_second".into(), json!(speed));
        line.insert("wait_share".into(), json!(wait));
        let loss = line["loss"].as_f64().unwrap_or(f64::NAN);
        bar.set_message(format!(
            "loss {loss:.4} · {speed:.0} images/s · {:.0}% waiting",
            wait * 100.0
        ));
        self.metrics.add(line).map_err(|e| Box::new(e) as Box<_>)?;
        *sums = Sums::default();
        *since = Instant::now();
        Ok(())
    }

    fn measure(&mut self, bar: &ProgressBar) -> Result<(), TrainError> {
        tch::no_grad(|| {
            let [flat, statistics] = self.optimizer.ema();
            self.average.flat().detach().copy_(flat);
            self.average.statistics().detach().copy_(statistics);
        });
        let mut embedder = TorchEmbedder::new(&self.graph, &self.average, self.options.device);
        if let Some(calibration) = &self.calibration {
            let fake = FakeQuant::new(&self.graph, calibration);
            embedder = embedder.folded(fake.map_err(|e| Box::new(e) as Box<_>)?);
        }
        let m = self.measurer.measure(embedder)?;
        let mut line = Map::from_iter([("step".to_owned(), json!(self.step))]);
        let mut note = |key: &str, value: f64| line.insert(key.into(), json!(value));
        if let Some(report) = &m.held_out {
            note("val_auc", report.auc);
            note("val_eer", report.eer);
            note("val_accuracy", report.accuracy.mean);
        }
        if let Some((report, _)) = &m.lfw {
            note("lfw_accuracy", report.accuracy.mean);
            note("lfw_auc", report.auc);
            for t in &report.tar_at_far {
                note(&format!("lfw_tar_at_far_{}", t.far), t.tar);
            }
        }
        let text: Vec<_> = (line.iter())
            .filter(|(k, _)| ["val_auc", "lfw_accuracy"].contains(&k.as_str()))
            .map(|(k, v)| format!("{k} {:.4}", v.as_f64().unwrap_or(f64::NAN)))
            .collect();
        bar.suspend(|| log::info!("step {}: {}", self.step, text.join(", ")));
        self.metrics.add(line).map_err(|e| Box::new(e) as Box<_>)?;
        self.metrics.draw(&self.folder).map_err(|e| Box::new(e) as Box<_>)?;
        self.keep_best(&m)
    }

    fn keep_best(&mut self, m: &Measurement) -> Result<(), TrainError> {
        let Some(value) = m.watched() else { return Ok(()) };
        if self.best.is_some_and(|best| best >= value) {
            return Ok(());
        }
        self.best = Some(value);
        let mut checkpoint = self.checkpoint();
        checkpoint.tensors.extend(self.average.export("average."));
        checkpoint.write(&self.folder.best())?;
        let mut curves = Vec::new();
        if let Some((_, scored)) = &m.lfw {
            curves.push(("LFW", roc(scored).map_err(|e| Box::new(e) as Box<_>)?));
        }
        let curves: Vec<_> = curves.iter().map(|(name, points)| (*name, &points[..])).collect();
        if !curves.is_empty() {
            let chart = roc_chart(&curves);
            chart.write(&self.folder.file("roc")).map_err(|e| Box::new(e) as Box<_>)?;
        }
        Ok(())
    }

    fn checkpoint(&self) -> Checkpoint {
        let (config, step, best) = (self.config.to_toml(), self.step, self.best);
        let ranges = self.calibration.iter().flat_map(|c| ranges_to_tensors(&self.graph, c));
        let tensors = ranges.map(|(name, t)| (format!("quantization.{name}"), t)).collect();
        Checkpoint { config, step, best, tensors }
    }

    fn save(&self) -> Result<(), TrainError> {
        let mut checkpoint = self.checkpoint();
        checkpoint.tensors.extend(self.params.export("model."));
        checkpoint.tensors.extend(self.optimizer.export(&self.params));
        Ok(self.folder.save(&checkpoint, self.config.checkpoint.keep)?)
    }
}

impl Sums {
    fn add(&mut self, batch: &Batch, terms: &Terms) {
        self.steps += 1;
        self.images += batch.images.len();
        self.waited += batch.waited;
        let total = [("loss", terms.total.detach())];
        for (name, value) in total.iter().chain(&terms.values) {
            let sum = self.terms.entry(name).or_insert_with(|| value.zeros_like());
            *sum = &*sum + value;
        }
    }
}
