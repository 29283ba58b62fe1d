use super::{Picture, Pictures};
use crate::data::augment::chance;
use facelatch::{
    align::{Affine, Landmarks, warp_into},
    detect::{Bounds, Face},
};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// How canvases are put together: a background, and on it one or four cells with a picture each, turned
/// and scaled so that one of its faces gets the size and place that was drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Compose {
    /// Side of the canvas, px: a multiple of 32 from 64 to 640.
    pub side: usize,
    /// Probability of a canvas without a face.
    pub empty: f32,
    /// Probability of four pictures instead of one.
    pub mosaic: f32,
    /// Smallest and largest face, px of the canvas, drawn evenly on a logarithmic scale.
    pub face_px: [f32; 2],
    /// Largest turn, degrees; half of the pictures turn by at most a third of it.
    pub rotate_deg: f32,
    /// Probability of light that falls off across the canvas: backlight, a lamp at one side.
    pub shade: f32,
    /// Probability of a dark canvas: an evening without a lamp.
    pub dark: f32,
}

impl Default for Compose {
    fn default() -> Self {
        Self {
            side: 256,
            empty: 0.08,
            mosaic: 0.5,
            face_px: [11.0, 230.0],
            rotate_deg: 30.0,
            shade: 0.2,
            dark: 0.15,
        }
    }
}

/// A canvas with what is to be found on it.
pub struct Canvas {
    /// RGB, row by row.
    pub pixels: Vec<u8>,
    /// Faces to be found.
    pub faces: Vec<Face>,
    /// Where it does not matter what is found.
    pub ignore: Vec<Bounds>,
}

/// A face of which less than this is to be seen is not learned from, and one of which more than a third
/// of it is to be seen is not held against the network either.
const VISIBLE: f32 = 0.7;

/// A picture is enlarged at most by this: beyond, it is a blur.
const MOST_ENLARGED: f32 = 3.0;

/// A rectangle of the canvas.
#[derive(Clone, Copy)]
struct Cell {
    x: usize,
    y: usize,
    width: usize,
    height: usize,
}

impl Compose {
    /// # Errors
    /// A sentence that names the first value out of range.
    pub fn check(&self) -> Result<(), String> {
        if !(64..=640).contains(&self.side) || !self.side.is_multiple_of(32) {
            let side = self.side;
            return Err(format!("compose.side is {side}; it is a multiple of 32 from 64 to 640"));
        }
        for (name, p) in [
            ("empty", self.empty),
            ("mosaic", self.mosaic),
            ("shade", self.shade),
            ("dark", self.dark),
        ] {
            if !(0.0..=1.0).contains(&p) {
                return Err(format!("compose.{name} is {p}; a probability goes from 0 to 1"));
            }
        }
        let [low, high] = self.face_px;
        if !(low >= 4.0 && high >= low && high <= self.side as f32) {
            return Err(format!(
                "compose.face_px is {low} to {high}; it goes from 4 to compose.side, smallest first"
            ));
        }
        if !(0.0..=180.0).contains(&self.rotate_deg) {
            return Err(format!("compose.rotate_deg is {}; 0 to 180", self.rotate_deg));
        }
        Ok(())
    }

    /// One canvas as drawn from `rng`.
    pub fn canvas(&self, pictures: &Pictures, rng: &mut impl Rng) -> Canvas {
        let side = self.side;
        let mut canvas =
            Canvas { pixels: vec![0; side * side * 3], faces: Vec::new(), ignore: Vec::new() };
        background(pictures, rng, &mut canvas.pixels, side);
        if !chance(self.empty, rng) {
            for cell in self.cells(rng) {
                let picture = &pictures.faces[rng.random_range(0..pictures.faces.len())];
                self.paste(picture, cell, rng, &mut canvas);
            }
        }
        self.light(rng, &mut canvas.pixels);
        canvas
    }

    fn cells(&self, rng: &mut impl Rng) -> Vec<Cell> {
        let side = self.side;
        if !chance(self.mosaic, rng) {
            return vec![Cell { x: 0, y: 0, width: side, height: side }];
        }
        let mut cut = || (side as f32 * (0.3 + 0.4 * rng.random::<f32>())) as usize;
        let (x, y) = (cut(), cut());
        [(0, 0, x, y), (x, 0, side - x, y), (0, y, x, side - y), (x, y, side - x, side - y)]
            .map(|(x, y, width, height)| Cell { x, y, width, height })
            .to_vec()
    }

