//! Random views of a face: what a door's camera, its light and its owner's hat do to it.
//!
//! Every length in px is one of the 160 px face, whatever the output size. A view is a pure
//! function of the picture, the settings and the generator handed in. A view at 112 px by the
//! default settings took 0.5 ms of one core where this was written; the ignored test
//! `a_view_takes_less_than_a_millisecond` measures it.

mod colour;
mod config;
mod degrade;
mod filter;
mod geometry;
mod mix;
mod occlude;

pub use config::{
    Augment, AugmentError, Blur, Geometry, Jpeg, Light, Motion, Noise, Occlusion, Resolution,
};

use super::resample::{face_to_stored, output_to_face};
use facelatch::align::{Affine, warp_into};
use rand::{Rng, RngExt};

/// Where [`Augment::place`] put a face.
pub struct Placed {
    /// Whether it is seen in a mirror.
    pub mirrored: bool,
    /// From an output pixel to the 160 px face.
    to_face: Affine,
}

impl Augment {
    /// The first half of a random view: writes a stored crop of `src_size` px, mirrored, shifted, scaled and turned, to
    /// `out`, RGB rows of `out_size` px. [`spoil`](Self::spoil) is the other.
    ///
    /// # Panics
    /// When a buffer is not its size² · 3 bytes, a size is below 2, or the settings would not pass
    /// [`check`](Self::check).
    pub fn place(
        &self,
        src: &[u8],
        src_size: usize,
        rng: &mut impl Rng,
        out_size: usize,
        out: &mut [u8],
    ) -> Placed {
        let mirrored = chance(self.flip, rng);
        let to_face = self.geometry.draw(mirrored, out_size, rng);
        let map = to_face.then(face_to_stored(src_size));
        warp_into(src, [src_size; 2], &map, out, [out_size; 2]);
        Placed { mirrored, to_face }
    }

    /// The other half of a view: light, things before the face, and what lens, sensor and stream do to it.
    pub fn spoil(&self, placed: &Placed, rng: &mut impl Rng, out: &mut [u8], out_size: usize) {
        self.relight(rng, out);
        self.occlusion.apply(&placed.to_face, rng, out, out_size);
        self.degrade(rng, out, out_size);
    }

    /// Changes light and colour of a picture as drawn from `rng`.
    pub fn relight(&self, rng: &mut impl Rng, out: &mut [u8]) {
        self.light.apply(rng, out);
        if chance(self.grayscale, rng) {
            colour::grayscale(out);
        }
    }

    /// Lays things over an aligned face of `out_size` px a side.
    pub fn cover(&self, rng: &mut impl Rng, out: &mut [u8], out_size: usize) {
        self.occlusion.apply(&output_to_face(out_size), rng, out, out_size);
    }

    /// Blends some of a batch's views with others of it, [`mix`](Self::mix) deciding how many: `views` are pictures
    /// of `size` px a side, one after the other. Says which were.
    pub fn blend(&self, rng: &mut impl Rng, views: &mut [u8], size: usize) -> Vec<bool> {
        let stride = size * size * 3;
        let count = views.len() / stride;
        if self.mix == 0.0 || count < 2 {
            return vec![false; count];
        }
        let before = views.to_vec();
        let mut blend = |(i, view): (usize, &mut [u8])| {
            let mixed = chance(self.mix, rng);
            if mixed {
                let other = (i + rng.random_range(1..count)) % count;
                mix::into(rng, view, &before[other * stride..][..stride], size);
            }
            mixed
        };
        views.chunks_exact_mut(stride).enumerate().map(&mut blend).collect()
    }

    /// What lens, sensor and stream do to a picture of `out_size` px a side.
    pub fn degrade(&self, rng: &mut impl Rng, out: &mut [u8], out_size: usize) {
        self.blur.apply(rng, out, out_size);
        self.motion.apply(rng, out, out_size);
        self.resolution.apply(rng, out, out_size);
        self.noise.apply(rng, out);
        self.jpeg.apply(rng, out, out_size);
    }
}

/// True with probability `p`. At 0 nothing is drawn.
pub(crate) fn chance(p: f32, rng: &mut impl Rng) -> bool {
    p > 0.0 && rng.random::<f32>() < p
}

/// Uniform from −`most` to `most`.
pub(crate) fn about(most: f32, rng: &mut impl Rng) -> f32 {
    (rng.random::<f32>() * 2.0 - 1.0) * most
}

/// Uniform over a range; its ends may be equal.
fn within([low, high]: [f32; 2], rng: &mut impl Rng) -> f32 {
    low + (high - low) * rng.random::<f32>()
}

#[cfg(test)]
mod tests;
