use image::{Rgb, RgbImage};
use rand::Rng;

/// Red, green and blue, 0 to 1.
pub(super) type Colour = [f32; 3];

/// A square of colours painted shape by shape; shapes say how deep a point lies inside them, in px,
/// and their edge is one px soft.
pub(super) struct Canvas {
    size: usize,
    pixels: Vec<Colour>,
}

impl Canvas {
    /// A canvas painted by a function of the pixel.
    pub(super) fn new(size: usize, colour: impl Fn(f32, f32) -> Colour) -> Self {
        let at = |i: usize| colour((i % size) as f32, (i / size) as f32);
        Self { size, pixels: (0..size * size).map(at).collect() }
    }

    /// Paints a shape: `depth` is px inside it, negative outside.
    pub(super) fn fill(
        &mut self,
        opacity: f32,
        depth: impl Fn(f32, f32) -> f32,
        colour: impl Fn(f32, f32) -> Colour,
    ) {
        for (i, pixel) in self.pixels.iter_mut().enumerate() {
            let (x, y) = ((i % self.size) as f32, (i / self.size) as f32);
            let cover = (depth(x, y) + 0.5).clamp(0.0, 1.0) * opacity;
            if cover > 0.0 {
                *pixel = mix(*pixel, colour(x, y), cover);
            }
        }
    }

    /// Multiplies every colour by a function of the pixel.
    pub(super) fn shade(&mut self, light: impl Fn(f32, f32) -> Colour) {
        for (i, pixel) in self.pixels.iter_mut().enumerate() {
            let light = light((i % self.size) as f32, (i / self.size) as f32);
            *pixel = std::array::from_fn(|c| pixel[c] * light[c]);
        }
    }

    /// To bytes, with noise of at most `noise` levels each way.
    pub(super) fn into_picture(self, noise: f32, rng: &mut impl Rng) -> RgbImage {
        let size = self.size as u32;
        RgbImage::from_fn(size, size, |x, y| {
            let pixel = self.pixels[y as usize * self.size + x as usize];
            let mut random = [0; 3];
            rng.fill_bytes(&mut random);
            Rgb(std::array::from_fn(|c| {
                let jitter = (f32::from(random[c]) / 127.5 - 1.0) * noise;
                (pixel[c] * 255.0 + jitter).round().clamp(0.0, 255.0) as u8
            }))
        })
    }
}

/// `share` of the way from `a` to `b`.
pub(super) fn mix(a: Colour, b: Colour, share: f32) -> Colour {
    std::array::from_fn(|c| a[c] + (b[c] - a[c]) * share)
}

/// A colour made lighter (above 1) or darker.
pub(super) fn lit(colour: Colour, light: f32) -> Colour {
    colour.map(|v| v * light)
}

/// Depth inside an ellipse.
pub(super) fn ellipse(x: f32, y: f32, rx: f32, ry: f32) -> f32 {
    (1.0 - (x / rx).hypot(y / ry)) * rx.min(ry)
}

/// Depth inside a stroke `half` px thick either side of the curve `y = f(x)`, thinning to its ends
/// at ±`reach`. `slope` is the steepness of the curve there.
pub(super) fn stroke(x: f32, y: f32, reach: f32, half: f32, curve: f32, slope: f32) -> f32 {
    let along = 1.0 - (x / reach).abs();
    let thickness = half * (along * 4.0).clamp(0.0, 1.0).sqrt();
    let across = thickness - (y - curve).abs() / slope.hypot(1.0);
    across.min(along * reach)
}
