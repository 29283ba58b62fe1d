use super::Compose;
use crate::{
    data::Augment,
    net::{DetectorArchitecture, Graph},
    run::{CheckpointConfig, Config, OptimizerConfig, Schedule, Signed, Start},
};
use facelatch::detect::DetectorContract;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Everything that decides a detector's run, as `run.toml` holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DetectConfig {
    /// Decides starting weights and canvases.
    pub seed: u64,
    /// Updates to make.
    pub steps: u64,
    /// Checkpoint whose weights the run starts from, or a list of them for their mean; optimizer state is not taken.
    pub start: Option<Start>,
    /// Simulate int8 in the forward pass, with ranges found at the start.
    pub quantize_aware: bool,
    /// Canvases in a batch.
    pub batch: usize,
    /// The network.
    pub network: DetectorArchitecture,
    /// The pictures.
    pub data: DetectData,
    /// How canvases are put together.
    pub compose: Compose,
    /// Light, lens, sensor and stream. Its geometry, flip and occlusion are not used: [`Compose`] has
    /// its own.
    pub augment: Augment,
    /// The loss.
    pub loss: DetectLoss,
    /// The optimizer and its schedule.
    pub optimizer: OptimizerConfig,
    /// When and on what the run is measured.
    pub evaluate: DetectEvaluate,
    /// When the run saves itself.
    pub checkpoint: CheckpointConfig,
}

/// The pictures of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DetectData {
    /// Folders or zips with an `annotations.jsonl`.
    pub pictures: Vec<PathBuf>,
    /// Pictures of each split used at most, evenly spread; 0 = all.
    pub limit: usize,
    /// Threads that compose canvases; 0 = as many as there are spare cores, at least one.
    pub workers: usize,
    /// Batches prepared ahead, at least one.
    pub prefetch: usize,
}

/// Weights of the terms of the loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DetectLoss {
    /// Quality focal loss of the scores.
    pub score: f64,
    /// 1 − generalised IoU of the boxes.
    pub bounds: f64,
    /// Distance of the landmarks in shares of the face's size.
    pub landmarks: f64,
}

/// When and on what a detector's run is measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DetectEvaluate {
    /// Steps between two measurements.
    pub every: u64,
    /// Held-out pictures used at most, evenly spread.
    pub pictures: usize,
}

impl Default for DetectConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            steps: 20_000,
            start: None,
            quantize_aware: false,
            batch: 16,
            network: DetectorArchitecture::default(),
            data: DetectData::default(),
            compose: Compose::default(),
            augment: Augment::default(),
            loss: DetectLoss::default(),
            optimizer: OptimizerConfig::default(),
            evaluate: DetectEvaluate::default(),
            checkpoint: CheckpointConfig::default(),
        }
    }
}

impl Default for DetectData {
    fn default() -> Self {
        Self { pictures: Vec::new(), limit: 0, workers: 0, prefetch: 4 }
    }
}

impl Default for DetectLoss {
    fn default() -> Self {
        Self { score: 1.0, bounds: 1.0, landmarks: 5.0 }
    }
}

impl Default for DetectEvaluate {
    fn default() -> Self {
        Self { every: 1_000, pictures: 400 }
    }
}

impl Config for DetectConfig {
    fn check(&self) -> Result<(), String> {
        self.network.graph()?;
        self.compose.check()?;
        self.augment.check().map_err(|e| e.to_string())?;
        self.schedule().check()?;
        if self.batch == 0 || self.data.prefetch == 0 {
            return Err("batch or data.prefetch is 0; each must be at least 1".into());
        }
        let l = &self.loss;
        for (name, weight) in [("score", l.score), ("bounds", l.bounds), ("landmarks", l.landmarks)]
        {
            if !(weight.is_finite() && weight >= 0.0) {
                return Err(format!("loss.{name} is {weight}; a weight is 0 or more"));
            }
        }
        if self.data.pictures.is_empty() {
            return Err("data.pictures is empty; name at least one folder or zip with an \
                        annotations.jsonl"
                .into());
        }
        Ok(())
    }

    fn sources(&self) -> String {
        let name =
            |path: &PathBuf| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        self.data.pictures.iter().map(name).collect::<Vec<_>>().join(", ")
    }

    fn contract(&self, signed: Signed) -> Vec<(String, String)> {
        let Signed { training_data, metrics, weights_sha256, created } = signed;
        let input = [self.network.width as u32, self.network.height as u32];
        DetectorContract { input, training_data, metrics, weights_sha256, created }.to_props()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_survives_its_own_text_and_what_cannot_work_is_refused_by_name() {
        let mut config = DetectConfig::default();
        config.data.pictures.push("detect.zip".into());
        assert_eq!(DetectConfig::parse(&config.to_toml()).unwrap(), config);
        let with = |line: &str| format!("{line}\n[data]\npictures = [\"a.zip\"]\n");
        for (line, word) in [
            ("batch = 0", "batch"),
            ("steps = 0", "steps"),
            ("quantize_aware = true", "start"),
            ("network = { width = 10 }", "network.width"),
            ("loss = { bounds = -1.0 }", "loss.bounds"),
            ("compose = { face_px = [0.0, 3.0] }", "compose.face_px"),
            ("colour = 1", "colour"),
        ] {
            let error = DetectConfig::parse(&with(line)).unwrap_err();
            assert!(error.contains(word), "{line}: {error}");
        }
        assert!(DetectConfig::parse("").unwrap_err().contains("data.pictures"));
    }
}
