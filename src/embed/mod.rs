//! From an aligned face to the 128 numbers that stand for it, and how alike two of them are.

mod contract;
mod embedding;
mod known;
mod network;

pub use contract::{Contract, EMBEDDING_LEN};
pub use embedding::{Embedding, EmbeddingError, Score};
pub use known::{KnownError, check_known, pattern};
pub use network::Network;

use image::RgbImage;
use std::error::Error;

/// Whatever turns aligned crops into embeddings: the daemon's [`Network`], or one still in training.
pub trait Embedder {
    /// The side of the crops it takes, in pixels.
    fn input_size(&self) -> u32;

    /// One embedding for each crop, in order. Crops are RGB, [`input_size`](Self::input_size) a side
    /// and aligned to [`crate::align::template`].
    ///
    /// # Errors
    /// Whatever the network says: a crop of another size, an output that is not finite.
    fn embed_all(
        &mut self,
        crops: &[RgbImage],
    ) -> Result<Vec<Embedding>, Box<dyn Error + Send + Sync>>;
}
