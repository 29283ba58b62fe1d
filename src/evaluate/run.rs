use super::{
    CrossPairs, FaceSet, Folds, ImageId, Pairs, PairsError, ProtocolError, Report, Scored,
    cross_pairs,
};
use crate::embed::{Embedder, Embedding, EmbeddingError};
use image::{RgbImage, imageops::flip_horizontal};
use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
};

/// Crops handed to the embedder at a time: enough to keep a GPU busy, small enough to show progress.
const BATCH: usize = 64;

/// How to run an evaluation. The default: all folds, every face as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunOptions {
    /// The folds to measure; all where there is none.
    pub folds: Option<Folds>,
    /// Embed every face mirrored as well and take the direction halfway.
    pub mirror: bool,
    /// Compare every face with every other as well, for thresholds at these rates of false matches.
    pub cross: Vec<f64>,
}

/// What an evaluation found.
pub struct Evaluation {
    /// The protocol's figures.
    pub report: Report,
    /// Every pair's score.
    pub scored: Vec<Scored>,
    /// Where it was asked for.
    pub cross: Option<CrossPairs>,
}

/// Why an evaluation stopped.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The crops are not of the size that the network takes.
    #[error("faces of {faces} pixels for a network that takes {network}; load them at that size")]
    Size {
        /// The set's size.
        faces: u32,
        /// The network's.
        network: u32,
    },
    /// Folds that are not there.
    #[error(transparent)]
    Folds(#[from] PairsError),
    /// The network failed.
    #[error("the network failed: {0}")]
    Embedder(Box<dyn Error + Send + Sync>),
    /// The network gave more or fewer embeddings than there were faces.
    #[error("the network gave {got} embeddings for {wanted} faces")]
    Count {
        /// Faces.
        wanted: usize,
        /// Embeddings.
        got: usize,
    },
    /// A face and its mirror image point in opposite directions.
    #[error(transparent)]
    Embedding(#[from] EmbeddingError),
    /// The scores cannot be evaluated.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
}

/// Embeds every face that the chosen pairs use, scores the pairs and reports. `progress` hears how
/// many faces are done out of how many.
///
/// # Errors
/// [`RunError`].
pub fn run(
    set: &FaceSet,
    embedder: &mut dyn Embedder,
    options: &RunOptions,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Evaluation, RunError> {
    if set.size() != embedder.input_size() {
        return Err(RunError::Size { faces: set.size(), network: embedder.input_size() });
    }
    let pairs = match &options.folds {
        Some(folds) => &set.pairs().in_folds(folds)?,
        None => set.pairs(),
    };
    let embeddings = embed(set, pairs, embedder, options.mirror, progress)?;
    let score = |pair: &super::Pair| Scored {
        fold: pair.fold,
        same: pair.same,
        score: embeddings[&pair.a].cosine(&embeddings[&pair.b]),
    };
    let scored: Vec<Scored> = pairs.0.iter().map(score).collect();
    let cross = (!options.cross.is_empty()).then(|| cross_pairs(&embeddings, &options.cross));
    Ok(Evaluation { report: Report::of(&scored)?, scored, cross })
}

fn embed<'a>(
    set: &FaceSet,
    pairs: &'a Pairs,
    embedder: &mut dyn Embedder,
    mirror: bool,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<BTreeMap<&'a ImageId, Embedding>, RunError> {
    let ids: BTreeSet<&ImageId> = pairs.0.iter().flat_map(|p| [&p.a, &p.b]).collect();
    let ids: Vec<&ImageId> = ids.into_iter().collect();
    embed_faces(&ids, &|i| set.faces()[ids[i]].clone(), embedder, mirror, progress)
}

/// Embeds a crop of each of `ids`, which `face` gives by its place among them; with `mirror` its mirror image as
/// well, and takes the direction halfway. `progress` hears how many are done out of how many.
///
/// # Errors
/// [`RunError::Embedder`], [`RunError::Count`], [`RunError::Embedding`].
pub fn embed_faces<'a>(
    ids: &[&'a ImageId],
    face: &dyn Fn(usize) -> RgbImage,
    embedder: &mut dyn Embedder,
    mirror: bool,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<BTreeMap<&'a ImageId, Embedding>, RunError> {
    let mut embeddings = BTreeMap::new();
    for batch in ids.chunks(BATCH) {
        let first = embeddings.len();
        let crops: Vec<RgbImage> = (first..first + batch.len()).map(face).collect();
        let mut found = embed_exactly(embedder, &crops)?;
        if mirror {
            let mirrored: Vec<RgbImage> = crops.iter().map(flip_horizontal).collect();
            for (one, other) in found.iter_mut().zip(embed_exactly(embedder, &mirrored)?) {
                *one = one.halfway(&other)?;
            }
        }
        embeddings.extend(batch.iter().copied().zip(found));
        progress(embeddings.len(), ids.len());
    }
    Ok(embeddings)
}

fn embed_exactly(
    embedder: &mut dyn Embedder,
    crops: &[RgbImage],
) -> Result<Vec<Embedding>, RunError> {
    let found = embedder.embed_all(crops).map_err(RunError::Embedder)?;
    if found.len() != crops.len() {
        return Err(RunError::Count { wanted: crops.len(), got: found.len() });
    }
    Ok(found)
}
