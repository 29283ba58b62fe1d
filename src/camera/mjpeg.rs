use super::convert::ConvertError;
use image::{DynamicImage, ImageDecoder, RgbImage, codecs::jpeg::JpegDecoder};
use std::{borrow::Cow, io::Cursor};

/// Decodes one frame of a camera's MJPEG, which must have the size that the driver announced.
///
/// Many cameras leave out the Huffman tables, as AVI's MJPEG did: the standard ones are meant then.
pub(super) fn decode(bytes: &[u8], width: u32, height: u32) -> Result<RgbImage, ConvertError> {
    let wrong = |problem: String| ConvertError::Jpeg(problem);
    let whole = with_tables(bytes).ok_or_else(|| wrong("a torn frame".to_owned()))?;
    let decoder = JpegDecoder::new(Cursor::new(&*whole)).map_err(|e| wrong(e.to_string()))?;
    let (w, h) = decoder.dimensions();
    if (w, h) != (width, height) {
        return Err(wrong(format!("{w} × {h} pixels, not the camera's {width} × {height}")));
    }
    let picture = DynamicImage::from_decoder(decoder).map_err(|e| wrong(e.to_string()))?;
    Ok(picture.into_rgb8())
}

/// The JPEG up to its end marker, with Huffman tables; `None` if it is not whole. The decoder would
/// fill what is missing with grey, and a face could be in it.
fn with_tables(bytes: &[u8]) -> Option<Cow<'_, [u8]>> {
    let (scan, has_tables) = find_scan(bytes)?;
    // A true end: within the scan a byte of 0xff is followed by 0 or by a restart marker. What comes
    // after it is the padding of some cameras.
    let end = scan + bytes[scan..].windows(2).rposition(|two| two == [0xff, 0xd9])? + 2;
    if has_tables {
        return Some(Cow::Borrowed(&bytes[..end]));
    }
    Some(Cow::Owned([&bytes[..scan], &standard_tables(), &bytes[scan..end]].concat()))
}

/// Where the first scan's marker is, and whether Huffman tables come before it.
fn find_scan(bytes: &[u8]) -> Option<(usize, bool)> {
    let mut at = bytes.starts_with(&[0xff, 0xd8]).then_some(2)?;
    let mut has_tables = false;
    loop {
        match *bytes.get(at..)?.first_chunk()? {
            // Markers may be filled up with any number of these.
            [0xff, 0xff] => at += 1,
            [0xff, 0xda] => return Some((at, has_tables)),
            [0xff, kind] => {
                has_tables |= kind == 0xc4;
                let length = u16::from_be_bytes(*bytes.get(at + 2..)?.first_chunk()?);
                at += 2 + usize::from(length);
            }
            _ => return None,
        }
    }
}

/// One DHT segment with the tables of ITU-T T.81, annex K.3: DC and AC of luminance, then chrominance.
fn standard_tables() -> Vec<u8> {
    let tables: [(u8, &[u8; 16], &[u8]); 4] = [
        (0x00, &[0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0], &DC),
        (0x10, &[0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7d], &AC_LUMINANCE),
        (0x01, &[0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0], &DC),
        (0x11, &[0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77], &AC_CHROMINANCE),
    ];
    let length: usize = 2 + tables.iter().map(|(_, _, values)| 17 + values.len()).sum::<usize>();
    let mut segment = vec![0xff, 0xc4];
    segment.extend((length as u16).to_be_bytes());
    for (class, counts, values) in tables {
        segment.push(class);
        segment.extend(counts);
        segment.extend(values);
    }
    segment
}

const DC: [u8; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

#[rustfmt::skip]
const AC_LUMINANCE: [u8; 162] = [
    0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07,
    0x22, 0x71, 0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0,
    0x24, 0x33, 0x62, 0x72, 0x82, 0x09, 0x0a, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x25, 0x26, 0x27, 0x28,
    0x29, 0x2a, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49,
    0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69,
    0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89,
    0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7,
    0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3, 0xc4, 0xc5,
    0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2,
    0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8,
    0xf9, 0xfa,
];

#[rustfmt::skip]
const AC_CHROMINANCE: [u8; 162] = [
    0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71,
    0x13, 0x22, 0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33, 0x52, 0xf0,
    0x15, 0x62, 0x72, 0xd1, 0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1, 0x17, 0x18, 0x19, 0x1a, 0x26,
    0x27, 0x28, 0x29, 0x2a, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48,
    0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68,
    0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87,
    0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5,
    0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3,
    0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda,
    0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8,
    0xf9, 0xfa,
];

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use image::{Rgb, codecs::jpeg::JpegEncoder};
    use proptest::prelude::*;

    /// A picture and its JPEG; the encoder of `image` uses the standard tables.
    pub fn picture(width: u32, height: u32) -> (RgbImage, Vec<u8>) {
        let picture = RgbImage::from_fn(width, height, |x, y| {
            Rgb([(x * 5 % 256) as u8, (y * 3 % 256) as u8, ((x + y) * 2 % 256) as u8])
        });
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, 90).encode_image(&picture).unwrap();
        (picture, bytes)
    }

    /// The JPEG without its DHT segments, and their tables.
    fn without_tables(bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let (mut rest, mut tables, mut at) = (bytes[..2].to_vec(), Vec::new(), 2);
        while bytes[at + 1] != 0xda {
            let end = at + 2 + usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
            let dht = bytes[at + 1] == 0xc4;
            if dht {
                tables.extend(&bytes[at + 4..end])
            } else {
                rest.extend(&bytes[at..end])
            }
            at = end;
        }
        rest.extend(&bytes[at..]);
        (rest, tables)
    }

    #[test]
    fn a_frame_without_huffman_tables_decodes_like_one_with_them() {
        let (original, bytes) = picture(64, 48);
        let (bare, tables) = without_tables(&bytes);
        assert_eq!(tables.len(), 416, "the encoder wrote all four tables");
        let decoded = decode(&bytes, 64, 48).unwrap();
        assert_eq!(decode(&bare, 64, 48).unwrap(), decoded);
        let off: u64 =
            original.iter().zip(decoded.iter()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        assert!(off / (original.len() as u64) < 8, "{off}");
    }

    #[test]
    fn padding_and_fill_bytes_are_allowed() {
        let (_, bytes) = picture(32, 32);
        let filled = [&bytes[..2], &[0xff, 0xff], &bytes[2..], &[0; 100]].concat();
        assert_eq!(decode(&filled, 32, 32).unwrap(), decode(&bytes, 32, 32).unwrap());
    }

    #[test]
    fn a_frame_that_is_cut_anywhere_is_torn() {
        let (_, bytes) = picture(32, 32);
        for length in 0..bytes.len() {
            let error = decode(&bytes[..length], 32, 32).unwrap_err();
            assert!(error.to_string().contains("torn"), "{length}: {error}");
        }
    }

    #[test]
    fn another_size_than_the_cameras_is_refused() {
        let error = decode(&picture(32, 16).1, 16, 32).unwrap_err().to_string();
        assert!(error.contains("32 × 16 pixels, not the camera's 16 × 32"), "{error}");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(
            noise in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
            bare: bool,
        ) {
            let mut bytes = picture(24, 24).1;
            if bare {
                bytes = without_tables(&bytes).0;
            }
            for (at, byte) in noise {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Ok(picture) = decode(&bytes, 24, 24) {
                prop_assert_eq!(picture.dimensions(), (24, 24));
            }
        }
    }
}
