use super::{Failure, Outcome, code, config as bad_config, data};
use crate::{
    engine,
    run::{Config, Fault, Options, RunFolder, Task, TrainError, Training},
};
use facelatch::config::read_toml;
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
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
    #[command(flatten)]
    stint: Stint,
}

/// Go on with a run from its latest checkpoint.
#[derive(clap::Args)]
pub struct Resume {
    /// Folder of the run.
    run: PathBuf,
    #[command(flatten)]
    machine: Machine,
    #[command(flatten)]
    stint: Stint,
}

/// What to compute with. None of it changes a run's numbers on a CPU but the number of threads,
/// which decides the order of additions.
#[derive(clap::Args, Clone)]
pub struct Machine {
    /// auto, cpu or cuda.
    #[arg(long, default_value = "auto")]
    device: String,
    /// CPU threads that libtorch computes with; by default all cores, or two beside a GPU.
    #[arg(long, value_name = "N")]
    threads: Option<i32>,
}

/// How far to train now, and how exactly.
#[derive(clap::Args, Default)]
pub struct Stint {
    /// Minutes after which training ends with a checkpoint, as Ctrl-C would end it.
    #[arg(long, value_name = "N")]
    pub minutes: Option<f64>,
    /// Set the number of steps to what those minutes allow, once the speed is known, so that the rate has fallen to its
    /// end by then.
    #[arg(long, requires = "minutes")]
    pub fit: bool,
    #[command(flatten)]
    pub precision: Precision,
}

/// The kind of the activations.
#[derive(clap::Args, Clone, Copy, Default)]
pub struct Precision {
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
        let config = configured(&self.config, &self.set)?;
        let folder = RunFolder::new(&self.out).map_err(data)?;
        go(folder, &self.out, config, &self.machine, &self.stint, load).map(drop)
    }
}

impl Resume {
    /// Goes on with what `load` makes of the run's configuration.
    pub fn run<C: Config, T: Task>(&self, load: Load<C, T>) -> Outcome {
        let (folder, config) = RunFolder::open(&self.run).map_err(data)?;
        go(folder, &self.run, config, &self.machine, &self.stint, load).map(drop)
    }
}

/// The configuration of a file, with single keys replaced.
///
/// The file is understood as it stands first, so that what is said of it is said of its own lines.
pub fn configured<C: Config>(path: &Path, changes: &[String]) -> Result<C, Failure> {
    let text = std::fs::read_to_string(path).map_err(|e| Failure::input(path, &e))?;
    let bad = |why: String| bad_config(format!("{}: {why}", path.display()));
    let mut config: C = read_toml(&text).map_err(bad)?;
    let mut root: toml::Table = read_toml(&text).map_err(bad)?;
    for change in changes {
        change_one(&mut root, change)
            .and_then(|()| root.clone().try_into().map_err(|e| e.to_string()))
            .map(|changed| config = changed)
            .map_err(|why| bad_config(format!("--set {change}: {why}")))?;
    }
    config.check().map_err(bad)?;
    Ok(config)
}

/// Puts `a.0.b=value` where it belongs: names are keys of tables, numbers places in lists.
fn change_one(root: &mut toml::Table, change: &str) -> Result<(), String> {
    let (key, value) = change.split_once('=').ok_or("write it as KEY=VALUE")?;
    let parsed: toml::Table = toml::from_str(&format!("v = {value}"))
        .or_else(|_| toml::from_str(&format!("v = {value:?}")))
        .map_err(|e| e.message().to_owned())?;
    let (tables, last) = match key.trim().rsplit_once('.') {
        Some((tables, last)) => (Some(tables), last),
        None => (None, key.trim()),
    };
    let mut table = root;
    let mut parts = tables.into_iter().flat_map(|tables| tables.split('.')).peekable();
    while let Some(part) = parts.next() {
        let next = table.entry(part).or_insert_with(|| toml::Table::new().into());
        table = match next {
            toml::Value::Table(next) => next,
            toml::Value::Array(list) => {
                let place = parts.next().unwrap_or(last);
                let length = list.len();
                let entry = place.parse().ok().and_then(|i: usize| list.get_mut(i));
                let table = entry.and_then(|entry| entry.as_table_mut());
                table.ok_or_else(|| {
                    format!("{part} is a list of {length}: write {part}.NUMBER.KEY, from 0 on")
                })?
            }
            _ => return Err(format!("{part} is a value and has no keys of its own")),
        };
    }
    table.insert(last.to_owned(), parsed["v"].clone());
    Ok(())
}

