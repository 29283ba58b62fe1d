use super::Light;
use crate::align::{Affine, Similarity};
use image::RgbImage;

/// Points a side. Eyes are then 26 points apart: a face at the least inter-eye distance of
/// [`super::Limits`] is still shrunk a little, so that every face is measured on detail it has.
const SIDE: usize = 48;

/// Upper left corner and side of what is looked at, in px of the 112 px template: brows to chin, cheek to
/// cheek, and no hair or background.
const CORNER: [f32; 2] = [24.0, 40.0];
const EXTENT: f32 = 64.0;

/// The most samples a side averaged for one point. A bilinear sample reaches over two px, so that up to
/// 8 px to a point, a face wider than a frame of 640 px, nothing is skipped.
const WIDEST_GRID: u16 = 4;

/// Luma at or below which ISO/IEC 29794-5 counts a pixel as under-exposed, and at or above which as
/// over-exposed.
const DARK: f32 = 25.0;
const BRIGHT: f32 = 247.0;

impl Light {
    /// Of a face that cannot be looked at.
    pub(super) const UNKNOWN: Self = Self {
        brightness: f32::NAN,
        dark: f32::NAN,
        bright: f32::NAN,
        contrast: f32::NAN,
        sharpness: f32::NAN,
    };
}

/// Luma on a grid over the aligned face, row by row, 0 to 255.
pub(super) struct Patch([[f32; SIDE]; SIDE]);

impl Patch {
    /// Looks a face up that `to_template` brings to the 112 px template. What lies outside of the frame
    /// repeats its edge. The frame must have pixels.
    pub fn of(frame: &RgbImage, to_template: &Similarity) -> Self {
        let step = EXTENT / SIDE as f32;
        let to_frame = Affine::scale_shift(step, step, CORNER.map(|v| v + step / 2.0 - 0.5))
            .then(to_template.inverse().into());
        let pixels_a_point = step / to_template.scale();
        // `max` first: it also makes 1 of a scale that is not a number.
        let n = pixels_a_point.ceil().max(1.0).min(f32::from(WIDEST_GRID)) as u16;
        let point = |x: usize, y: usize| mean(frame, &to_frame, [x as f32, y as f32], n);
        Self(std::array::from_fn(|y| std::array::from_fn(|x| point(x, y))))
    }

    pub fn light(&self) -> Light {
        let points = self.0.as_flattened();
        let share = |counted: fn(f32) -> bool| {
            points.iter().filter(|&&v| counted(v)).count() as f32 / points.len() as f32
        };
        let (brightness, contrast) = spread(points.iter().copied());
        let (_, edges) = spread(self.laplacian());
        Light {
            brightness,
            dark: share(|v| v <= DARK),
            bright: share(|v| v >= BRIGHT),
            contrast,
            // Below half a grey level there is nothing but rounding to be sharp.
            sharpness: if contrast < 0.5 { 0.0 } else { edges / contrast },
        }
    }

    /// Four neighbours less four times the middle, at every point that has them.
    fn laplacian(&self) -> impl Iterator<Item = f32> + Clone {
        let rows = self.0.windows(3);
        rows.flat_map(|rows| {
            (1..SIDE - 1).map(move |x| {
                let [above, row, below] = [&rows[0], &rows[1], &rows[2]];
                above[x] + below[x] + row[x - 1] + row[x + 1] - 4.0 * row[x]
            })
        })
    }
}

/// The mean of n×n bilinear samples inside the point `at` of the grid.
fn mean(frame: &RgbImage, to_frame: &Affine, at: [f32; 2], n: u16) -> f32 {
    let inside = |i: u16| (f32::from(i) + 0.5) / f32::from(n) - 0.5;
    let sample =
        |i: u16| luma_at(frame, to_frame.apply([at[0] + inside(i % n), at[1] + inside(i / n)]));
    (0..n * n).map(sample).sum::<f32>() / f32::from(n * n)
}

fn luma_at(frame: &RgbImage, [x, y]: [f32; 2]) -> f32 {
    let (left, right, fx) = neighbours(x, frame.width());
    let (top, bottom, fy) = neighbours(y, frame.height());
    let mix = |a: f32, b: f32, f: f32| a + (b - a) * f;
    let row = |y: u32| mix(luma(frame, left, y), luma(frame, right, y), fx);
    mix(row(top), row(bottom), fy)
}

/// The pixels on both sides of a coordinate, and the weight of the second. Not a number is 0.
fn neighbours(v: f32, side: u32) -> (u32, u32, f32) {
    let last = side - 1;
    let v = v.max(0.0).min(last as f32);
    let low = v as u32;
    (low, (low + 1).min(last), v - low as f32)
}

/// BT.709 weights.
fn luma(frame: &RgbImage, x: u32, y: u32) -> f32 {
    let [r, g, b] = frame.get_pixel(x, y).0.map(f32::from);
    0.2126 * r + 0.7152 * g + 0.0722 * b
}

/// Mean and standard deviation.
fn spread(values: impl Iterator<Item = f32> + Clone) -> (f32, f32) {
    let count = values.clone().count() as f32;
    let mean = values.clone().sum::<f32>() / count;
    (mean, (values.map(|v| (v - mean).powi(2)).sum::<f32>() / count).sqrt())
}
