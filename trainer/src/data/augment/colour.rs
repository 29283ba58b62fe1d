use super::{Light, about, chance};
use rand::Rng;

impl Light {
    /// Changes saturation, then puts each channel through one curve of gain, gamma, contrast and
    /// brightness.
    pub(super) fn apply(&self, rng: &mut impl Rng, picture: &mut [u8]) {
        if !chance(self.probability, rng) {
            return;
        }
        let saturation = 1.0 + about(self.saturation, rng);
        let gamma = (1.0 + self.gamma).powf(about(1.0, rng));
        let contrast = 1.0 + about(self.contrast, rng);
        let brightness = about(self.brightness, rng);
        let shared = curve(|v| (v.powf(gamma) - 0.5) * contrast + 0.5 + brightness);
        let gains: [f32; 3] = std::array::from_fn(|_| 1.0 + about(self.gains, rng));
        let curves = gains.map(|gain| curve(|v| v * gain).map(|v| shared[usize::from(v)]));
        let strength = (saturation * 256.0) as i32;
        for pixel in picture.as_chunks_mut::<3>().0 {
            let grey = i32::from(luma(pixel));
            for c in 0..3 {
                let v = grey + ((i32::from(pixel[c]) - grey) * strength) / 256;
                pixel[c] = curves[c][v.clamp(0, 255) as usize];
            }
        }
    }
}

/// Takes the colour out.
pub(super) fn grayscale(picture: &mut [u8]) {
    for pixel in picture.as_chunks_mut::<3>().0 {
        *pixel = [luma(pixel); 3];
    }
}

/// BT.601 luma in 1/256.
pub(super) fn luma([r, g, b]: &[u8; 3]) -> u8 {
    ((u32::from(*r) * 77 + u32::from(*g) * 150 + u32::from(*b) * 29 + 128) >> 8) as u8
}

fn curve(f: impl Fn(f32) -> f32) -> [u8; 256] {
    std::array::from_fn(|v| (f(v as f32 / 255.0) * 255.0).round().clamp(0.0, 255.0) as u8)
}
