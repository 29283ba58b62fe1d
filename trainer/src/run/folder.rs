use super::{Checkpoint, CheckpointError, Config};
use facelatch::files::write_atomically;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The folder of a run: `run.toml`, `checkpoints/step-*.safetensors`, `best.safetensors`,
/// `metrics.jsonl` and the plots.
pub struct RunFolder(PathBuf);

impl RunFolder {
    /// Makes the folder of a new run with the text of its `run.toml`. Nothing of an older run is touched.
    ///
    /// # Errors
    /// A sentence: there is a run already, or the folder cannot be made.
    pub fn create(path: &Path, config: &str) -> Result<Self, String> {
        Self::expect_none(path)?;
        let folder = Self(path.into());
        fs::create_dir_all(folder.checkpoints())
            .and_then(|()| write_atomically(&folder.config_path(), config.as_bytes()))
            .map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(folder)
    }

    /// Whether a new run may have this folder, before anything is made.
    ///
    /// # Errors
    /// A sentence: there is a run already.
    pub fn expect_none(path: &Path) -> Result<(), String> {
        if !Self(path.into()).config_path().exists() {
            return Ok(());
        }
        let path = path.display();
        Err(format!(
            "{path} holds a run already: go on with `facelatch-train resume {path}`, or name another folder"
        ))
    }

    /// Opens the folder of an existing run.
    ///
    /// # Errors
    /// A sentence: no run is there, or its `run.toml` does not check out.
    pub fn open<C: Config>(path: &Path) -> Result<(Self, C), String> {
        let folder = Self(path.into());
        let text = fs::read_to_string(folder.config_path())
            .map_err(|e| format!("{}: {e}; no run is there", folder.config_path().display()))?;
        let config =
            C::parse(&text).map_err(|e| format!("{}: {e}", folder.config_path().display()))?;
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

    #[test]
    fn a_second_run_never_overwrites_the_first() {
        let dir = tempfile::tempdir().unwrap();
        RunFolder::create(dir.path(), &config().to_toml()).unwrap();
        let error = RunFolder::create(dir.path(), &config().to_toml()).err().unwrap();
        assert!(error.contains("resume"), "{error}");
        assert_eq!(RunFolder::open::<RunConfig>(dir.path()).unwrap().1, config());
    }

    #[test]
    fn the_latest_readable_checkpoint_is_found_and_the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunFolder::create(dir.path(), &config().to_toml()).unwrap();
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
