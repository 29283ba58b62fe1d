use super::{Checkpoint, CheckpointError};
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    slice,
};

/// What a run starts from: the averaged weights of a checkpoint, or the mean of those of several that were
/// trained from one start ("model soups", arXiv 2203.05482).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a checkpoint, or a list of them")]
pub enum Start {
    /// A file.
    One(PathBuf),
    /// Files of one network, at least one of them.
    Mean(Vec<PathBuf>),
}

/// Prefix of the averaged weights in a checkpoint.
const AVERAGE: &str = "average.";
/// Prefix of those that help in training alone.
const HEAD: &str = "average.head.";

impl Start {
    /// Where it is read from.
    pub fn paths(&self) -> &[PathBuf] {
        match self {
            Self::One(path) => slice::from_ref(path),
            Self::Mean(paths) => paths,
        }
    }

    /// # Errors
    /// A sentence, where it names no file.
    pub fn check(&self) -> Result<(), String> {
        match self.paths().is_empty() {
            true => {
                Err("start is an empty list; name at least one checkpoint, or leave it out".into())
            }
            false => Ok(()),
        }
    }

    /// The first checkpoint, but of its tensors the averaged weights alone, and those the mean of all. Where there are
    /// several their class heads are left out: those fit only where the people are the same.
    ///
    /// # Errors
    /// A file that cannot be read, or holds other tensors than the first.
    pub fn read(&self) -> Result<Checkpoint, CheckpointError> {
        let (first, others) = self.paths().split_first().expect("checked: a start names a file");
        let is_taken = |name: &str| {
            name.starts_with(AVERAGE) && (others.is_empty() || !name.starts_with(HEAD))
        };
        let weights = |path: &Path| {
            let mut checkpoint = Checkpoint::read(path)?;
            checkpoint.tensors.retain(|name, _| is_taken(name));
            Ok(checkpoint)
        };
        let mut sum = weights(first)?;
        for path in others {
            let other = weights(path)?;
            let shapes = |of: &Checkpoint| -> Vec<_> {
                of.tensors.iter().map(|(name, (shape, _))| (name.clone(), shape.clone())).collect()
            };
            if shapes(&sum) != shapes(&other) {
                let why =
                    format!("its weights are not those of the network in {}", first.display());
                return Err(CheckpointError::Foreign { path: path.clone(), why });
            }
            for ((_, values), (_, more)) in sum.tensors.values_mut().zip(other.tensors.values()) {
                values.iter_mut().zip(more).for_each(|(value, other)| *value += other);
            }
        }
        let share = 1.0 / self.paths().len() as f32;
        sum.tensors.values_mut().flat_map(|(_, values)| values).for_each(|value| *value *= share);
        Ok(sum)
    }
}

impl From<PathBuf> for Start {
    fn from(path: PathBuf) -> Self {
        Self::One(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::NamedTensors;

    #[test]
    fn several_are_their_mean_and_another_network_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, tensors: &[(&str, &[f32])]| {
            let tensors: NamedTensors = (tensors.iter())
                .map(|(name, values)| ((*name).to_owned(), (vec![values.len()], values.to_vec())))
                .collect();
            let path = dir.path().join(name);
            let config = name.to_owned();
            Checkpoint { config, step: 1, best: None, tensors }.write(&path).unwrap();
            path
        };
        let head: (&str, &[f32]) = ("average.head.bias", &[0.0]);
        let a = file("a", &[("average.w", &[1.0, -2.0]), ("model.w", &[9.0, 9.0]), head]);
        let b = file("b", &[("average.w", &[2.0, 4.0])]);
        let read =
            |paths: &[&PathBuf]| Start::Mean(paths.iter().copied().cloned().collect()).read();
        let mean = read(&[&a, &b]).unwrap();
        assert_eq!((mean.config.as_str(), mean.tensors.len()), ("a", 1));
        assert_eq!(mean.tensors["average.w"].1, [1.5, 1.0]);
        let one = Start::from(a.clone()).read().unwrap().tensors;
        assert_eq!((&one["average.w"].1[..], one.len()), (&[1.0, -2.0][..], 2));
        for other in [
            file("longer", &[("average.w", &[1.0, 2.0, 3.0])]),
            file("named", &[("average.v", &[1.0, 2.0])]),
            file("more", &[("average.w", &[1.0, 2.0]), ("average.x", &[0.0])]),
        ] {
            let error = read(&[&a, &other]).err().unwrap().to_string();
            assert!(error.contains(other.to_str().unwrap()) && error.contains("/a"), "{error}");
        }
        assert!(Start::Mean(Vec::new()).check().unwrap_err().contains("start"));
    }
}