/// Runs what a folder and a configuration say, to the end or to where it is stopped; whether that is its end.
pub fn go<C: Config, T: Task>(
    folder: RunFolder,
    path: &Path,
    config: C,
    machine: &Machine,
    stint: &Stint,
    load: Load<C, T>,
) -> Result<bool, Failure> {
    let start = Instant::now();
    let device = machine.prepare()?;
    log::info!("training on {}", engine::describe(device));
    let stop = stopped();
    let budget = stint.minutes.map(|m| Duration::from_secs_f64(m.clamp(0.0, 1e6) * 60.0));
    let deadline = budget.map(|budget| start + budget);
    let options = Options { device, bf16: stint.precision.bf16, stop, deadline, fit: stint.fit };
    let task = load(&config, device).map_err(data)?;
    let training = Training::prepare(folder, config, task, options).map_err(failure)?;
    let summary = training.run().map_err(failure)?;
    let best = summary.best.map(|b| format!(", best {b:.4}")).unwrap_or_default();
    let (step, path) = (summary.step, path.display());
    if summary.finished {
        println!("finished after {step} steps{best}: {path}");
    } else {
        println!("stopped after {step} steps{best}: `facelatch-train resume {path}` goes on");
    }
    Ok(summary.finished)
}

/// Whether somebody has asked for the end: by Ctrl-C, or by SIGTERM.
fn stopped() -> Arc<AtomicBool> {
    static STOP: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    let listen = || {
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
        stop
    };
    Arc::clone(STOP.get_or_init(listen))
}

fn failure(error: TrainError) -> Failure {
    match error {
        TrainError::NotFinite { .. } => Failure::new(code::SOFTWARE, &error.to_string()),
        TrainError::Folder(_) => Failure::new(code::CANNOT_CREATE, &error.to_string()),
        error => data(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::RunConfig;

    const TEXT: &str =
        "seed = 1\n[optimizer]\nrate = 0.1\n[[data.sources]]\nname = \"a\"\npath = \"b\"\n";

    fn with(changes: &[&str]) -> Result<RunConfig, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), TEXT).unwrap();
        let changes: Vec<_> = changes.iter().map(|change| (*change).to_owned()).collect();
        configured(file.path(), &changes).map_err(|e| e.message)
    }

    #[test]
    fn one_key_can_be_changed_from_the_command_line() {
        let config = with(&[
            "seed=7",
            "optimizer.rate=0.5",
            "evaluate.lfw=a/b.zip",
            "loss.mining=random",
            "data.sources.0.path=\"c d\"",
        ])
        .unwrap();
        assert_eq!((config.seed, config.optimizer.rate), (7, 0.5));
        assert_eq!(config.evaluate.lfw.unwrap(), Path::new("a/b.zip"));
        assert_eq!(config.loss.mining, crate::loss::Mining::Random);
        assert_eq!(config.data.sources[0].path, Path::new("c d"));
    }

    #[test]
    fn a_change_that_cannot_be_says_which_and_why() {
        for (change, words) in [
            ("seed", &["--set seed: ", "KEY=VALUE"][..]),
            ("seed.x=1", &["--set seed.x=1: ", "seed is a value"]),
            ("sed=1", &["--set sed=1: ", "unknown field `sed`"]),
            ("seed=many", &["--set seed=many: ", "invalid type"]),
            ("data.sources.1.path=x", &["sources is a list of 1", "sources.NUMBER.KEY"]),
            ("data.sources.path=x", &["sources is a list of 1"]),
            ("optimizer.rate=-1", &["optimizer.rate is -1"]),
        ] {
            let error = with(&[change]).unwrap_err();
            assert!(words.iter().all(|word| error.contains(word)), "{change}: {error}");
        }
    }

    #[test]
    fn a_fault_of_the_file_is_named_by_its_own_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (text, words) in [
            ("# a comment\n\n[optimizer]\nratee = 1\n", &["line 4: ", "`rate`?"][..]),
            ("steps = \n", &["line 1: "]),
        ] {
            std::fs::write(file.path(), text).unwrap();
            let error = configured::<RunConfig>(file.path(), &["seed=2".to_owned()]).err().unwrap();
            let name = file.path().to_str().unwrap();
            assert!(error.message.starts_with(name), "{}", error.message);
            assert!(words.iter().all(|word| error.message.contains(word)), "{}", error.message);
        }
    }
}
