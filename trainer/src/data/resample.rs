//! One bilinear resampling from a stored crop to a network's input.
//!
//! Integer coordinates are pixel centres, as in the face template: pixel `d` of an `S` px output
//! lies at `d · 160/S + 8` of the 176 px crop. A crop stored smaller was scaled about pixel edges,
//! so `c` of the 176 px crop lies at `(c + 0.5) · size/176 − 0.5` of it.

use super::dataset::{BORDER, CANONICAL, CROP};

/// Steeper shrinking than this averages a grid of samples for each pixel.
const PLAIN_SHRINK: f32 = 1.5;
/// Fixed-point fraction bits of a source coordinate.
const BITS: u32 = 16;
const ONE: f32 = (1 << BITS) as f32;

/// An affine map of the plane, `x' = x·m[0] + y·m[1] + m[2]`, `y' = x·m[3] + y·m[4] + m[5]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine(pub [f32; 6]);

impl Affine {
    /// Scaling by (`x`, `y`) and then a shift.
    pub fn scale_shift(x: f32, y: f32, shift: (f32, f32)) -> Self {
        Self([x, 0.0, shift.0, 0.0, y, shift.1])
    }

    /// Rotation about the origin, radians, x towards y.
    pub fn rotate(angle: f32) -> Self {
        let (sin, cos) = angle.sin_cos();
        Self([cos, -sin, 0.0, sin, cos, 0.0])
    }

    /// This map and then `next`.
    pub fn then(self, next: Self) -> Self {
        let (a, b) = (self.0, next.0);
        Self([
            b[0] * a[0] + b[1] * a[3],
            b[0] * a[1] + b[1] * a[4],
            b[0] * a[2] + b[1] * a[5] + b[2],
            b[3] * a[0] + b[4] * a[3],
            b[3] * a[1] + b[4] * a[4],
            b[3] * a[2] + b[4] * a[5] + b[5],
        ])
    }

    /// Where a point goes.
    pub fn at(&self, x: f32, y: f32) -> (f32, f32) {
        let m = self.0;
        (x * m[0] + y * m[1] + m[2], x * m[3] + y * m[4] + m[5])
    }

    /// Source pixels a step of one output pixel crosses, the longer of the two ways.
    fn stride(&self) -> f32 {
        let m = self.0;
        m[0].hypot(m[3]).max(m[1].hypot(m[4]))
    }
}

/// From a pixel of an `out_size` px output to the 160 px face.
pub fn output_to_face(out_size: usize) -> Affine {
    let scale = CROP as f32 / out_size as f32;
    Affine::scale_shift(scale, scale, (0.0, 0.0))
}

/// From the 160 px face to a pixel of the crop stored at `src_size` px.
pub fn face_to_stored(src_size: usize) -> Affine {
    let scale = src_size as f32 / CANONICAL as f32;
    let shift = (BORDER as f32 + 0.5) * scale - 0.5;
    Affine::scale_shift(scale, scale, (shift, shift))
}

/// The face without augmentation, for evaluation and calibration: RGB `out_size`² · 3 bytes.
///
/// # Panics
/// When a buffer is not its size² · 3 bytes or a size is below 2.
pub fn canonical(src: &[u8], src_size: usize, out_size: usize, out: &mut [u8]) {
    warp(src, src_size, output_to_face(out_size).then(face_to_stored(src_size)), out, out_size);
}

/// Fills `out` with what `map` (output pixel to source pixel) finds in `src`; beyond the source its
/// edge repeats. Where `map` shrinks by more than 1.5, each pixel averages a grid of samples.
///
/// # Panics
/// As [`canonical`].
pub fn warp(src: &[u8], src_size: usize, map: Affine, out: &mut [u8], out_size: usize) {
    assert!(src_size >= 2 && src.len() == src_size * src_size * 3, "source of the wrong size");
    assert_eq!(out.len(), out_size * out_size * 3, "output of the wrong size");
    let stride = map.stride();
    if stride <= PLAIN_SHRINK {
        let mut pixels = out.as_chunks_mut::<3>().0.iter_mut();
        each(src, src_size, map, out_size, |colour| {
            if let Some(pixel) = pixels.next() {
                *pixel = colour;
            }
        });
        return;
    }
    let grid = stride.ceil().min(16.0) as usize;
    let mut sums = vec![[0u16; 3]; out_size * out_size];
    for sample in 0..grid * grid {
        let offset = |k: usize| (k as f32 + 0.5) / grid as f32 - 0.5;
        let shift = (offset(sample % grid), offset(sample / grid));
        let moved = Affine::scale_shift(1.0, 1.0, shift).then(map);
        let mut sums = sums.iter_mut();
        each(src, src_size, moved, out_size, |colour| {
            let Some(sum) = sums.next() else { return };
            for c in 0..3 {
                sum[c] += u16::from(colour[c]);
            }
        });
    }
    let count = (grid * grid) as u16;
    for (pixel, sum) in out.as_chunks_mut::<3>().0.iter_mut().zip(sums) {
        *pixel = sum.map(|s| ((s + count / 2) / count) as u8);
    }
}

