use super::{
    RunConfig, TorchEmbedder,
    inputs::{Target, load_dataset, training_pixels},
    measure::Measurer,
    metrics::Curves,
    task::{Fault, Measured, Pixels, Task, TorchNetwork},
};
use crate::{
    data::{Batch, Dataset, Loader, Sampler, Work},
    engine::{Parameters, embedding_of, send, workers},
    loss::{Inputs, Terms, full},
    net::{ParamSpec, Role},
};
use facelatch::{evaluate::roc, plot::roc_chart};
use serde_json::{Map, json};
use std::{sync::Arc, time::Duration};
use tch::{Device, Tensor};

/// Learning to tell people apart.
pub struct Embedding {
    config: RunConfig,
    dataset: Arc<Dataset>,
    target: Target,
    measurer: Measurer,
    loader: Option<Loader>,
    device: Device,
}

/// Names of the class head's parameters.
const HEAD: [&str; 2] = ["head.weight", "head.bias"];

/// The class head: a weight [classes, 128] and a bias.
pub fn head_specs(classes: usize) -> Vec<ParamSpec> {
    let spec = |name: &str, shape: Vec<usize>, role| ParamSpec { name: name.into(), shape, role };
    vec![
        spec(HEAD[0], vec![classes, crate::net::Architecture::EMBEDDING], Role::Weight),
        spec(HEAD[1], vec![classes], Role::Offset),
    ]
}

impl Embedding {
    /// Loads everything that `config` names.
    ///
    /// # Errors
    /// Pictures or tables that are missing or broken.
    pub fn load(config: &RunConfig, device: Device) -> Result<Self, Fault> {
        let dataset = Arc::new(load_dataset(config)?);
        let size = config.network.input_size;
        Ok(Self {
            target: Target::load(config, &dataset, device)?,
            measurer: Measurer::new(&config.evaluate, &dataset, size, config.seed)?,
            config: config.clone(),
            dataset,
            loader: None,
            device,
        })
    }
}

impl Task for Embedding {
    type Batch = Batch;

    fn head(&self) -> Vec<ParamSpec> {
        match self.config.loss.needs_head() {
            true => head_specs(self.dataset.people().len()),
            false => Vec::new(),
        }
    }

    fn begin(&mut self, step: u64) -> Result<(), Fault> {
        let sampler = Sampler::new(&self.dataset, self.config.batch, self.config.seed)?;
        let workers = workers(self.config.data.workers);
        self.loader = Some(Loader::start(
            Work {
                dataset: Arc::clone(&self.dataset),
                sampler,
                augment: self.config.augment.clone(),
                out_size: self.config.network.input_size,
                clean: self.target.looks(),
            },
            step,
            workers,
            self.config.data.prefetch.max(workers),
        )?);
        Ok(())
    }

    fn next_batch(&mut self) -> Result<Batch, Fault> {
        Ok(self.loader.as_mut().expect("the loop begins before it asks").next_batch()?)
    }

    fn pixels<'a>(&self, batch: &'a Batch) -> (Pixels<'a>, Duration) {
        ((&batch.pixels, [batch.size; 2]), batch.waited)
    }

    fn loss(
        &self,
        batch: &Batch,
        images: &Tensor,
        outputs: &[Tensor],
        params: &Parameters,
    ) -> Terms {
        let teacher = self.target.of(batch, images);
        let labels = send(&Tensor::from_slice(&batch.labels), self.device);
        let labelled: Vec<i64> =
            (0..).zip(&batch.labels).filter(|(_, l)| **l >= 0).map(|(i, _)| i).collect();
        let head = params.find(HEAD[0]).zip(params.find(HEAD[1]));
        full(
            &self.config.loss,
            &Inputs {
                raw: &embedding_of(outputs),
                labels: &labels,
                labelled: &send(&Tensor::from_slice(&labelled), self.device),
                head,
                teacher: teacher.as_ref(),
                bank: self.target.bank.as_ref(),
            },
        )
    }

    fn measure(&self, network: TorchNetwork) -> Result<Measured, Fault> {
        let m = self.measurer.measure(TorchEmbedder::new(network))?;
        let mut figures = Map::new();
        let mut note = |key: &str, value: f64| figures.insert(key.into(), json!(value));
        if let Some(report) = &m.held_out {
            note("val_auc", report.auc);
            note("val_eer", report.eer);
            note("val_accuracy", report.accuracy.mean);
        }
        let mut charts = Vec::new();
        if let Some((report, scored)) = &m.lfw {
            note("lfw_accuracy", report.accuracy.mean);
            note("lfw_auc", report.auc);
            for t in &report.tar_at_far {
                note(&format!("lfw_tar_at_far_{}", t.far), t.tar);
            }
            charts.push(("roc", roc_chart(&[("LFW", &roc(scored)?[..])])));
        }
        let headline = &["val_auc", "lfw_accuracy"];
        Ok(Measured { figures, headline, watched: m.watched(), charts })
    }

    fn calibration_pixels(&self, count: usize) -> (Vec<u8>, [usize; 2]) {
        let size = self.config.network.input_size;
        (training_pixels(&self.dataset, size, count), [size; 2])
    }

    fn curves(&self) -> &'static [Curves] {
        &[
            Curves {
                file: "loss",
                title: "Loss",
                y: "loss",
                series: &[
                    ("loss", "loss"),
                    ("cross_entropy", "cross_entropy"),
                    ("triplet", "triplet"),
                    ("angular", "angular"),
                    ("distill_cosine", "distill_cosine"),
                    ("distill_bank", "distill_bank"),
                ],
            },
            Curves {
                file: "accuracy",
                title: "Verification",
                y: "share",
                series: &[
                    ("lfw_accuracy", "LFW accuracy"),
                    ("val_accuracy", "accuracy on people held out"),
                    ("val_auc", "AUC on people held out"),
                ],
            },
        ]
    }
}
