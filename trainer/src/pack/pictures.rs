//! Crops encoded again. Lossy WebP, because two trips of 64 MiB must do for the whole: at
//! 128 px and a peak signal-to-noise ratio of about 36 dB the 34,473 crops of the seven sources are
//! 44 MB, where the `image` crate's baseline JPEG has 82 MB (of which 600 bytes a picture are
//! tables). What reads them needs nothing new: `image` decodes either.

use super::Settings;
use crate::data::{About, Dataset};
use rayon::prelude::*;
use std::io::{Cursor, Write};
use webp::{Encoder, WebPConfig};
use zip::{CompressionMethod, DateTime, ZipWriter, write::SimpleFileOptions};

/// The encoder's most thorough search: 3 % smaller than its default, and a pack is made once.
const METHOD: i32 = 6;

/// The pictures of one source of `dataset`, loaded at the size of `settings`, as a zip archive in the
/// layout that they came in.
pub(super) fn of(dataset: &Dataset, source: usize, settings: &Settings) -> Result<Vec<u8>, String> {
    let images: Vec<usize> =
        (0..dataset.len()).filter(|&i| usize::from(dataset.images()[i].source) == source).collect();
    let encoded = images
        .par_iter()
        .map(|&i| encode(dataset.pixels(i), settings.size, settings.quality))
        .collect::<Result<Vec<_>, _>>()?;
    let about = About { canonical_side: settings.size };
    let about = toml::to_string(&about).map_err(|e| e.to_string())?;
    let pictures = images.iter().zip(&encoded);
    let pictures = pictures.map(|(&i, bytes)| (dataset.name(i), &bytes[..]));
    archive(std::iter::once((About::FILE, about.as_bytes())).chain(pictures))
}

/// RGB of `side`×`side` px as lossy WebP.
pub(super) fn encode(pixels: &[u8], side: u32, quality: f32) -> Result<Vec<u8>, String> {
    let mut config = WebPConfig::new().map_err(|()| "libwebp is of another version")?;
    (config.quality, config.method) = (quality, METHOD);
    let encoded = Encoder::from_rgb(pixels, side, side).encode_advanced(&config);
    Ok(encoded.map_err(|e| format!("libwebp: {e:?}"))?.to_vec())
}

/// Named files in a zip archive, stored as they are: pictures do not shrink twice.
pub(super) fn archive<'a>(
    files: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> Result<Vec<u8>, String> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default());
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(name, options).map_err(|e| format!("{name}: {e}"))?;
        zip.write_all(bytes).map_err(|e| format!("{name}: {e}"))?;
    }
    Ok(zip.finish().map_err(|e| e.to_string())?.into_inner())
}
