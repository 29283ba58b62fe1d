//! One place for the face template: where the five landmarks of a face stand in an aligned crop, and
//! how a picture is turned, scaled and cut so that they stand there; and how a crop is lit.
//!
//! Coordinates are in pixels, x to the right and y down, and an integer coordinate is the *centre* of
//! a pixel: (0, 0) is the middle of the top left one. "Left" is left in the picture, not the person's.

mod exposure;
mod similarity;
mod warp;

pub use exposure::expose;
pub use similarity::Similarity;
pub use warp::{Affine, warp, warp_into};

use image::RgbImage;

/// The standard five-point face template for a crop of 112×112 pixels: left eye, right eye, nose,
/// left and right mouth corner. ArcFace (Deng et al. 2019) and most published networks use it.
pub const TEMPLATE_112: [[f32; 2]; 5] = [
    [38.2946, 51.6963],
    [73.5318, 51.5014],
    [56.0252, 71.7366],
    [41.5493, 92.3655],
    [70.7299, 92.2041],
];

/// Five facial landmarks as [x, y] in pixels of their picture, integer coordinates at pixel centres:
/// eye, eye, nose, mouth corner, mouth corner, left to right in the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Landmarks(pub [[f32; 2]; 5]);

/// Why a face cannot be aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AlignError {
    /// A coordinate is NaN or infinite.
    #[error("a landmark is not a finite number; detect the face again")]
    NotFinite,
    /// The points coincide, or no turn and scale brings them near each other.
    #[error("the landmarks do not span a face (they coincide or cancel); detect the face again")]
    Degenerate,
    /// The picture has no pixels, or the crop would have none.
    #[error("the picture or the crop asked for has no pixels")]
    Empty,
}

/// [`TEMPLATE_112`] for a crop of `size`×`size` pixels: every coordinate times `size / 112`.
///
/// Nothing but scaled: integer coordinates are pixel centres at every size, so two crops of one face
/// at sizes a and b are related by x ↦ x·b/a, without a shift by half a pixel.
pub fn template(size: u32) -> Landmarks {
    let scale = size as f32 / 112.0;
    Landmarks(TEMPLATE_112.map(|[x, y]| [x * scale, y * scale]))
}

/// Cuts the face at `landmarks` out of `source`, turned and scaled to [`template`]`(size)`.
///
/// The fit goes from the landmarks to the template (least squares in crop pixels) and is inverted to
/// look pixels up. What lies outside the picture repeats its edge. A face in the dark is brightened
/// ([`expose`]).
///
/// # Errors
/// [`AlignError`]: landmarks that are no face, or no pixels.
pub fn crop(source: &RgbImage, landmarks: &Landmarks, size: u32) -> Result<RgbImage, AlignError> {
    let mut out = RgbImage::new(size, size);
    crop_into(source, landmarks, &mut out)?;
    Ok(out)
}

/// [`crop`] into a picture that is there already, whose width is the size.
///
/// # Errors
/// [`AlignError`]; `out` is as it was then.
///
/// # Panics
/// If `out` is not square.
pub fn crop_into(
    source: &RgbImage,
    landmarks: &Landmarks,
    out: &mut RgbImage,
) -> Result<(), AlignError> {
    let size = out.width();
    if source.width() == 0 || source.height() == 0 || size == 0 {
        return Err(AlignError::Empty);
    }
    let to_crop = Similarity::fit(landmarks, &template(size))?;
    let sides = |picture: &RgbImage| [picture.width() as usize, picture.height() as usize];
    let (from, to) = (sides(source), sides(out));
    assert_eq!(to[0], to[1], "a crop is square");
    warp_into(source, from, &to_crop.inverse().into(), out, to);
    expose(out, to[0]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Smooth in x and y, different in every channel: interpolation errors and shifts show.
    fn picture(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            let wave = |f: f32, g: f32| 128.0 + 100.0 * (x as f32 * f + y as f32 * g).sin();
            image::Rgb([wave(0.11, 0.02) as u8, wave(0.03, 0.1) as u8, wave(0.07, -0.05) as u8])
        })
    }

    #[test]
    fn a_face_already_in_place_is_cut_out_unchanged() {
        for size in [64, 112, 160] {
            let source = picture(size, size);
            assert_eq!(crop(&source, &template(size), size), Ok(source));
        }
    }

    #[test]
    fn a_shifted_face_is_found_again() {
        let source = picture(300, 260);
        let moved = Landmarks(template(112).0.map(|[x, y]| [x + 40.0, y + 31.0]));
        let expected = image::imageops::crop_imm(&source, 40, 31, 112, 112).to_image();
        assert_eq!(crop(&source, &moved, 112), Ok(expected));
    }

    #[test]
    fn landmarks_that_are_no_face_are_refused() {
        let source = picture(50, 50);
        let same = Landmarks([[7.0, 9.0]; 5]);
        let mut nan = template(112);
        nan.0[3][1] = f32::NAN;
        assert_eq!(crop(&source, &same, 112), Err(AlignError::Degenerate));
        assert_eq!(crop(&source, &nan, 112), Err(AlignError::NotFinite));
        assert_eq!(crop(&RgbImage::new(0, 0), &template(112), 112), Err(AlignError::Empty));
        assert_eq!(crop(&source, &template(112), 0), Err(AlignError::Empty));
    }
}
