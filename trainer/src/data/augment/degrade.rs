use super::{Blur, Jpeg, Motion, Noise, Resolution, chance, filter, within};
use crate::data::dataset::CROP;
use facelatch::align::{Affine, warp_into};
use image::{
    ExtendedColorType, ImageDecoder,
    codecs::jpeg::{JpegDecoder, JpegEncoder},
};
use rand::Rng;
use std::io::Cursor;

/// Output px in one px of the 160 px face.
fn unit(size: usize) -> f32 {
    size as f32 / CROP as f32
}

impl Blur {
    pub(super) fn apply(&self, rng: &mut impl Rng, picture: &mut [u8], size: usize) {
        if chance(self.probability, rng) {
            let sigma = within(self.sigma_px, rng) * unit(size);
            filter::gaussian(picture, size, sigma.max(0.05));
        }
    }
}

impl Motion {
    pub(super) fn apply(&self, rng: &mut impl Rng, picture: &mut [u8], size: usize) {
        if chance(self.probability, rng) {
            let length = within(self.length_px, rng) * unit(size);
            let angle = within([0.0, std::f32::consts::PI], rng);
            filter::smear(picture, size, length, angle);
        }
    }
}

impl Resolution {
    pub(super) fn apply(&self, rng: &mut impl Rng, picture: &mut [u8], size: usize) {
        if !chance(self.probability, rng) {
            return;
        }
        let small = ((within(self.share, rng) * size as f32).round() as usize).clamp(2, size);
        let mut shrunk = vec![0; small * small * 3];
        warp_into(picture, [size; 2], &edge_scale(size, small), &mut shrunk, [small; 2]);
        warp_into(&shrunk, [small; 2], &edge_scale(small, size), picture, [size; 2]);
    }
}

/// From a pixel of a picture of `to` px to one of `from` px, outer edges on each other.
fn edge_scale(from: usize, to: usize) -> Affine {
    let scale = from as f32 / to as f32;
    let shift = scale / 2.0 - 0.5;
    Affine::scale_shift(scale, scale, [shift, shift])
}

impl Noise {
    /// Adds to each value the sum of four random bytes, scaled: close to normal, and cheap.
    pub(super) fn apply(&self, rng: &mut impl Rng, picture: &mut [u8]) {
        if !chance(self.probability, rng) {
            return;
        }
        // The sum of four uniform bytes has mean 510 and standard deviation √(4·(256²−1)/12).
        let scale = (within(self.sigma, rng) / 147.8 * 4096.0) as i32;
        let mut random = vec![0; picture.len() * 4];
        rng.fill_bytes(&mut random);
        for (v, bytes) in picture.iter_mut().zip(random.as_chunks::<4>().0) {
            let sum: i32 = bytes.iter().map(|b| i32::from(*b)).sum();
            *v = (i32::from(*v) + (((sum - 510) * scale + 2048) >> 12)).clamp(0, 255) as u8;
        }
    }
}

impl Jpeg {
    pub(super) fn apply(&self, rng: &mut impl Rng, picture: &mut [u8], size: usize) {
        if !chance(self.probability, rng) {
            return;
        }
        let [low, high] = self.quality.map(f32::from);
        let quality = within([low, high], rng).round() as u8;
        // In memory neither can fail; if either did, the picture would only be better than asked.
        if let Err(error) = squeeze(picture, size, quality) {
            log::debug!("JPEG at quality {quality}: {error}");
        }
    }
}

fn squeeze(picture: &mut [u8], size: usize, quality: u8) -> image::ImageResult<()> {
    let mut bytes = Vec::with_capacity(picture.len() / 4);
    JpegEncoder::new_with_quality(&mut bytes, quality).encode(
        picture,
        size as u32,
        size as u32,
        ExtendedColorType::Rgb8,
    )?;
    JpegDecoder::new(Cursor::new(bytes))?.read_image(picture)
}
