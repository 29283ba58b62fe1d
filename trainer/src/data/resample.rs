//! Where a stored crop shows the pixels of a network's input.
//!
//! Integer coordinates are pixel centres, as in the face template: pixel `d` of an `S` px output
//! lies at `d · 160/S + 8` of the 176 px crop. A crop stored smaller was scaled about pixel edges,
//! so `c` of the 176 px crop lies at `(c + 0.5) · size/176 − 0.5` of it.

use super::dataset::{BORDER, CANONICAL, CROP};
use facelatch::align::{Affine, expose, warp_into};

/// From a pixel of an `out_size` px output to the 160 px face.
pub fn output_to_face(out_size: usize) -> Affine {
    let scale = CROP as f32 / out_size as f32;
    Affine::scale_shift(scale, scale, [0.0, 0.0])
}

/// From the 160 px face to a pixel of the crop stored at `src_size` px.
pub fn face_to_stored(src_size: usize) -> Affine {
    let scale = src_size as f32 / CANONICAL as f32;
    let shift = (BORDER as f32 + 0.5) * scale - 0.5;
    Affine::scale_shift(scale, scale, [shift, shift])
}

/// The face without augmentation, for evaluation and calibration: RGB `out_size`² · 3 bytes.
///
/// # Panics
/// When a buffer is not its size² · 3 bytes.
pub fn canonical(src: &[u8], src_size: usize, out_size: usize, out: &mut [u8]) {
    let map = output_to_face(out_size).then(face_to_stored(src_size));
    warp_into(src, [src_size; 2], &map, out, [out_size; 2]);
    expose(out, out_size);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::synthetic;
    use facelatch::align::{Landmarks, Similarity, crop, template, warp};
    use image::RgbImage;

    fn ramp(size: usize) -> Vec<u8> {
        (0..size * size)
            .flat_map(|i| {
                let (x, y) = (i % size, i / size);
                [x as u8, y as u8, ((x * 7 + y * 13) % 256) as u8]
            })
            .collect()
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

    /// Mean difference between a face cut out of its picture directly, as the door and the
    /// evaluation do, and one stored as a crop of 176 px on the way, as training does.
    fn detour(picture: &RgbImage, landmarks: &Landmarks, out_size: u32) -> f64 {
        let direct = crop(picture, landmarks, out_size).unwrap();
        let bordered = template(CROP).0.map(|p| p.map(|v| v + BORDER as f32));
        let to_stored = Similarity::fit(landmarks, &Landmarks(bordered)).unwrap();
        let stored = warp(picture, &to_stored.inverse().into(), CANONICAL);
        let mut out = vec![0; direct.len()];
        canonical(&stored, CANONICAL as usize, out_size as usize, &mut out);
        let sum: u64 = direct.iter().zip(&out).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        sum as f64 / out.len() as f64
    }

    #[test]
    fn training_and_evaluation_crop_the_same_face_alike() {
        // A photograph: the face turned by 8°, its size as in LFW (112 px of crop are 130 of picture).
        // Its negative: bright, so that nothing is brightened, and the crops alone are compared.
        let mut face = synthetic::picture(0, 0, 5);
        face.iter_mut().for_each(|v| *v = 255 - *v);
        let middle = |by: f32| Affine::scale_shift(1.0, 1.0, [by, by]);
        let size = 112.0 / 160.0 * 1.16;
        let to_photograph = Affine::rotate(0.14).then(Affine::scale_shift(size, size, [0.0; 2]));
        let to_face =
            Affine::rotate(-0.14).then(Affine::scale_shift(1.0 / size, 1.0 / size, [0.0; 2]));
        let photograph = warp(&face, &middle(-125.0).then(to_face).then(middle(88.0)), 250);
        let bordered = template(CROP).0.map(|p| p.map(|v| v + BORDER as f32));
        let to_photograph = middle(-88.0).then(to_photograph).then(middle(125.0));
        let landmarks = Landmarks(bordered.map(|p| to_photograph.apply(p)));
        for (size, most) in [(96, 1.0), (112, 0.7), (128, 0.7), (160, 0.01)] {
            let difference = detour(&photograph, &landmarks, size);
            assert!(difference < most, "{size} px: {difference:.2} of 255");
        }
    }
}
