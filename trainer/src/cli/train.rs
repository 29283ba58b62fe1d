use super::{Failure, Outcome, code, config as bad_config, data};
use crate::{
    engine,
    run::{Config, Fault, Options, RunFolder, Task, TrainError, Training},
};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Start a training run from a configuration.
#[derive(clap::Args)]
pub struct Train {
    /// The configuration; docs/training.md lists its keys.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Folder of the new run.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Change one key of the configuration: `--set optimizer.rate=0.001`.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    machine: Machine,
}

/// Go on with a run from its latest checkpoint.
#[derive(clap::Args)]
pub struct Resume {
    /// Folder of the run.
    run: PathBuf,
    #[command(flatten)]
    machine: Machine,
}

/// What to compute with. None of it changes a run's numbers on a CPU but the number of threads,
/// which decides the order of additions.
#[derive(clap::Args)]
pub struct Machine {
    /// auto, cpu or cuda.
    #[arg(long, default_value = "auto")]
    device: String,
    /// CPU threads that libtorch computes with; by default all cores, or two beside a GPU.
    #[arg(long, value_name = "N")]
    threads: Option<i32>,
    /// Minutes after which training ends with a checkpoint, as Ctrl-C would end it.
    #[arg(long, value_name = "N")]
    minutes: Option<f64>,
    /// Activations in bfloat16: on a GPU half the memory and more speed.
    #[arg(long)]
    pub bf16: bool,
}

impl Machine {
    /// The device, with the threads set.
    pub fn prepare(&self) -> Result<tch::Device, Failure> {
        let device = engine::pick(Some(&self.device)).map_err(bad_config)?;
        engine::prepare(device, self.threads);
        Ok(device)
    }
}

/// How a task comes of its configuration.
pub type Load<C, T> = fn(&C, tch::Device) -> Result<T, Fault>;

impl Train {
    /// Trains what `load` makes of the configuration.
    pub fn run<C: Config, T: Task>(&self, load: Load<C, T>) -> Outcome {
        let path = self.config.display();
        let text = std::fs::read_to_string(&self.config)
            .map_err(|e| bad_config(format!("{path}: {e}")))?;
        let text = with_changes(&text, &self.set).map_err(bad_config)?;
        let config = C::parse(&text).map_err(|e| bad_config(format!("{path}: {e}")))?;
        RunFolder::expect_none(&self.out).map_err(data)?;
        let text = config.to_toml();
        go(|| RunFolder::create(&self.out, &text), &self.out, config, &self.machine, load)
    }
}

impl Resume {
    /// Goes on with what `load` makes of the run's configuration.
    pub fn run<C: Config, T: Task>(&self, load: Load<C, T>) -> Outcome {
        let (folder, config) = RunFolder::open(&self.run).map_err(data)?;
        go(|| Ok(folder), &self.run, config, &self.machine, load)
    }
}

/// The configuration's text with single keys replaced.
fn with_changes(text: &str, changes: &[String]) -> Result<String, String> {
    let mut root: toml::Table = toml::from_str(text).map_err(|e| e.to_string())?;
    for change in changes {
        let (key, value) = change
            .split_once('=')
            .ok_or_else(|| format!("--set {change}: write it as key=value"))?;
        let parsed = toml::from_str::<toml::Table>(&format!("v = {value}"))
            .or_else(|_| toml::from_str(&format!("v = {value:?}")))
            .map_err(|e| format!("--set {change}: {e}"))?;
        let mut path: Vec<_> = key.trim().split('.').collect();
        let last = path.pop().unwrap_or_default();
        let mut table = &mut root;
        for part in path {
            table = table
                .entry(part)
                .or_insert_with(|| toml::Table::new().into())
                .as_table_mut()
                .ok_or_else(|| format!("--set {change}: {part} is not a table"))?;
        }
        table.insert(last.to_owned(), parsed["v"].clone());
    }
    toml::to_string(&root).map_err(|e| e.to_string())
}

/// Runs what a folder and a configuration say, to the end or to where it is stopped. The folder is made once
/// everything that the run reads is found good.
pub fn go<C: Config, T: Task>(
    folder: impl FnOnce() -> Result<RunFolder, String>,
    path: &Path,
    config: C,
    machine: &Machine,
    load: Load<C, T>,
) -> Outcome {
    let start = Instant::now();
    let device = machine.prepare()?;
    log::info!("training on {}", engine::describe(device));
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let handler = move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        log::info!("stopping after this step; once more to stop at once, without a checkpoint");
    };
    if let Err(e) = ctrlc::set_handler(handler) {
        log::warn!("Ctrl-C will end the run without a checkpoint: {e}");
    }
    let budget = machine.minutes.map(|m| Duration::from_secs_f64(m.clamp(0.0, 1e6) * 60.0));
    let deadline = budget.map(|budget| start + budget);
    let options = Options { device, bf16: machine.bf16, stop, deadline };
    let task = load(&config, device).map_err(data)?;
    let folder = folder().map_err(data)?;
    let training = Training::prepare(folder, config, task, options).map_err(failure)?;
    let summary = training.run().map_err(failure)?;
    let best = summary.best.map(|b| format!(", best {b:.4}")).unwrap_or_default();
    let (step, path) = (summary.step, path.display());
    if summary.finished {
        println!("finished after {step} steps{best}: {path}");
    } else {
        println!("stopped after {step} steps{best}: `facelatch-train resume {path}` goes on");
    }
    Ok(())
}

fn failure(error: TrainError) -> Failure {
    let code = match error {
        TrainError::NotFinite { .. } => code::SOFTWARE,
        _ => code::DATA,
    };
    Failure::new(code, &error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_can_be_changed_from_the_command_line() {
        let text = "seed = 1\n[optimizer]\nrate = 0.1\n";
        let changes =
            ["seed=7", "optimizer.rate=0.5", "evaluate.lfw=a/b.zip", "loss.mining=random"];
        let changed = with_changes(text, &changes.map(str::to_owned)).unwrap();
        let table: toml::Table = toml::from_str(&changed).unwrap();
        assert_eq!(table["seed"].as_integer(), Some(7));
        assert_eq!(table["optimizer"]["rate"].as_float(), Some(0.5));
        assert_eq!(table["evaluate"]["lfw"].as_str(), Some("a/b.zip"));
        for bad in ["seed", "seed.x=1"] {
            assert!(with_changes(text, &[bad.to_owned()]).is_err(), "{bad}");
        }
    }
}
