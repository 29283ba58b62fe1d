use super::{Config, Schedule, Signed, Start};
use crate::{
    data::{Augment, BatchPlan, Limits, Plan, Source},
    engine::OptimizerKind,
    loss::LossConfig,
    net::{Architecture, Graph},
};
use facelatch::embed::Contract;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Everything that decides a run, as `run.toml` holds it. Relative paths are relative to the folder
/// that the program is started in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunConfig {
    /// Decides starting weights, batches and augmentation.
    pub seed: u64,
    /// Updates to make.
    pub steps: u64,
    /// Checkpoint whose weights the run starts from, of any input size, or a list of them for their mean; optimizer
    /// state is not taken.
    pub start: Option<Start>,
    /// Train with fake quantization, batch norm folded and frozen, from `start`.
    pub quantize_aware: bool,
    /// The network.
    pub network: Architecture,
    /// The pictures.
    pub data: DataConfig,
    /// What a batch is made of.
    pub batch: Plan,
    /// Random changes to each picture.
    pub augment: Augment,
    /// What is minimised.
    pub loss: LossConfig,
    /// How.
    pub optimizer: OptimizerConfig,
    /// How often to measure, and on what.
    pub evaluate: EvaluateConfig,
    /// How often to save, and how much to keep.
    pub checkpoint: CheckpointConfig,
}

/// Where the pictures are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// Folders or zip files.
    pub sources: Vec<Source>,
    /// How much of them is kept, and at which size.
    pub limits: Limits,
    /// Folder of the teacher's embeddings, `NAME.safetensors` and `NAME.txt` for each source.
    pub teacher_tables: Option<PathBuf>,
    /// The teacher's own weights; with these it looks at the student's views as they are before light, covers, lens
    /// and sensor. The bank of `loss.distill_bank` comes from the tables where there are any, else from these.
    pub teacher: Option<PathBuf>,
    /// At which views; without tables at every one.
    pub teacher_sees: Sees,
    /// Threads that prepare batches; 0 = as many as there are spare cores, at least one.
    pub workers: usize,
    /// Batches prepared ahead, at least one for each of the workers.
    pub prefetch: usize,
}

/// The views that the teacher itself looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sees {
    /// Those that the tables have no row for: blends of `augment.mix` first of all.
    #[default]
    Rowless,
    /// Every one, so that its target is of the same shift, scale and turn.
    Every,
}

/// The optimizer and its schedule: the rate rises linearly during `warmup` steps and then falls along
/// a cosine to `final_rate`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerConfig {
    /// The update rule.
    pub kind: OptimizerKind,
    /// Largest learning rate.
    pub rate: f64,
    /// Learning rate of the last step.
    pub final_rate: f64,
    /// Steps of linear rise.
    pub warmup: u64,
    /// Share of `rate` by which weights (not offsets, not batch norm) shrink each step.
    pub weight_decay: f64,
    /// Share of the moving average of all weights kept at each step; 0 = no averaging.
    pub average: f64,
    /// Largest Euclidean length of the whole gradient; 0 = unbounded.
    pub clip: f64,
}

/// When and on what the run is measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluateConfig {
    /// Steps between two measurements.
    pub every: u64,
    /// Folder or zip with LFW's `pairs.txt`, `landmarks.tsv` and `images/`.
    pub lfw: Option<PathBuf>,
    /// Pairs drawn from the people held out, half of them of one person.
    pub val_pairs: usize,
}

/// When a run saves itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointConfig {
    /// Steps between two checkpoints.
    pub every: u64,
    /// How many of the latest to keep, at least 1; the best one is kept apart.
    pub keep: usize,
    /// Steps between two lines of `metrics.jsonl`.
    pub log_every: u64,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            steps: 20_000,
            start: None,
            quantize_aware: false,
            network: Architecture::default(),
            data: DataConfig::default(),
            batch: Plan::Blocks(BatchPlan { people: 8, per_person: 4, free: 0 }),
            augment: Augment::default(),
            loss: LossConfig::default(),
            optimizer: OptimizerConfig::default(),
            evaluate: EvaluateConfig::default(),
            checkpoint: CheckpointConfig::default(),
        }
    }
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            sources: Vec::new(),
            limits: Limits::default(),
            teacher_tables: None,
            teacher: None,
            teacher_sees: Sees::default(),
            workers: 0,
            prefetch: 4,
        }
    }
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            kind: OptimizerKind::Adam,
            rate: 2e-3,
            final_rate: 1e-5,
            warmup: 500,
            weight_decay: 0.05,
            average: 0.999,
            clip: 0.0,
        }
    }
}

impl Default for EvaluateConfig {
    fn default() -> Self {
        Self { every: 1_000, lfw: None, val_pairs: 4_000 }
    }
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { every: 500, keep: 2, log_every: 50 }
    }
}

