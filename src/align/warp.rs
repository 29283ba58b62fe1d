use image::RgbImage;

/// The widest grid of samples averaged for one pixel; past 8 source pixels to one, detail aliases.
const WIDEST_GRID: u32 = 8;

/// 1 in the fixed-point weights of a sample, one factor for each axis.
const ONE: u32 = 1 << 10;

/// A map from destination to source pixels: x' = m0·x + m1·y + m2, y' = m3·x + m4·y + m5.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine(pub [f32; 6]);

impl Affine {
    /// Where the point [x, y] is looked up.
    pub fn apply(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let m = self.0;
        [m[0] * x + m[1] * y + m[2], m[3] * x + m[4] * y + m[5]]
    }

    /// This map followed by `next`: `a.then(&b).apply(p) == b.apply(a.apply(p))`.
    pub fn then(&self, next: &Self) -> Self {
        let (m, n) = (self.0, next.0);
        let [x, y] = next.apply([m[2], m[5]]);
        Self([
            n[0] * m[0] + n[1] * m[3],
            n[0] * m[1] + n[1] * m[4],
            x,
            n[3] * m[0] + n[4] * m[3],
            n[3] * m[1] + n[4] * m[4],
            y,
        ])
    }

    /// Samples a side averaged for one destination pixel: source pixels per destination pixel along
    /// the axis that shrinks most, rounded up, 1 to 8. A thousandth over a whole number is rounding.
    fn grid(&self) -> u32 {
        let m = self.0;
        let scale = m[0].hypot(m[3]).max(m[1].hypot(m[4]));
        ((scale - 1e-3).ceil() as u32).clamp(1, WIDEST_GRID)
    }

    /// An n×n grid inside a destination pixel, as steps in the source from where its centre goes.
    fn spots(&self, n: u32) -> Vec<[f32; 2]> {
        let m = self.0;
        let inside = |i: u32| (i as f32 + 0.5) / n as f32 - 0.5;
        let spot = |(x, y): (f32, f32)| [m[0] * x + m[1] * y, m[3] * x + m[4] * y];
        (0..n * n).map(|k| spot((inside(k % n), inside(k / n)))).collect()
    }
}

/// A `size`×`size` picture whose pixel (x, y) is `source` at `dst_to_src` of (x, y), both counted
/// from pixel centres. See [`warp_into`] for how it samples.
pub fn warp(source: &RgbImage, dst_to_src: &Affine, size: u32) -> RgbImage {
    let mut out = RgbImage::new(size, size);
    warp_into(source, dst_to_src, size, &mut out);
    out
}

/// [`warp`] into `out`: `size`·`size` RGB pixels, row by row.
///
/// Bilinear; outside the source its edge repeats. Where the map shrinks by a scale over 1, each pixel
/// is the mean of an n×n grid of bilinear samples inside it, n = ⌈scale⌉ up to 8. Deterministic. A
/// source without pixels gives black; a map that is not finite looks up the edge.
///
/// # Panics
/// If `out` is not `size`·`size`·3 bytes long, or `size` is over 65,535.
pub fn warp_into(source: &RgbImage, map: &Affine, size: u32, out: &mut [u8]) {
    let row_bytes = size as usize * 3;
    assert!(size <= u32::from(u16::MAX), "a crop of {size} pixels a side");
    assert_eq!(out.len(), size as usize * row_bytes, "out must hold size*size RGB pixels");
    if size == 0 || source.width() == 0 || source.height() == 0 {
        return out.fill(0);
    }
    let doubled;
    let source = if source.width() < 2 || source.height() < 2 {
        doubled = at_least_two_pixels_a_side(source);
        Sampler::new(&doubled)
    } else {
        Sampler::new(source)
    };
    let rows = out.chunks_exact_mut(row_bytes).zip(0u16..).map(|(row, y)| (row, f32::from(y)));
    match map.grid() {
        1 => rows.for_each(|(row, y)| source.row(map, y, row)),
        n => {
            let spots = map.spots(n);
            rows.for_each(|(row, y)| source.row_of_means(map, y, &spots, row));
        }
    }
}