    fn paste(&self, picture: &Picture, cell: Cell, rng: &mut impl Rng, canvas: &mut Canvas) {
        let chosen = &picture.truth.faces[rng.random_range(0..picture.truth.faces.len())];
        let place = self.place(chosen, cell, rng);
        place.draw(picture, cell, &mut canvas.pixels, self.side);
        let inside = Bounds {
            x: cell.x as f32 - 0.5,
            y: cell.y as f32 - 0.5,
            width: cell.width as f32,
            height: cell.height as f32,
        };
        for face in &picture.truth.faces {
            let face = place.face(face);
            let seen = face.bounds.overlap(&inside) / face.bounds.area();
            if seen >= VISIBLE && face.bounds.size() >= self.face_px[0] * 0.8 {
                canvas.faces.push(face);
            } else if seen >= VISIBLE / 3.0 {
                canvas.ignore.push(face.bounds);
            }
        }
        let doubtful = picture.truth.ignore.iter().map(|b| place.bounds(b));
        canvas.ignore.extend(doubtful.filter(|b| b.overlap(&inside) > 0.0));
    }

    /// Draws size, turn and place for a face in a cell.
    fn place(&self, face: &Face, cell: Cell, rng: &mut impl Rng) -> Place {
        let shorter = cell.width.min(cell.height) as f32;
        let source = face.bounds.size();
        let low = self.face_px[0];
        let high = self.face_px[1].min(shorter * 0.95).min(source * MOST_ENLARGED).max(low);
        let size = low * (high / low).powf(rng.random::<f32>());
        let most = if chance(0.5, rng) { self.rotate_deg } else { self.rotate_deg / 3.0 };
        let angle = ((rng.random::<f32>() * 2.0 - 1.0) * most).to_radians();
        let mut along = |start: usize, length: usize| {
            let margin = (size * 0.45).min(length as f32 / 2.0);
            start as f32 + margin + (length as f32 - 2.0 * margin) * rng.random::<f32>()
        };
        let to = [along(cell.x, cell.width), along(cell.y, cell.height)];
        Place {
            scale: size / source,
            angle,
            mirrored: chance(0.5, rng),
            from: face.bounds.centre(),
            to,
        }
    }

    fn light(&self, rng: &mut impl Rng, pixels: &mut [u8]) {
        let side = self.side as f32;
        let mut gain = [1.0f32, 0.0, 0.0];
        if chance(self.dark, rng) {
            gain[0] *= 0.12 + 0.5 * rng.random::<f32>();
        }
        if chance(self.shade, rng) {
            let angle = rng.random::<f32>() * std::f32::consts::TAU;
            let fall = 0.3 + 0.6 * rng.random::<f32>();
            // From 1 − fall at one side to 1 + fall/3 at the other.
            let (sin, cos) = angle.sin_cos();
            let middle = gain[0] * (1.0 - fall / 3.0);
            let slope = gain[0] * fall * 2.0 / 3.0 / (side / 2.0);
            gain = [middle - slope * (sin + cos) * side / 2.0, slope * cos, slope * sin];
        }
        if gain == [1.0, 0.0, 0.0] {
            return;
        }
        for (y, row) in pixels.chunks_exact_mut(self.side * 3).enumerate() {
            for (x, pixel) in row.as_chunks_mut::<3>().0.iter_mut().enumerate() {
                let gain = (gain[0] + gain[1] * x as f32 + gain[2] * y as f32).clamp(0.03, 2.0);
                *pixel = pixel.map(|v| (f32::from(v) * gain + 0.5) as u8);
            }
        }
    }
}

