use super::{Occlusion, about, chance, within};
use crate::data::dataset::CROP;
use facelatch::align::Affine;
use rand::{Rng, RngExt};

/// The eyes of the face template, scaled to the 160 px face.
const EYES: [(f32, f32); 2] = [(54.7, 73.9), (105.0, 73.6)];

/// From the middle of the face to where the temples of glasses turn away, px of the 160 px face.
const TEMPLE: f32 = 70.0;

/// Colours of common masks.
const MASKS: [[u8; 3]; 4] = [[150, 190, 215], [235, 235, 235], [25, 25, 28], [120, 150, 140]];

impl Occlusion {
    /// Lays things over the face. They are placed on the face and so turn and shift with it:
    /// `to_face` maps an output pixel to the 160 px face.
    pub(super) fn apply(
        &self,
        to_face: &Affine,
        rng: &mut impl Rng,
        picture: &mut [u8],
        size: usize,
    ) {
        if chance(self.rectangle, rng) {
            self.rectangle(to_face, rng, picture, size);
        }
        if chance(self.sunglasses, rng) {
            sunglasses(to_face, rng, picture, size);
        }
        if chance(self.mask, rng) {
            mask(to_face, rng, picture, size);
        }
    }

    fn rectangle(&self, to_face: &Affine, rng: &mut impl Rng, picture: &mut [u8], size: usize) {
        let half = (within(self.side_px, rng) / 2.0, within(self.side_px, rng) / 2.0);
        let face = [0.0, CROP as f32];
        let centre = (within(face, rng), within(face, rng));
        let kind = rng.random_range(0..3);
        let colour = if kind == 1 { mean(picture) } else { rng.random() };
        let mut noise = vec![0; if kind == 0 { picture.len() } else { 0 }];
        rng.fill_bytes(&mut noise);
        let inside = |x: f32, y: f32| {
            let (dx, dy) = (half.0 - (x - centre.0).abs(), half.1 - (y - centre.1).abs());
            dx.min(dy)
        };
        let noise = noise.as_chunks::<3>().0;
        lay(to_face, picture, size, 1.0, inside, |i| noise.get(i).copied().unwrap_or(colour));
    }
}

/// Two dark lenses, round or square, with a bridge and temples.
fn sunglasses(to_face: &Affine, rng: &mut impl Rng, picture: &mut [u8], size: usize) {
    let lens = (within([18.0, 24.0], rng), within([12.0, 19.0], rng));
    let power = within([2.0, 5.0], rng);
    let drop = about(3.0, rng);
    let grey = within([8.0, 60.0], rng);
    let colour: [u8; 3] = std::array::from_fn(|_| (grey + about(8.0, rng)).max(0.0) as u8);
    let opacity = within([0.75, 1.0], rng);
    let bar = within([1.5, 3.5], rng);
    let inside = |x: f32, y: f32| {
        let glass = EYES.iter().map(|eye| {
            let (dx, dy) = ((x - eye.0).abs() / lens.0, (y - eye.1 - drop).abs() / lens.1);
            // Outside the lens's box the cheap bound does.
            if dx.max(dy) >= 1.0 {
                return (1.0 - dx.max(dy)) * lens.1;
            }
            (1.0 - (dx.powf(power) + dy.powf(power)).powf(1.0 / power)) * lens.1
        });
        let temples = TEMPLE - (x - CROP as f32 / 2.0).abs();
        let frame = (bar - (y - EYES[0].1 - drop + lens.1 * 0.5).abs()).min(temples);
        glass.fold(frame, f32::max)
    };
    lay(to_face, picture, size, opacity, inside, |_| colour);
}

/// A cloth from the bridge of the nose over the chin, its upper edge bent over the nose.
fn mask(to_face: &Affine, rng: &mut impl Rng, picture: &mut [u8], size: usize) {
    let base: [u8; 3] =
        if rng.random() { MASKS[rng.random_range(0..MASKS.len())] } else { rng.random() };
    let top = within([88.0, 104.0], rng);
    let bend = within([4.0, 14.0], rng);
    let width = within([62.0, 80.0], rng);
    let fold = within([3.0, 9.0], rng);
    let inside = |x: f32, y: f32| {
        let dx = (x - 80.0) / width;
        let edge = y - (top - bend * (1.0 - 2.0 * dx * dx));
        let side = (1.0 - (dx * dx + ((y - 105.0) / 70.0).powi(2)).sqrt()) * width;
        edge.min(side)
    };
    let shade = |i: usize| {
        let [_, row] = to_face.apply([(i % size) as f32, (i / size) as f32]);
        let light = 1.0 + 0.08 * (row / fold).sin();
        base.map(|v| (f32::from(v) * light).min(255.0) as u8)
    };
    lay(to_face, picture, size, 1.0, inside, shade);
}

/// Paints the pixels for which `inside`, in px of the face from the edge inwards, is positive.
fn lay(
    to_face: &Affine,
    picture: &mut [u8],
    size: usize,
    opacity: f32,
    inside: impl Fn(f32, f32) -> f32,
    colour: impl Fn(usize) -> [u8; 3],
) {
    for (i, pixel) in picture.as_chunks_mut::<3>().0.iter_mut().enumerate() {
        let [x, y] = to_face.apply([(i % size) as f32, (i / size) as f32]);
        let cover = (inside(x, y) + 0.5).clamp(0.0, 1.0) * opacity;
        if cover > 0.0 {
            let over = colour(i);
            for c in 0..3 {
                let v = f32::from(pixel[c]);
                pixel[c] = (v + (f32::from(over[c]) - v) * cover).round() as u8;
            }
        }
    }
}

fn mean(picture: &[u8]) -> [u8; 3] {
    let pixels = picture.as_chunks::<3>().0;
    let mut sums = [0u64; 3];
    for pixel in pixels {
        for c in 0..3 {
            sums[c] += u64::from(pixel[c]);
        }
    }
    sums.map(|sum| (sum / pixels.len().max(1) as u64) as u8)
}
