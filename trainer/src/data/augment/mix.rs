use super::{about, within};
use rand::{Rng, RngExt};

/// Share of a picture, of 256.
const WHOLE: i32 = 256;

/// Blends another picture of `size` px a side into a view: half of the time by one share drawn evenly, else by one
/// that grows across the face in a direction drawn evenly, so that the eyes are mostly of one and the chin of the other.
pub(super) fn into(rng: &mut impl Rng, view: &mut [u8], other: &[u8], size: usize) {
    let mix = |view: &mut [u8], other: &[u8], share: i32| {
        for (out, with) in view.iter_mut().zip(other) {
            let sum = i32::from(*out) * (WHOLE - share) + i32::from(*with) * share;
            *out = ((sum + WHOLE / 2) >> 8) as u8;
        }
    };
    if rng.random() {
        return mix(view, other, rng.random_range(0..=WHOLE));
    }
    let (sine, cosine) = within([0.0, std::f32::consts::TAU], rng).sin_cos();
    // Shares go from nothing to all of it within a quarter to the whole of the face's width, about its middle.
    let steep = WHOLE as f32 / (within([0.25, 1.0], rng) * size as f32);
    let middle = WHOLE as f32 * (0.5 + about(0.25, rng));
    let half = (size - 1) as f32 / 2.0;
    let rows = view.chunks_exact_mut(size * 3).zip(other.chunks_exact(size * 3));
    for (y, (view, other)) in rows.enumerate() {
        let along = (y as f32 - half) * sine - half * cosine;
        for (x, (view, other)) in view.chunks_exact_mut(3).zip(other.chunks_exact(3)).enumerate() {
            let share = middle + (along + x as f32 * cosine) * steep;
            mix(view, other, (share as i32).clamp(0, WHOLE));
        }
    }
}
