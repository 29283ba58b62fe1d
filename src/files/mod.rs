//! Bytes in and bytes out: pictures from a folder or a zip archive, results written whole or not at all.

mod atomic;
mod itself;
mod owner;
mod tree;

pub use atomic::{without_path, write_atomically};
pub(crate) use itself::{file_itself, folder_itself};
pub(crate) use owner::give_to_owner_of;
pub use tree::{Tree, TreeError};

use image::{DynamicImage, ImageDecoder, ImageReader, ImageResult, Limits, RgbImage};
use std::{io::Cursor, path::Path};

/// Whether a file is a picture that can be decoded, by its name.
pub fn is_picture(path: &Path) -> bool {
    let kind = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    matches!(kind.as_deref(), Some("jpg" | "jpeg" | "png" | "webp"))
}

/// A picture from the bytes of its file, upright, as the camera that took it was held (Exif orientation).
///
/// # Errors
/// The bytes are no picture, or one beyond `limits`.
pub fn decode(bytes: &[u8], limits: Limits) -> ImageResult<RgbImage> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let orientation = decoder.orientation()?;
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(orientation);
    Ok(picture.into_rgb8())
}