/// Fills the canvas with a random part of a picture without faces, or with one colour.
fn background(pictures: &Pictures, rng: &mut impl Rng, out: &mut [u8], side: usize) {
    if pictures.backgrounds.is_empty() || chance(0.1, rng) {
        let colour: [u8; 3] = rng.random();
        out.as_chunks_mut::<3>().0.fill(colour);
        return;
    }
    let picture = &pictures.backgrounds[rng.random_range(0..pictures.backgrounds.len())].pixels;
    let (width, height) = (picture.width() as f32, picture.height() as f32);
    // From a quarter of the picture's shorter side to all of it.
    let part = width.min(height) * (0.25 + 0.75 * rng.random::<f32>());
    let scale = part / side as f32;
    let [x, y] = [width, height].map(|length| (length - part) * rng.random::<f32>());
    let flip = if chance(0.5, rng) { -1.0 } else { 1.0 };
    let start = if flip < 0.0 { x + part } else { x };
    let map = Affine([scale * flip, 0.0, start, 0.0, scale, y]);
    let sides = [picture.width() as usize, picture.height() as usize];
    warp_into(picture, sides, &map, out, [side; 2]);
}

/// Where a picture goes: its point `from` to `to`, scaled, turned and perhaps mirrored about it.
struct Place {
    scale: f32,
    angle: f32,
    mirrored: bool,
    from: [f32; 2],
    to: [f32; 2],
}

impl Place {
    fn to_canvas(&self) -> Affine {
        let flip = if self.mirrored { -self.scale } else { self.scale };
        Affine::scale_shift(1.0, 1.0, self.from.map(|v| -v))
            .then(Affine::scale_shift(flip, self.scale, [0.0; 2]))
            .then(Affine::rotate(self.angle))
            .then(Affine::scale_shift(1.0, 1.0, self.to))
    }

    fn to_picture(&self) -> Affine {
        let back = 1.0 / self.scale;
        let flip = if self.mirrored { -back } else { back };
        Affine::scale_shift(1.0, 1.0, self.to.map(|v| -v))
            .then(Affine::rotate(-self.angle))
            .then(Affine::scale_shift(flip, back, [0.0; 2]))
            .then(Affine::scale_shift(1.0, 1.0, self.from))
    }

    /// The upright box around the turned ellipse in a box.
    fn bounds(&self, b: &Bounds) -> Bounds {
        let [x, y] = self.to_canvas().apply(b.centre());
        let (sin, cos) = self.angle.sin_cos();
        let [width, height] = [[b.width * cos, b.height * sin], [b.width * sin, b.height * cos]]
            .map(|[a, b]| a.hypot(b) * self.scale);
        Bounds { x: x - width / 2.0, y: y - height / 2.0, width, height }
    }

    fn face(&self, face: &Face) -> Face {
        let map = self.to_canvas();
        let [eye, other_eye, nose, corner, other_corner] = face.landmarks.0.map(|p| map.apply(p));
        // Landmarks go left to right in the picture.
        let landmarks = match self.mirrored {
            true => [other_eye, eye, nose, other_corner, corner],
            false => [eye, other_eye, nose, corner, other_corner],
        };
        Face {
            bounds: self.bounds(&face.bounds),
            landmarks: Landmarks(landmarks),
            score: face.score,
        }
    }

