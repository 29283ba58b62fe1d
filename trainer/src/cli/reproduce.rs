use super::{
    Failure, Outcome,
    export::AboutArgs,
    quantize::Quantize,
    train::{Machine, Precision, Stint, configured, go},
};
use crate::{
    onnx::Method,
    run::{Embedding, RunConfig, RunFolder},
};
use facelatch::config::read_toml;
use serde::Deserialize;
use std::{
    path::{Path, PathBuf},
    time::Instant,
};

/// Repeat how networks were made, from pictures to int8 files: stage after stage, each from the best weights of the
/// one before, or of those that it names.
///
/// What is finished is not done again: stopped anywhere, the same command goes on.
#[derive(clap::Args)]
pub struct Reproduce {
    /// The stages, as trainer/recipes/embedding.toml has them for the networks that ship.
    recipe: PathBuf,
    /// Folder of the stages' runs and of the files.
    #[arg(long, value_name = "FOLDER", default_value = "runs/reproduce")]
    out: PathBuf,
    #[command(flatten)]
    machine: Machine,
    /// Minutes after which training ends with a checkpoint, as Ctrl-C would end it.
    #[arg(long, value_name = "N")]
    minutes: Option<f64>,
    #[command(flatten)]
    precision: Precision,
}

/// The stages of one network or several, and how they are quantized.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recipe {
    /// What it says of its training data.
    training_data: String,
    /// How the ranges of its activations are chosen.
    ranges: String,
    stages: Vec<Stage>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stage {
    /// Its folder.
    name: String,
    /// Its configuration, beside the recipe.
    config: PathBuf,
    /// The stages from whose best weights it begins, from their mean where there are several; by default the one
    /// before.
    #[serde(default)]
    from: Vec<String>,
    /// Keys that differ, as `train --set` takes them.
    #[serde(default)]
    set: Vec<String>,
    /// The int8 file that is made of it; of the last stage one is.
    file: Option<String>,
}

impl Reproduce {
    pub fn run(self) -> Outcome {
        let (recipe, method) = read(&self.recipe)?;
        let begun = Instant::now();
        let of = recipe.stages.len();
        for (n, stage) in (1..).zip(&recipe.stages) {
            let run = self.out.join(&stage.name);
            println!("{n}/{of} {}", stage.name);
            let left = self.minutes.map(|all| all - begun.elapsed().as_secs_f64() / 60.0);
            if !self.finish(stage, &run, left)? {
                println!("the same `facelatch-train reproduce` goes on");
                return Ok(());
            }
            if let Some(file) = &stage.file {
                let int8 = self.out.join(file);
                let mut quantize = Quantize::new(&run, &int8, self.machine.clone());
                (quantize.method, quantize.about) = (method, AboutArgs::of(&recipe.training_data));
                quantize.run()?;
                println!(
                    "measure it: facelatch evaluate --model {} --images LFW --cross-pairs",
                    int8.display()
                );
            }
        }
        Ok(())
    }

    /// Brings one stage to its end; whether it came there.
    fn finish(&self, stage: &Stage, run: &Path, minutes: Option<f64>) -> Result<bool, Failure> {
        let (folder, config) = match run.join("run.toml").exists() {
            true => RunFolder::open(run).map_err(super::data)?,
            false => (RunFolder::new(run).map_err(super::data)?, self.configured(stage)?),
        };
        let latest = folder.latest().map_err(super::data)?;
        if latest.is_some_and(|latest| latest.step >= config.steps) && folder.best().exists() {
            println!("is finished: {}", run.display());
            return Ok(true);
        }
        let stint = Stint { minutes, fit: false, precision: self.precision };
        go(folder, run, config, &self.machine, &stint, Embedding::load)
    }

    fn configured(&self, stage: &Stage) -> Result<RunConfig, Failure> {
        let best = |stage: &String| {
            let (run, _) =
                RunFolder::open::<RunConfig>(&self.out.join(stage)).map_err(super::data)?;
            Ok(format!("{:?}", run.best().display().to_string()))
        };
        let best = stage.from.iter().map(best).collect::<Result<Vec<_>, Failure>>()?;
        let start = (!best.is_empty()).then(|| format!("start=[{}]", best.join(", ")));
        let set: Vec<_> = stage.set.iter().cloned().chain(start).collect();
        configured(&self.recipe.with_file_name(&stage.config), &set)
    }
}

fn read(path: &Path) -> Result<(Recipe, Method), Failure> {
    let text = std::fs::read_to_string(path).map_err(|e| Failure::input(path, &e))?;
    let bad = |why: String| super::config(format!("{}: {why}", path.display()));
    let mut recipe: Recipe = read_toml(&text).map_err(bad)?;
    let method = recipe.ranges.parse().map_err(|why| bad(format!("ranges: {why}")))?;
    if recipe.stages.is_empty() {
        return Err(bad("no stage is in it; write a table [[stages]] for each".to_owned()));
    }
    let is_name = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
            && name != ".."
    };
    let is_file = |file: &String| is_name(file) && file.ends_with(".onnx");
    for (i, Stage { name, file, from, .. }) in recipe.stages.iter().enumerate() {
        let is_before = |name: &String| recipe.stages[..i].iter().any(|s| s.name == *name);
        if let Some(other) = from.iter().find(|name| !is_before(name)) {
            return Err(bad(format!("stages.{i}: from: {other:?} is no stage before it")));
        }
        let is_twice = |(n, name)| from[..n].contains(name);
        if let Some((_, other)) = from.iter().enumerate().find(|&named| is_twice(named)) {
            return Err(bad(format!("stages.{i}: from: {other:?} is named twice")));
        }
        if !is_name(name) || is_before(name) {
            return Err(bad(format!(
                "stages.{i}: {name:?} cannot be its folder; choose letters, digits, - and _, a name for each"
            )));
        }
        if file.as_ref().is_some_and(|file| !is_file(file)) {
            return Err(bad(format!("stages.{i}: file: choose a name that ends in .onnx")));
        }
    }
    if recipe.stages.last().is_some_and(|last| last.file.is_none()) {
        return Err(bad("the last stage makes no file; say file = \"NAME.onnx\"".to_owned()));
    }
    for i in 1..recipe.stages.len() {
        if recipe.stages[i].from.is_empty() {
            recipe.stages[i].from = vec![recipe.stages[i - 1].name.clone()];
        }
    }
    Ok((recipe, method))
}