fn at_least_two_pixels_a_side(source: &RgbImage) -> RgbImage {
    let (width, height) = source.dimensions();
    RgbImage::from_fn(width.max(2), height.max(2), |x, y| {
        *source.get_pixel(x.min(width - 1), y.min(height - 1))
    })
}

/// Bilinear look-ups in a picture of at least 2×2 pixels.
struct Sampler<'a> {
    pixels: &'a [u8],
    stride: usize,
    /// The last pixel centre, as a coordinate.
    last: [f32; 2],
    /// The last pixel that has a neighbour right and below.
    last_base: [usize; 2],
}

impl<'a> Sampler<'a> {
    fn new(source: &'a RgbImage) -> Self {
        let (width, height) = source.dimensions();
        Self {
            pixels: source.as_raw(),
            stride: width as usize * 3,
            last: [(width - 1) as f32, (height - 1) as f32],
            last_base: [width as usize - 2, height as usize - 2],
        }
    }

    /// The three channels at a point, 0 to 255 times [`ONE`] twice. NaN counts as 0.
    ///
    /// Integers, because turning twelve bytes into f32 costs more than the sum itself: 1.5 times as
    /// fast, and off by at most a quarter of a grey level.
    #[inline(always)]
    fn at(&self, x: f32, y: f32) -> [u32; 3] {
        let (x, y) = (x.max(0.0).min(self.last[0]), y.max(0.0).min(self.last[1]));
        // Clamped above, so the conversions by i32, the cheapest, lose nothing.
        let column = (x as i32 as usize).min(self.last_base[0]);
        let row = (y as i32 as usize).min(self.last_base[1]);
        let part = |f: f32| (f * ONE as f32 + 0.5) as i32 as u32;
        let (right, down) = (part(x - column as i32 as f32), part(y - row as i32 as f32));
        let (left, up) = (ONE - right, ONE - down);
        let start = row * self.stride + column * 3;
        let top = &self.pixels[start..start + 6];
        let bottom = &self.pixels[start + self.stride..start + self.stride + 6];
        let weights = [left * up, right * up, left * down, right * down];
        std::array::from_fn(|c| {
            let corners = [top[c], top[c + 3], bottom[c], bottom[c + 3]];
            corners.into_iter().zip(weights).map(|(v, w)| u32::from(v) * w).sum()
        })
    }

    fn row(&self, map: &Affine, y: f32, row: &mut [u8]) {
        let [m0, m1, m2, m3, m4, m5] = map.0;
        let (start_x, start_y) = (m1 * y + m2, m4 * y + m5);
        for (out, x) in row.as_chunks_mut::<3>().0.iter_mut().zip(0u16..) {
            let x = f32::from(x);
            let sample = self.at(m0 * x + start_x, m3 * x + start_y);
            *out = sample.map(|v| ((v + ONE * ONE / 2) / (ONE * ONE)) as u8);
        }
    }

