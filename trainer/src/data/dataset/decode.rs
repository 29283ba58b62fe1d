use super::{BORDER, CANONICAL, CROP};
use image::{
    ImageReader, Limits, RgbImage,
    imageops::{self, FilterType},
};
use std::io::Cursor;

/// A face picture is never larger on a side; a decompression bomb is.
const LARGEST_SIDE: u32 = 8192;

/// Decodes a picture and brings it to the stored form: the canonical crop with its border, at
/// `size` px. One of `canonical` px is such a crop already.
pub(super) fn stored(bytes: &[u8], canonical: u32, size: u32) -> Result<RgbImage, String> {
    let picture = decode(bytes).map_err(|e| e.to_string())?;
    let crop = if picture.dimensions() == (canonical, canonical) { picture } else { fit(&picture) };
    if crop.width() == size {
        return Ok(crop);
    }
    Ok(imageops::resize(&crop, size, size, FilterType::Triangle))
}

fn decode(bytes: &[u8]) -> image::ImageResult<RgbImage> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(LARGEST_SIDE);
    limits.max_image_height = Some(LARGEST_SIDE);
    reader.limits(limits);
    Ok(reader.decode()?.into_rgb8())
}

/// Cuts the largest centred square, scales it to the 160 px crop and repeats its edge as border.
fn fit(picture: &RgbImage) -> RgbImage {
    let (width, height) = picture.dimensions();
    let side = width.min(height);
    let square =
        imageops::crop_imm(picture, (width - side) / 2, (height - side) / 2, side, side).to_image();
    let face = if side == CROP {
        square
    } else {
        imageops::resize(&square, CROP, CROP, FilterType::Triangle)
    };
    let inside = |v: u32| v.saturating_sub(BORDER).min(CROP - 1);
    RgbImage::from_fn(CANONICAL, CANONICAL, |x, y| *face.get_pixel(inside(x), inside(y)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageFormat, Rgb};

    fn png(picture: &RgbImage) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn a_canonical_crop_is_stored_as_it_is() {
        let crop = RgbImage::from_fn(176, 176, |x, y| Rgb([x as u8, y as u8, 7]));
        assert_eq!(stored(&png(&crop), 176, 176).unwrap(), crop);
        assert_eq!(stored(&png(&crop), 176, 128).unwrap().dimensions(), (128, 128));
    }

    #[test]
    fn any_other_picture_is_cut_square_scaled_and_given_an_edge() {
        let wide = RgbImage::from_fn(400, 200, |x, _| {
            if (100..300).contains(&x) { Rgb([200, 10, 10]) } else { Rgb([0, 0, 255]) }
        });
        let stored = stored(&png(&wide), 176, 176).unwrap();
        assert_eq!(stored.dimensions(), (176, 176));
        assert!(stored.pixels().all(|p| *p == Rgb([200, 10, 10])));
        let exact = RgbImage::from_fn(160, 160, |x, y| Rgb([x as u8, y as u8, 0]));
        let padded = super::stored(&png(&exact), 176, 176).unwrap();
        assert_eq!(padded.get_pixel(8 + 31, 8 + 97), &Rgb([31, 97, 0]));
        assert_eq!(padded.get_pixel(0, 175), &Rgb([0, 159, 0]));
    }

    #[test]
    fn rubbish_is_an_error_and_not_a_panic() {
        for bytes in [&b""[..], b"not a picture", &png(&RgbImage::new(9, 9))[..40]] {
            assert!(stored(bytes, 176, 176).is_err());
        }
    }
}