impl OptimizerConfig {
    /// Learning rate of a step (the first is 0) of a run of `steps`.
    pub fn rate_at(&self, step: u64, steps: u64) -> f64 {
        if step < self.warmup {
            return self.rate * (step + 1) as f64 / self.warmup as f64;
        }
        let length = steps.saturating_sub(self.warmup + 1).max(1) as f64;
        let done = ((step - self.warmup) as f64 / length).min(1.0);
        let cosine = (1.0 + (std::f64::consts::PI * done).cos()) / 2.0;
        self.final_rate + (self.rate - self.final_rate) * cosine
    }
}

impl Config for RunConfig {
    fn check(&self) -> Result<(), String> {
        self.network.graph()?;
        self.loss.check()?;
        self.augment.check().map_err(|e| e.to_string())?;
        self.schedule().check()?;
        if self.data.prefetch == 0 {
            return Err("data.prefetch is 0; it must be at least 1".into());
        }
        if self.data.sources.is_empty() {
            return Err("data.sources is empty; name at least one folder or zip of faces".into());
        }
        if self.loss.needs_teacher()
            && self.data.teacher_tables.is_none()
            && self.data.teacher.is_none()
        {
            return Err(
                "a distillation term is on, but neither data.teacher_tables nor data.teacher \
                        says whose embeddings to learn"
                    .into(),
            );
        }
        if self.augment.mix > 0.0 && self.loss.needs_teacher() && self.data.teacher.is_none() {
            return Err("augment.mix blends faces, and no table has a row for those: name the \
                        teacher's weights as data.teacher"
                .into());
        }
        if self.data.teacher_sees == Sees::Every && self.data.teacher.is_none() {
            return Err(
                "data.teacher_sees is every: name the teacher's weights as data.teacher".into()
            );
        }
        Ok(())
    }

    fn sources(&self) -> String {
        let names = self.data.sources.iter().map(|s| s.name.as_str());
        names.collect::<Vec<_>>().join(", ")
    }

    fn contract(&self, signed: Signed) -> Vec<(String, String)> {
        let Signed { training_data, metrics, weights_sha256, created } = signed;
        Contract {
            input_size: self.network.input_size as u32,
            backbone: serde_name(&self.network.backbone),
            alpha: self.network.alpha as f32,
            training_data,
            metrics,
            weights_sha256,
            created,
        }
        .to_props()
    }

    fn graph(&self) -> Result<Graph, String> {
        self.network.graph()
    }

    fn schedule(&self) -> Schedule<'_> {
        Schedule {
            seed: self.seed,
            steps: self.steps,
            start: self.start.as_ref(),
            quantize_aware: self.quantize_aware,
            optimizer: &self.optimizer,
            checkpoint: &self.checkpoint,
            measure_every: self.evaluate.every,
        }
    }

    fn set_steps(&mut self, steps: u64) {
        self.steps = steps;
    }
}

/// The text that a unit variant is written as.
fn serde_name<T: Serialize>(value: &T) -> String {
    let value = serde_json::to_value(value).expect("a unit variant serialises");
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minimal() -> RunConfig {
        let mut config = RunConfig::default();
        config.data.sources.push(Source::new("casia", "faces/casia.zip"));
        config
    }

    #[test]
    fn a_configuration_survives_its_own_text() {
        let config = minimal();
        assert_eq!(RunConfig::parse(&config.to_toml()).unwrap(), config);
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        let with =
            |line: &str| format!("{line}\n[[data.sources]]\nname = \"a\"\npath = \"faces\"\n");
        for (line, word) in [
            ("stepz = 3", "stepz"),
            ("steps = 0", "steps"),
            ("quantize_aware = true", "start"),
            ("start = []", "start"),
            ("optimizer = { rate = -1.0 }", "optimizer.rate"),
            ("optimizer = { kind = \"lion\" }", "lion"),
            ("loss = { distill_cosine = 1.0 }", "data.teacher"),
            ("loss = { mining = \"soft\" }", "soft"),
            ("network = { input_size = 99 }", "input_size"),
            ("augment = { mix = 1.5 }", "augment.mix"),
            ("data.teacher_sees = \"every\"", "data.teacher_sees"),
            ("data.teacher_sees = \"some\"", "some"),
            (
                "augment = { mix = 0.5 }\nloss = { distill_bank = 1.0 }\n\
                 data.teacher_tables = \"t\"",
                "data.teacher",
            ),
        ] {
            let error = RunConfig::parse(&with(line)).unwrap_err();
            assert!(error.contains(word), "{line}: {error}");
        }
        assert!(RunConfig::parse("").unwrap_err().contains("data.sources"));
        RunConfig::parse(&with("")).unwrap();
    }

    #[test]
    fn the_rate_rises_and_falls() {
        let o = OptimizerConfig { rate: 1.0, final_rate: 0.1, warmup: 4, ..Default::default() };
        for (step, expected) in [(0, 0.25), (3, 1.0), (4, 1.0), (104, 0.1), (54, 0.55), (500, 0.1)]
        {
            let got = o.rate_at(step, 105);
            assert!((got - expected).abs() < 1e-9, "step {step}: {got} instead of {expected}");
        }
    }
}
