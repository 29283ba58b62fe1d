use super::{
    Outcome, data,
    train::{Machine, Precision},
};
use crate::{
    data::{Augment, BatchPlan, Dataset, Limits, Loader, Sampler, Source, Work, synthetic},
    engine::{
        self, NoHook, Optimizer, OptimizerKind, Parameters, Pass, forward, images_from_bytes,
    },
    loss::{Inputs, LossConfig, Mining, full},
    net::{Architecture, Backbone},
    run::head_specs,
};
use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};
use tch::{Device, Kind, Tensor};

/// Measure how many pictures a second the whole training step takes in: loading, augmentation,
/// forward, batch-hard triplet and cross-entropy, backward, Adam.
///
/// The pictures are drawn first, so that no data is needed. `trainer/benches/race.py` runs this in
/// turns with the same step in PyTorch and gives the ratio.
#[derive(clap::Args)]
pub struct Bench {
    /// Which network.
    #[arg(long, value_enum, default_value = "mobilenet")]
    backbone: Backbone,
    /// Side of the input, px.
    #[arg(long, default_value_t = 160)]
    size: usize,
    /// Pictures in a batch; a multiple of 4.
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// Classes of the softmax head.
    #[arg(long, default_value_t = 10_000)]
    classes: usize,
    /// Steps that count.
    #[arg(long, default_value_t = 20)]
    steps: usize,
    /// Steps before them that do not.
    #[arg(long, default_value_t = 3)]
    warm_up: usize,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    machine: Machine,
    #[command(flatten)]
    precision: Precision,
}

/// What a benchmark found.
#[derive(Default)]
struct Figures {
    steps: Vec<Duration>,
    waited: Duration,
    /// Forward pass and loss, gradient, update.
    parts: [Duration; 3],
}

impl Bench {
    pub fn run(&self) -> Outcome {
        let device = self.machine.prepare()?;
        let figures = self.measure(device).map_err(data)?;
        let mut seconds: Vec<_> = figures.steps.iter().map(Duration::as_secs_f64).collect();
        seconds.sort_by(f64::total_cmp);
        let total: f64 = seconds.iter().sum();
        let speed = (self.batch * self.steps) as f64 / total;
        let best = self.batch as f64 / seconds[0];
        let wait = figures.waited.as_secs_f64() / total;
        let share = |part: usize| figures.parts[part].as_secs_f64() / total;
        if self.json {
            let line = serde_json::json!({
                "images_per_second": speed,
                "best_images_per_second": best,
                "median_step_seconds": seconds[seconds.len() / 2],
                "wait_share": wait,
                "forward_share": share(0),
                "backward_share": share(1),
                "update_share": share(2),
                "device": engine::describe(device),
            });
            println!("{line}");
        } else {
            println!("{}", engine::describe(device));
            println!("{speed:.1} images/s over {} steps, {best:.1} in the best step", self.steps);
            println!("{:.1}% of the time waiting for pictures", wait * 100.0);
        }
        Ok(())
    }

    fn measure(&self, device: Device) -> Result<Figures, Box<dyn Error + Send + Sync>> {
        if self.batch == 0 || !self.batch.is_multiple_of(4) || self.steps == 0 || self.classes == 0
        {
            return Err("--batch is a multiple of 4, --steps and --classes are at least 1".into());
        }
        let architecture = Architecture {
            backbone: self.backbone,
            input_size: self.size,
            ..Architecture::default()
        };
        let graph = architecture.graph()?;
        let mut loader = self.loader()?;
        let head = head_specs(self.classes);
        let params = Parameters::new(&graph, &head, 1, device);
        let mut optimizer = Optimizer::new(OptimizerKind::Adam, 0.0, 0.0, &params);
        let loss = LossConfig { mining: Mining::BatchHard, ..LossConfig::default() };
        let mut figures = Figures::default();
        for step in 0..self.warm_up + self.steps {
            let start = Instant::now();
            let batch = loader.next_batch()?;
            let images = images_from_bytes(&batch.pixels, [batch.size; 2], device);
            let images = if self.precision.bf16 { images.to_kind(Kind::BFloat16) } else { images };
            let labels = engine::send(&Tensor::from_slice(&batch.labels), device);
            let raw = forward(&graph, &params, &images, Pass::Train, &mut NoHook);
            let inputs = Inputs {
                raw: &raw,
                labels: &labels,
                labelled: &Tensor::arange(self.batch as i64, (Kind::Int64, device)),
                head: Some((params.get("head.weight"), params.get("head.bias"))),
                teacher: None,
                bank: None,
            };
            let total = full(&loss, &inputs).total;
            let forward_done = Instant::now();
            let gradient = params.gradient(&total);
            let gradient_done = Instant::now();
            optimizer.step(&params, &gradient, 1e-3);
            if let Device::Cuda(i) = device {
                tch::Cuda::synchronize(i as i64);
            }
            let end = Instant::now();
            if step >= self.warm_up {
                figures.steps.push(end - start);
                figures.waited += batch.waited;
                let parts =
                    [forward_done - start, gradient_done - forward_done, end - gradient_done];
                figures.parts.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part);
            }
        }
        Ok(figures)
    }

    fn loader(&self) -> Result<Loader, Box<dyn Error + Send + Sync>> {
        let drawn = tempfile::tempdir()?;
        let people = self.batch / 4 + 4;
        synthetic::write(drawn.path(), people * 2, 4, 1)?;
        let sources = [Source::new("synthetic", drawn.path())];
        let dataset = Dataset::load(&sources, &Limits::default(), &mut |_, _| {})?;
        let plan = BatchPlan { people: self.batch / 4, per_person: 4, free: 0 };
        let sampler = Sampler::new(&dataset, plan, 1)?;
        let (dataset, workers) = (Arc::new(dataset), engine::workers(0));
        Ok(Loader::start(
            Work {
                dataset,
                sampler,
                augment: Augment::default(),
                out_size: self.size,
                clean: false,
            },
            0,
            workers,
            workers.max(4),
        )?)
    }
}
