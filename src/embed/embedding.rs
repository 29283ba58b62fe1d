use super::EMBEDDING_LEN;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a network says about a face: a point on the unit sphere in 128 dimensions. Length 1 within
/// f32 rounding, never NaN.
#[derive(Clone, Copy, PartialEq)]
pub struct Embedding([f32; EMBEDDING_LEN]);

/// How alike two faces are: the cosine of the angle between their embeddings, −1 to 1, higher for
/// more alike.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Score(pub f32);

/// Numbers that are no embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EmbeddingError {
    /// NaN or infinity among them.
    #[error("the network's output is not finite; its weights or its input are broken")]
    NotFinite,
    /// All (nearly) zero, so without a direction.
    #[error("the network's output is zero; its weights or its input are broken")]
    Zero,
    /// Not 128 numbers.
    #[error(
        "the network's output has {0} numbers, not {EMBEDDING_LEN}; use a model of this version"
    )]
    Length(usize),
}

impl Embedding {
    /// Scales 128 numbers to unit length.
    ///
    /// # Errors
    /// [`EmbeddingError`]: a NaN or an infinity, or a length of nearly zero (under 1e-12).
    pub fn new(values: [f32; EMBEDDING_LEN]) -> Result<Self, EmbeddingError> {
        let square: f64 = values.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
        if !square.is_finite() {
            return Err(EmbeddingError::NotFinite);
        }
        let length = square.sqrt();
        if length < 1e-12 {
            return Err(EmbeddingError::Zero);
        }
        Ok(Self(values.map(|v| (f64::from(v) / length) as f32)))
    }

    /// [`Embedding::new`] of a slice.
    ///
    /// # Errors
    /// [`EmbeddingError`], also when there are not 128 numbers.
    pub fn from_slice(values: &[f32]) -> Result<Self, EmbeddingError> {
        Self::new(values.try_into().map_err(|_| EmbeddingError::Length(values.len()))?)
    }

    /// The 128 numbers, of unit length.
    pub fn values(&self) -> &[f32; EMBEDDING_LEN] {
        &self.0
    }

    /// The cosine of the angle between the two, which is their dot product; within −1 to 1.
    pub fn cosine(&self, other: &Self) -> Score {
        let dot: f32 = self.0.iter().zip(&other.0).map(|(a, b)| a * b).sum();
        Score(dot.clamp(-1.0, 1.0))
    }

    /// The direction of the mean of some; none of none, and none where they cancel.
    pub fn mean<'a>(all: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        let mut sum = [0.0; EMBEDDING_LEN];
        for one in all {
            sum.iter_mut().zip(&one.0).for_each(|(sum, value)| *sum += value);
        }
        Self::new(sum).ok()
    }

    /// The direction halfway between the two: of a face and its mirror image, say.
    ///
    /// # Errors
    /// [`EmbeddingError::Zero`] for opposite directions.
    pub fn halfway(&self, other: &Self) -> Result<Self, EmbeddingError> {
        Self::new(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }
}

#[cfg(test)]
impl Embedding {
    /// A direction in the plane of the first two numbers, for tests that work angles out by hand.
    pub(crate) fn at_degrees(degrees: f32) -> Self {
        let (y, x) = degrees.to_radians().sin_cos();
        Self::new(std::array::from_fn(|i| [x, y].get(i).copied().unwrap_or(0.0))).unwrap()
    }
}

impl fmt::Debug for Embedding {
    /// The first numbers only: an embedding is personal data, and 128 numbers help nobody in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Embedding([{:.3}, {:.3}, …])", self.0[0], self.0[1])
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn axis(i: usize, length: f32) -> [f32; EMBEDDING_LEN] {
        std::array::from_fn(|j| if i == j { length } else { 0.0 })
    }

    #[test]
    fn the_cosine_of_known_angles() {
        let [x, y] = [0, 1].map(|i| Embedding::new(axis(i, 3.0)).unwrap());
        let back = Embedding::new(axis(0, -0.5)).unwrap();
        let diagonal = x.halfway(&y).unwrap();
        for (name, a, b, expected) in [
            ("the same", x, x, 1.0),
            ("a right angle", x, y, 0.0),
            ("opposite", x, back, -1.0),
            ("45 degrees", x, diagonal, std::f32::consts::FRAC_1_SQRT_2),
        ] {
            assert!((a.cosine(&b).0 - expected).abs() < 1e-6, "{name}");
        }
        assert_eq!(x.halfway(&back), Err(EmbeddingError::Zero));
    }

    #[test]
    fn what_has_no_direction_is_refused() {
        assert_eq!(Embedding::new(axis(5, f32::NAN)), Err(EmbeddingError::NotFinite));
        assert_eq!(Embedding::new(axis(5, f32::INFINITY)), Err(EmbeddingError::NotFinite));
        assert_eq!(Embedding::new(axis(5, 0.0)), Err(EmbeddingError::Zero));
        assert_eq!(Embedding::from_slice(&[1.0; 127]), Err(EmbeddingError::Length(127)));
    }

    proptest! {
        #[test]
        fn every_embedding_has_unit_length(
            values in prop::collection::vec(-1e30f32..1e30, EMBEDDING_LEN),
        ) {
            let e = Embedding::from_slice(&values).unwrap();
            prop_assert!((e.cosine(&e).0 - 1.0).abs() < 1e-5);
        }
    }
}
