use super::{Geometry, about, chance};
use crate::data::{dataset::CROP, resample::output_to_face};
use facelatch::align::Affine;
use rand::Rng;

impl Geometry {
    /// Draws the map from an output pixel to the 160 px face.
    pub(super) fn draw(&self, mirrored: bool, out_size: usize, rng: &mut impl Rng) -> Affine {
        let mut map = if mirrored {
            Affine::scale_shift(-1.0, 1.0, [(out_size - 1) as f32, 0.0])
        } else {
            Affine::scale_shift(1.0, 1.0, [0.0, 0.0])
        }
        .then(output_to_face(out_size));
        if chance(self.probability, rng) {
            let centre = (CROP - 1) as f32 / 2.0;
            let scale = (1.0 + self.scale).powf(about(1.0, rng));
            let stretch = (1.0 + self.stretch).powf(about(0.5, rng));
            let angle = about(self.rotate_deg, rng).to_radians();
            let shift = (about(self.shift_px, rng), about(self.shift_px, rng));
            map = map
                .then(Affine::scale_shift(1.0, 1.0, [-centre, -centre]))
                .then(Affine::scale_shift(scale * stretch, scale / stretch, [0.0, 0.0]))
                .then(Affine::rotate(angle))
                .then(Affine::scale_shift(1.0, 1.0, [centre + shift.0, centre + shift.1]));
        }
        map
    }
}
