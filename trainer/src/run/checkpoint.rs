use crate::engine::NamedTensors;
use facelatch::files::write_atomically;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

/// A set of named f32 tensors with the configuration that they belong to, in one safetensors file.
pub struct Checkpoint {
    /// The run's configuration, as TOML.
    pub config: String,
    /// Updates made so far.
    pub step: u64,
    /// Best value of the figure that the run watches, so far.
    pub best: Option<f64>,
    /// `model.*` and `average.*` by parameter; `optimizer.*` and `quantization.*` where there are.
    pub tensors: NamedTensors,
}

/// Why a checkpoint could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file is absent, unreadable, or could not be written.
    #[error("{path}: {source}{}", help(.source))]
    File {
        /// The checkpoint.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not a checkpoint of ours.
    #[error("{path}: not a facelatch-train checkpoint: {why}")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

fn help(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            "; name a checkpoint (a .safetensors file) or the folder of a run"
        }
        _ => "",
    }
}

impl Checkpoint {
    /// Reads a checkpoint.
    ///
    /// # Errors
    /// [`CheckpointError::File`] or [`CheckpointError::Foreign`].
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        let bytes = std::fs::read(path)
            .map_err(|source| CheckpointError::File { path: path.into(), source })?;
        Self::parse(&bytes).map_err(|why| CheckpointError::Foreign { path: path.into(), why })
    }

    /// [`Checkpoint::read`] of bytes that are read already.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
        let empty = HashMap::new();
        let meta = header.metadata().as_ref().unwrap_or(&empty);
        let config = meta.get("facelatch.run").ok_or("it carries no run configuration")?.clone();
        let step =
            meta.get("facelatch.step").and_then(|s| s.parse().ok()).ok_or("it has no step")?;
        let best = meta.get("facelatch.best").and_then(|s| s.parse().ok());
        Ok(Self { config, step, best, tensors: tensors(bytes)? })
    }

    /// Writes the checkpoint whole or not at all.
    ///
    /// # Errors
    /// [`CheckpointError::File`]; an older file of that name is untouched then.
    pub fn write(&self, path: &Path) -> Result<(), CheckpointError> {
        let file = |source| CheckpointError::File { path: path.into(), source };
        let bytes = self.to_bytes().map_err(|why| file(std::io::Error::other(why)))?;
        write_atomically(path, &bytes).map_err(file)
    }

    /// The file's bytes, the same for the same checkpoint.
    ///
    /// # Errors
    /// A sentence of the safetensors library's.
    pub fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let bytes: Vec<_> = (self.tensors.iter())
            .map(|(name, (shape, values))| {
                (
                    name,
                    shape.clone(),
                    values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>(),
                )
            })
            .collect();
        let views = bytes.iter().map(|(name, shape, bytes)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
            (*name, view.expect("a shape has as many values as it says"))
        });
        let mut meta = HashMap::from([
            ("facelatch.run".to_owned(), self.config.clone()),
            ("facelatch.step".to_owned(), self.step.to_string()),
        ]);
        if let Some(best) = self.best {
            meta.insert("facelatch.best".to_owned(), best.to_string());
        }
        let mut bytes = safetensors::serialize(views, Some(meta)).map_err(|e| e.to_string())?;
        sort_header(&mut bytes)?;
        Ok(bytes)
    }

    /// The tensors under `prefix`, without it.
    pub fn under(&self, prefix: &str) -> NamedTensors {
        (self.tensors.iter())
            .filter_map(|(name, t)| Some((name.strip_prefix(prefix)?.to_owned(), t.clone())))
            .collect()
    }
}

/// Puts the JSON header's keys in order: the library writes the metadata in a random one.
fn sort_header(file: &mut [u8]) -> Result<(), String> {
    let (length, rest) = file.split_first_chunk::<8>().ok_or("no header")?;
    let length = u64::from_le_bytes(*length) as usize;
    let header: serde_json::Value =
        serde_json::from_slice(&rest[..length]).map_err(|e| e.to_string())?;
    let sorted = header.to_string();
    if sorted.len() > length {
        return Err("the header grew when its keys were sorted".into());
    }
    file[8..8 + length].fill(b' ');
    file[8..8 + sorted.len()].copy_from_slice(sorted.as_bytes());
    Ok(())
}

/// Every f32 tensor of a safetensors file; one of another type is an error.
pub fn tensors(bytes: &[u8]) -> Result<NamedTensors, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
    let mut named = NamedTensors::new();
    for (name, view) in file.iter() {
        let (words, rest) = view.data().as_chunks::<4>();
        if view.dtype() == Dtype::I64 {
            continue; // PyTorch's counters of batches seen
        }
        if view.dtype() != Dtype::F32 || !rest.is_empty() {
            return Err(format!("tensor {name} is {:?}, not f32", view.dtype()));
        }
        let values = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
        named.insert(name.to_owned(), (view.shape().to_vec(), values));
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Checkpoint {
        let tensors = NamedTensors::from([
            ("model.a".into(), (vec![2, 1], vec![1.0, -2.5])),
            ("average.a".into(), (vec![2, 1], vec![f32::MIN_POSITIVE, 3.0])),
        ]);
        Checkpoint { config: "seed = 1".into(), step: 7, best: Some(0.5), tensors }
    }

    #[test]
    fn a_checkpoint_reads_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.safetensors");
        sample().write(&path).unwrap();
        let back = Checkpoint::read(&path).unwrap();
        assert_eq!((back.config.as_str(), back.step, back.best), ("seed = 1", 7, Some(0.5)));
        assert_eq!(back.tensors, sample().tensors);
        assert_eq!(back.under("average.")["a"].1[1], 3.0);
        assert!((0..8).all(|_| sample().to_bytes().unwrap() == std::fs::read(&path).unwrap()));
    }

    #[test]
    fn a_file_that_is_no_checkpoint_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.safetensors");
        assert!(matches!(Checkpoint::read(&path), Err(CheckpointError::File { .. })));
        sample().write(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for length in [0, 7, 8, 40, whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            let error = Checkpoint::read(&path).err().unwrap().to_string();
            assert!(error.contains("a.safetensors: not a facelatch-train checkpoint"), "{error}");
        }
    }
}