    /// `spots` are where to sample around each looked-up point, in source pixels.
    fn row_of_means(&self, map: &Affine, y: f32, spots: &[[f32; 2]], row: &mut [u8]) {
        // A sample over 256 leaves room in 32 bits for all 64 of them.
        let share = 256.0 / (spots.len() as f32 * (ONE * ONE) as f32);
        for (out, x) in row.as_chunks_mut::<3>().0.iter_mut().zip(0u16..) {
            let [u, v] = map.apply([f32::from(x), y]);
            let mut sum = [0u32; 3];
            for [right, down] in spots {
                let sample = self.at(u + right, v + down);
                (0..3).for_each(|c| sum[c] += sample[c] / 256);
            }
            *out = sum.map(|v| (v as f32 * share + 0.5) as u8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;
    use proptest::prelude::*;

    #[test]
    fn halfway_between_pixels_is_their_mean_and_outside_is_the_edge() {
        let source = RgbImage::from_fn(2, 2, |x, y| Rgb([(x * 100) as u8, (y * 200) as u8, 50]));
        let shifted = warp(&source, &Affine([1.0, 0.0, 0.5, 0.0, 1.0, -5.0]), 2);
        assert_eq!(shifted.get_pixel(0, 0), &Rgb([50, 0, 50]));
        assert_eq!(shifted.get_pixel(1, 1), &Rgb([100, 0, 50]));
    }

    #[test]
    fn shrinking_averages_instead_of_picking() {
        let stripes = RgbImage::from_fn(64, 64, |x, _| Rgb([(x % 2 * 255) as u8; 3]));
        for scale in [2.0, 4.0, 8.0] {
            let shift = scale / 2.0 - 0.5;
            let small = warp(&stripes, &Affine([scale, 0.0, shift, 0.0, scale, shift]), 8);
            let inner = small.enumerate_pixels().filter(|(x, ..)| (1..7).contains(x));
            inner.for_each(|(.., p)| assert!((126..=129).contains(&p[0]), "{scale}: {p:?}"));
        }
    }

    #[test]
    fn one_pixel_and_none_are_pictures_too() {
        let map = Affine([3.0, 0.0, -2.0, 0.0, 3.0, 9.0]);
        let dot = RgbImage::from_pixel(1, 1, Rgb([9, 8, 7]));
        assert!(warp(&dot, &map, 4).pixels().all(|p| p.0 == [9, 8, 7]));
        assert!(warp(&RgbImage::new(0, 3), &map, 4).pixels().all(|p| p.0 == [0; 3]));
        assert_eq!(warp(&dot, &map, 0).len(), 0);
    }

    /// What [`Sampler::at`] approximates, in the plainest way.
    fn bilinear(source: &RgbImage, [x, y]: [f32; 2], channel: usize) -> f64 {
        let last = [source.width() - 1, source.height() - 1];
        let (x, y) =
            (f64::from(x).clamp(0.0, last[0].into()), f64::from(y).clamp(0.0, last[1].into()));
        let pixel = |dx: u32, dy: u32| {
            let (x, y) = ((x as u32 + dx).min(last[0]), (y as u32 + dy).min(last[1]));
            f64::from(source.get_pixel(x, y)[channel])
        };
        let (right, down) = (x.fract(), y.fract());
        let upper = pixel(0, 0) * (1.0 - right) + pixel(1, 0) * right;
        let lower = pixel(0, 1) * (1.0 - right) + pixel(1, 1) * right;
        upper * (1.0 - down) + lower * down
    }

    proptest! {
        #[test]
        fn a_sample_is_the_bilinear_mean_within_a_grey_level(
            scale in 0.2f32..1.0, turn in -0.3f32..0.3, dx in -9f32..30.0, dy in -9f32..30.0,
            noise in prop::collection::vec(any::<u8>(), 20 * 17 * 3),
        ) {
            let source = RgbImage::from_raw(20, 17, noise).unwrap();
            let map = Affine([scale * turn.cos(), -turn.sin() * scale, dx,
                scale * turn.sin(), scale * turn.cos(), dy]);
            for (x, y, pixel) in warp(&source, &map, 16).enumerate_pixels() {
                for channel in 0..3 {
                    let exact = bilinear(&source, map.apply([x as f32, y as f32]), channel);
                    prop_assert!((f64::from(pixel[channel]) - exact).abs() < 0.8);
                }
            }
        }

        #[test]
        fn any_map_looks_up_something_between_the_darkest_and_the_brightest(
            map in prop::array::uniform6(prop::num::f32::ANY), width in 1u32..6, height in 1u32..6,
        ) {
            let source = RgbImage::from_fn(width, height, |x, y| Rgb([100 + (x + y) as u8; 3]));
            for p in warp(&source, &Affine(map), 5).pixels() {
                prop_assert!((100..=110).contains(&p[0]));
            }
        }

        #[test]
        fn maps_chain(
            a in prop::array::uniform6(-3f32..3.0), b in prop::array::uniform6(-3f32..3.0),
        ) {
            let (a, b, p) = (Affine(a), Affine(b), [5.0, -2.0]);
            let (once, twice) = (a.then(&b).apply(p), b.apply(a.apply(p)));
            prop_assert!((once[0] - twice[0]).abs() < 1e-3 && (once[1] - twice[1]).abs() < 1e-3);
        }
    }
}