    /// Draws the picture where it covers the cell.
    fn draw(&self, picture: &Picture, cell: Cell, canvas: &mut [u8], side: usize) {
        let (width, height) = (picture.pixels.width() as f32, picture.pixels.height() as f32);
        let map = self.to_canvas();
        let corners =
            [[-0.5, -0.5], [width - 0.5, -0.5], [-0.5, height - 0.5], [width - 0.5, height - 0.5]]
                .map(|p| map.apply(p));
        let range = |axis: usize, start: usize, length: usize| {
            let values = corners.map(|c| c[axis]);
            let low = values.iter().copied().fold(f32::INFINITY, f32::min).ceil().max(start as f32);
            let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max).floor();
            let high = (high as isize + 1).clamp(start as isize, (start + length) as isize);
            (low as usize, (high as usize).max(low as usize))
        };
        let ((left, right), (top, bottom)) =
            (range(0, cell.x, cell.width), range(1, cell.y, cell.height));
        let (columns, rows) = (right - left, bottom - top);
        if columns == 0 || rows == 0 {
            return;
        }
        let back = Affine::scale_shift(1.0, 1.0, [left as f32, top as f32]).then(self.to_picture());
        let mut drawn = vec![0; columns * rows * 3];
        let sides = [width as usize, height as usize];
        warp_into(&picture.pixels, sides, &back, &mut drawn, [columns, rows]);
        for (y, row) in drawn.chunks_exact(columns * 3).enumerate() {
            let to = &mut canvas[((top + y) * side + left) * 3..][..columns * 3];
            let pixels = to.as_chunks_mut::<3>().0.iter_mut().zip(row.as_chunks::<3>().0);
            for (x, (to, from)) in pixels.enumerate() {
                let [px, py] = back.apply([x as f32, y as f32]);
                if (-0.5..width - 0.5).contains(&px) && (-0.5..height - 0.5).contains(&py) {
                    *to = *from;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use facelatch::{detect::DetectionScore, evaluate::PictureTruth};
    use image::{Rgb, RgbImage};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    /// A grey picture whose only face is a white rectangle with five coloured dots.
    fn pictures() -> Pictures {
        let spots = [[45.0, 50.0], [65.0, 50.0], [55.0, 60.0], [47.0, 72.0], [63.0, 72.0]];
        let bounds = Bounds { x: 34.5, y: 29.5, width: 40.0, height: 60.0 };
        let mut pixels = RgbImage::from_pixel(150, 120, Rgb([90; 3]));
        for (x, y) in (35..75).flat_map(|x| (30..90).map(move |y| (x, y))) {
            pixels.put_pixel(x, y, Rgb([255; 3]));
        }
        for (i, [x, y]) in spots.into_iter().enumerate() {
            for (dx, dy) in (0..9).map(|k| (k % 3, k / 3)) {
                let colour = if i % 3 == 2 { [255, 0, 0] } else { [0, 0, 255] };
                pixels.put_pixel(x as u32 + dx - 1, y as u32 + dy - 1, Rgb(colour));
            }
        }
        let face = Face { bounds, landmarks: Landmarks(spots), score: DetectionScore(0.9) };
        let truth = PictureTruth {
            image: String::new(),
            width: 150,
            height: 120,
            split: "train".into(),
            faces: vec![face],
            ignore: Vec::new(),
            manual_landmarks: None,
        };
        let picture = Picture { pixels, truth };
        Pictures { faces: vec![picture], ..Pictures::default() }
    }

    #[test]
    fn labels_stay_on_what_they_label() {
        let pictures = pictures();
        let compose = Compose { empty: 0.0, shade: 0.0, dark: 0.0, ..Compose::default() };
        let (mut checked, mut sizes) = (0, [f32::INFINITY, 0.0f32]);
        for seed in 0..60 {
            let canvas = compose.canvas(&pictures, &mut ChaCha8Rng::seed_from_u64(seed));
            for face in &canvas.faces {
                let size = face.bounds.size();
                sizes = [sizes[0].min(size), sizes[1].max(size)];
                if size < 60.0 {
                    continue;
                }
                let inside = |p: &[f32; 2]| p.iter().all(|v| (1.0..254.0).contains(v));
                for (i, [x, y]) in
                    face.landmarks.0.into_iter().enumerate().filter(|(_, p)| inside(p))
                {
                    let at = (y.round() as usize * 256 + x.round() as usize) * 3;
                    let [r, _, b] = canvas.pixels[at..at + 3] else { unreachable!() };
                    let wanted = if i == 2 { r > b } else { b > r };
                    assert!(wanted, "seed {seed}, landmark {i} at {x} {y}: {r} {b}");
                    checked += 1;
                }
                let [eye, other, ..] = face.landmarks.0;
                assert!(eye[0] < other[0], "left to right, however the picture is turned");
            }
        }
        assert!(checked > 100, "{checked}");
        assert!(sizes[0] < 20.0 && sizes[1] > 100.0, "{sizes:?}");
    }

    #[test]
    fn an_empty_canvas_asks_for_nothing_and_light_changes_pixels_alone() {
        let pictures = pictures();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let empty = Compose { empty: 1.0, ..Compose::default() }.canvas(&pictures, &mut rng);
        assert!(empty.faces.is_empty() && empty.ignore.is_empty());
        let canvas = |dark| {
            let compose = Compose { empty: 0.0, shade: 1.0, dark, ..Compose::default() };
            compose.canvas(&pictures, &mut ChaCha8Rng::seed_from_u64(2))
        };
        let sum = |c: &Canvas| c.pixels.iter().map(|v| u64::from(*v)).sum::<u64>();
        assert!(sum(&canvas(1.0)) < sum(&canvas(0.0)));
    }
}