/// Calls `put` with the colour at every output pixel, row by row. Coordinates are 16.16 fixed
/// point along a row; weights have 8 bits, so a colour is off by at most one level.
#[inline(always)]
fn each(src: &[u8], size: usize, map: Affine, out_size: usize, mut put: impl FnMut([u8; 3])) {
    let pixels = src.as_chunks::<3>().0;
    let last = (size - 1) as i32;
    let far = (last << BITS) as f32;
    let step = [(map.0[0] * ONE).round() as i32, (map.0[3] * ONE).round() as i32];
    for row in 0..out_size {
        let start = map.at(0.0, row as f32);
        // Far outside, the edge repeats all the same, and sums of steps stay within an i32.
        let clamp = |v: f32| (v * ONE).clamp(-8.0 * far, 8.0 * far) as i32;
        let (mut x, mut y) = (clamp(start.0), clamp(start.1));
        for _ in 0..out_size {
            let (x0, fx) = cell(x, last);
            let (y0, fy) = cell(y, last);
            let top = &pixels[y0 * size + x0..][..2];
            let bottom = &pixels[(y0 + 1) * size + x0..][..2];
            put(std::array::from_fn(|c| {
                let mix = |a: &[[u8; 3]]| u32::from(a[0][c]) * (256 - fx) + u32::from(a[1][c]) * fx;
                ((mix(top) * (256 - fy) + mix(bottom) * fy + (1 << 15)) >> 16) as u8
            }));
            x = x.wrapping_add(step[0]);
            y = y.wrapping_add(step[1]);
        }
    }
}

/// The lower of the two neighbours of a coordinate, and the weight of the upper one in 1/256.
#[inline(always)]
fn cell(v: i32, last: i32) -> (usize, u32) {
    let v = v.clamp(0, last << BITS);
    let low = (v >> BITS).min(last - 1);
    (low as usize, ((v - (low << BITS) + 128) >> 8) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ramp(size: usize) -> Vec<u8> {
        (0..size * size)
            .flat_map(|i| {
                let (x, y) = (i % size, i / size);
                [x as u8, y as u8, ((x * 7 + y * 13) % 256) as u8]
            })
            .collect()
    }

    fn reference(src: &[u8], size: usize, x: f64, y: f64, c: usize) -> f64 {
        let limit = |v: f64| v.clamp(0.0, (size - 1) as f64);
        let (x, y) = (limit(x), limit(y));
        let (x0, y0) = (x.floor().min((size - 2) as f64), y.floor().min((size - 2) as f64));
        let at = |dx: usize, dy: usize| {
            f64::from(src[((y0 as usize + dy) * size + x0 as usize + dx) * 3 + c])
        };
        let (fx, fy) = (x - x0, y - y0);
        (at(0, 0) * (1.0 - fx) + at(1, 0) * fx) * (1.0 - fy)
            + (at(0, 1) * (1.0 - fx) + at(1, 1) * fx) * fy
    }

    #[test]
    fn the_whole_face_at_its_own_size_is_the_crop_without_its_border() {
        let src = ramp(176);
        let mut out = vec![0; 160 * 160 * 3];
        canonical(&src, 176, 160, &mut out);
        for y in 0..160 {
            assert_eq!(out[y * 480..][..480], src[((y + 8) * 176 + 8) * 3..][..480]);
        }
    }

    #[test]
    fn the_template_lands_where_the_template_says() {
        // x and y are ramps, so a colour tells the place it was taken from.
        let mut out = vec![0; 112 * 112 * 3];
        canonical(&ramp(176), 176, 112, &mut out);
        for (x, y) in [(0, 0), (38, 52), (56, 72), (111, 111)] {
            let expected = |d: usize| (d as f32 * 160.0 / 112.0 + 8.0).round() as i32;
            let found = &out[(y * 112 + x) * 3..];
            assert!((i32::from(found[0]) - expected(x)).abs() <= 1, "x {x}: {}", found[0]);
            assert!((i32::from(found[1]) - expected(y)).abs() <= 1, "y {y}: {}", found[1]);
        }
    }

    #[test]
    fn a_smaller_store_shows_the_same_face() {
        let full = image::RgbImage::from_raw(176, 176, ramp(176)).unwrap();
        let small = image::imageops::resize(&full, 128, 128, image::imageops::FilterType::Triangle);
        let (mut a, mut b) = (vec![0; 112 * 112 * 3], vec![0; 112 * 112 * 3]);
        canonical(&full, 176, 112, &mut a);
        canonical(&small, 128, 112, &mut b);
        for (a, b) in a.as_chunks::<3>().0.iter().zip(b.as_chunks::<3>().0) {
            assert!(a[0].abs_diff(b[0]) <= 1 && a[1].abs_diff(b[1]) <= 1, "{a:?} {b:?}");
        }
    }

    #[test]
    fn steep_shrinking_averages_what_it_skips() {
        let stripes: Vec<u8> = (0..64 * 64 * 3).map(|i| ((i / 3) % 2 * 255) as u8).collect();
        let mut out = vec![0; 16 * 16 * 3];
        warp(&stripes, 64, Affine::scale_shift(4.0, 4.0, (1.5, 1.5)), &mut out, 16);
        assert!(out.iter().all(|v| v.abs_diff(128) <= 1), "{:?}", &out[..9]);
    }

    proptest! {
        #[test]
        fn any_gentle_map_agrees_with_plain_arithmetic(
            scale in 0.5f32..1.4, angle in -3.2f32..3.2, shift in (-60.0f32..60.0, -60.0f32..60.0)
        ) {
            let (size, out_size) = (40, 32);
            let src = ramp(size);
            let map = Affine::rotate(angle).then(Affine::scale_shift(scale, scale, shift));
            let mut out = vec![0; out_size * out_size * 3];
            warp(&src, size, map, &mut out, out_size);
            for i in 0..out_size * out_size {
                let (x, y) = ((i % out_size) as f64, (i / out_size) as f64);
                let m = map.0.map(f64::from);
                let (sx, sy) = (x * m[0] + y * m[1] + m[2], x * m[3] + y * m[4] + m[5]);
                for c in 0..3 {
                    let expected = reference(&src, size, sx, sy, c);
                    prop_assert!((f64::from(out[i * 3 + c]) - expected).abs() <= 2.0);
                }
            }
        }
    }
}
