use super::{Checkpoint, CheckpointError, Config, Fault};
use facelatch::files::write_atomically;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The folder of a run: `run.toml`, `checkpoints/step-*.safetensors`, `best.safetensors`,
/// `metrics.jsonl` and the plots.
pub struct RunFolder(PathBuf);

impl RunFolder {
    /// The folder of a new run. It is made by [`RunFolder::begin`].
    ///
    /// # Errors
    /// A sentence: a run is there already, or something else.
    pub fn new(path: &Path) -> Result<Self, String> {
        let folder = Self(path.into());
        let shown = path.display();
        if folder.config_path().exists() {
            return Err(format!(
                "{shown} holds a run already: go on with `facelatch-train resume {shown}`, or name another folder"
            ));
        }
        let is_free = match fs::read_dir(path) {
            Ok(mut entries) => entries.next().is_none(),
            Err(_) => !path.exists(),
        };
        match is_free {
            true => Ok(folder),
            false => Err(format!("{shown} is not an empty folder; name a new one for the run")),
        }
    }

    /// Makes the folder of a new run, with the text of its `run.toml`; that of an older run stays as it is.
    ///
    /// # Errors
    /// A sentence: it cannot be made.
    pub fn begin(&self, config: &str) -> Result<(), String> {
        if self.config_path().exists() {
            return Ok(());
        }
        let made = fs::create_dir_all(self.checkpoints());
        made.map_err(|e| self.failed(&e)).and_then(|()| self.change(config))
    }

    /// Puts another text in the place of the run's `run.toml`.
    ///
    /// # Errors
    /// A sentence: it cannot be written.
    pub fn change(&self, config: &str) -> Result<(), String> {
        write_atomically(&self.config_path(), config.as_bytes()).map_err(|e| self.failed(&e))
    }

    fn failed(&self, error: &std::io::Error) -> String {
        format!("{}: {error}; name another folder", self.0.display())
    }

    /// Opens the folder of an existing run.
    ///
    /// # Errors
    /// No run is there, or its `run.toml` does not check out.
    pub fn open<C: Config>(path: &Path) -> Result<(Self, C), Fault> {
        let folder = Self(path.into());
        let file = folder.config_path();
        let text = fs::read_to_string(&file)
            .map_err(|source| CheckpointError::File { path: file.clone(), source })?;
        let config = C::parse(&text).map_err(|e| format!("{}: {e}", file.display()))?;
        Ok((folder, config))
    }

    fn config_path(&self) -> PathBuf {
        self.0.join("run.toml")
    }

    fn checkpoints(&self) -> PathBuf {
        self.0.join("checkpoints")
    }

    /// A file of the run.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The best model so far.
    pub fn best(&self) -> PathBuf {
        self.file("best.safetensors")
    }

    /// Where the checkpoint of a step lies.
    pub fn checkpoint(&self, step: u64) -> PathBuf {
        self.checkpoints().join(format!("step-{step:08}.safetensors"))
    }

    fn saved(&self) -> io::Result<Vec<PathBuf>> {
        let mut paths: Vec<_> = fs::read_dir(self.checkpoints())?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|e| e == "safetensors"))
            .filter(|path| {
                path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("step-"))
            })
            .collect();
        paths.sort();
        Ok(paths)
    }

    /// The latest checkpoint that can be read, `None` before the first; one that cannot is named in the log
    /// and passed over.
    ///
    /// # Errors
    /// What is wrong with the oldest one, if none can be read: a run does not begin anew by itself.
    pub fn latest(&self) -> Result<Option<Checkpoint>, CheckpointError> {
        let saved = self.saved().unwrap_or_default();
        let mut paths = saved.iter().rev().peekable();
        while let Some(path) = paths.next() {
            match Checkpoint::read(path) {
                Ok(checkpoint) => return Ok(Some(checkpoint)),
                Err(e) if paths.peek().is_none() => return Err(e),
                Err(e) => log::warn!("{e}; trying the one before"),
            }
        }
        Ok(None)
    }

    /// Saves a checkpoint and removes all but the latest `keep`.
    ///
    /// # Errors
    /// [`CheckpointError`]: the older checkpoints are untouched then.
    pub fn save(&self, checkpoint: &Checkpoint, keep: usize) -> Result<(), CheckpointError> {
        checkpoint.write(&self.checkpoint(checkpoint.step))?;
        let saved = self.saved().unwrap_or_default();
        for old in saved.iter().rev().skip(keep) {
            if let Err(e) = fs::remove_file(old) {
                log::warn!("{}: {e}", old.display());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{engine::NamedTensors, run::RunConfig};

    fn config() -> RunConfig {
        let mut config = RunConfig::default();
        config.data.sources.push(crate::data::Source::new("a", "faces"));
        config
    }

    fn checkpoint(step: u64) -> Checkpoint {
        Checkpoint { config: String::new(), step, best: None, tensors: NamedTensors::new() }
    }

    fn begun(path: &Path) -> RunFolder {
        let run = RunFolder::new(path).unwrap();
        run.begin(&config().to_toml()).unwrap();
        run
    }

    #[test]
    fn a_new_run_touches_nothing_that_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |path: &Path| RunFolder::new(path).err().unwrap();
        let absent = dir.path().join("run");
        RunFolder::new(&absent).unwrap();
        assert!(!absent.exists(), "nothing is made before the run begins");
        begun(&absent);
        assert!(refused(&absent).contains("resume"), "{}", refused(&absent));
        assert_eq!(RunFolder::open::<RunConfig>(&absent).unwrap().1, config());
        for taken in [dir.path(), &absent.join("run.toml")] {
            assert!(refused(taken).contains("not an empty folder"), "{}", refused(taken));
        }
    }

    #[test]
    fn the_latest_readable_checkpoint_is_found_and_the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        let run = begun(dir.path());
        assert!(run.latest().unwrap().is_none());
        for step in [5, 10, 15] {
            run.save(&checkpoint(step), 2).unwrap();
        }
        assert_eq!(run.saved().unwrap().len(), 2);
        let step = || run.latest().map(|found| found.unwrap().step);
        assert_eq!(step().unwrap(), 15);
        fs::write(run.checkpoint(15), b"torn").unwrap();
        assert_eq!(step().unwrap(), 10);
        fs::write(run.checkpoint(10), b"torn").unwrap();
        assert!(step().is_err(), "all are torn: not a run that has not begun");
    }
}
