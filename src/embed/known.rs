use super::{Embedding, EmbeddingError, Network, Score};
use crate::model::NetworkError;
use image::{Rgb, RgbImage};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// How alike an answer must be to the known one. 0.99: rounding differs from one CPU's f32 kernels to
/// another's, and an int8 step with it, which moved the shipped network's by less than 0.001; a weight
/// that is not what it was, or arithmetic that is broken, gives another person's answer.
const ALIKE: Score = Score(0.99);

/// Why a network is not what was measured.
#[derive(Debug, thiserror::Error)]
pub enum KnownError {
    /// The known answers cannot be read.
    #[error("{path}: {source}; copy it again, beside its network")]
    Read {
        /// The file of the answers.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// They are no answers.
    #[error("{path}: no known answers of a network ({reason}); copy it again, beside its network")]
    Broken {
        /// The file of the answers.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The network answers otherwise.
    #[error(
        "{path}: the network answers otherwise than when it was measured (cosine {score:.3}, at least \
         {ALIKE} is needed); copy both files again, and if that does not help do not trust this machine"
    )]
    Differs {
        /// The file of the answers.
        path: PathBuf,
        /// How alike the two answers are.
        score: Score,
    },
    /// The network failed to run.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

/// A picture that any program can draw again: a light oval on a coloured ramp, turned by `turn` px.
pub fn pattern(size: u32, turn: u32) -> RgbImage {
    RgbImage::from_fn(size, size, |x, y| {
        let (dx, dy) = (x as i32 * 2 - size as i32, y as i32 * 2 - size as i32);
        let inside = dx * dx * 3 + dy * dy * 2 < (size * size * 2) as i32;
        let ramp = |v: u32| (v * 255 / size) as u8;
        match inside {
            true => Rgb([200, ramp(y) / 2 + 90, ramp((x + turn) % size) / 3 + 60]),
            false => Rgb([ramp(x), ramp(y), ramp((x + y + turn) % size)]),
        }
    })
}

/// Asks a network, read from `model`, for its answer to [`pattern`] and compares it with the first of those
/// beside its file (`NAME.known.json`). How alike they are; `None` where there is no such file.
///
/// # Errors
/// [`KnownError`].
pub fn check_known(network: &Network, model: &Path) -> Result<Option<Score>, KnownError> {
    let path = model.with_extension("known.json");
    let text = match fs::read_to_string(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(|source| KnownError::Read { path: path.clone(), source })?,
    };
    let broken = |reason: String| KnownError::Broken { path: path.clone(), reason };
    let known: Vec<Vec<f32>> = serde_json::from_str(&text).map_err(|e| broken(e.to_string()))?;
    let first = known.first().ok_or_else(|| broken("it is empty".to_owned()))?;
    let known = Embedding::from_slice(first).map_err(|e: EmbeddingError| broken(e.to_string()))?;
    let score = known.cosine(&network.embed(&pattern(network.input_size(), 0))?);
    if score >= ALIKE { Ok(Some(score)) } else { Err(KnownError::Differs { path, score }) }
}
