//! From what a driver puts into a buffer to RGB.

pub use super::yuv::Range;
use super::{LARGEST_SIDE, mjpeg, yuv::Bt601};
use image::RgbImage;
use std::{fmt, str::FromStr};

/// How pixels lie in a buffer; the names are those of Video4Linux.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PixelFormat {
    /// Y U Y V: luma for each pixel, chroma for two beside each other.
    Yuyv,
    /// U Y V Y.
    Uyvy,
    /// A plane of luma, then one of U V for each 2 × 2 pixels.
    Nv12,
    /// A plane of luma, then one of V U for each 2 × 2 pixels.
    Nv21,
    /// Luma alone, 0 to 255.
    Grey,
    /// R G B.
    Rgb24,
    /// B G R.
    Bgr24,
    /// A JPEG for each frame.
    Mjpeg,
}

impl PixelFormat {
    /// All, in the order in which they are preferred when a camera has several: what costs least to
    /// convert and keeps colour comes first.
    pub const ALL: [Self; 8] = [
        Self::Yuyv,
        Self::Uyvy,
        Self::Nv12,
        Self::Nv21,
        Self::Rgb24,
        Self::Bgr24,
        Self::Mjpeg,
        Self::Grey,
    ];

    /// Video4Linux's code.
    pub fn fourcc(self) -> &'static [u8; 4] {
        match self {
            Self::Yuyv => b"YUYV",
            Self::Uyvy => b"UYVY",
            Self::Nv12 => b"NV12",
            Self::Nv21 => b"NV21",
            Self::Grey => b"GREY",
            Self::Rgb24 => b"RGB3",
            Self::Bgr24 => b"BGR3",
            Self::Mjpeg => b"MJPG",
        }
    }

    /// The format of a Video4Linux code, if it is one we read. Some drivers say JPEG for MJPG.
    pub fn from_fourcc(code: &[u8; 4]) -> Option<Self> {
        let code = if code == b"JPEG" { b"MJPG" } else { code };
        Self::ALL.into_iter().find(|format| format.fourcc() == code)
    }

    /// The names of all, for a message.
    pub fn list() -> String {
        Self::ALL.map(|format| format.to_string()).join(", ")
    }

    /// Bytes that a row of `width` pixels takes (of the largest plane).
    fn row_bytes(self, width: usize) -> usize {
        match self {
            Self::Yuyv | Self::Uyvy => 4 * width.div_ceil(2),
            Self::Nv12 | Self::Nv21 => 2 * width.div_ceil(2),
            Self::Grey => width,
            Self::Rgb24 | Self::Bgr24 => 3 * width,
            Self::Mjpeg => 0,
        }
    }
}

impl fmt::Display for PixelFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fourcc().escape_ascii().fmt(f)
    }
}

/// No format that is read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?}: no pixel format that is read; there are {all}", all = PixelFormat::list())]
pub struct UnknownFormat(String);

impl FromStr for PixelFormat {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        let known = Self::ALL.into_iter().find(|format| format.fourcc() == text.as_bytes());
        known.ok_or_else(|| UnknownFormat(text.to_owned()))
    }
}

/// What is in a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// How pixels lie.
    pub format: PixelFormat,
    /// In pixels, 1 to [`LARGEST_SIDE`].
    pub width: u32,
    /// In pixels, 1 to [`LARGEST_SIDE`].
    pub height: u32,
    /// Bytes from one row's start to the next one's, in every plane; 0 when rows touch.
    pub stride: usize,
    /// Of YUV formats other than GREY and MJPEG, which are always full.
    pub range: Range,
}

/// Why a buffer is not the frame it was said to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// A side is 0 or too long.
    #[error("{0} × {1} pixels; wanted 1 to {LARGEST_SIDE} a side")]
    Size(u32, u32),
    /// Rows would overlap, or lie absurdly far apart.
    #[error("{format}: a stride of {stride} bytes; wanted {wanted} to 8 times that")]
    Stride {
        /// The format.
        format: PixelFormat,
        /// What the driver says.
        stride: usize,
        /// What a row takes.
        wanted: usize,
    },
    /// The buffer ends before the frame does.
    #[error("{format}: a torn frame: {got} bytes of {wanted}")]
    Short {
        /// The format.
        format: PixelFormat,
        /// What there is.
        got: usize,
        /// What the frame takes.
        wanted: usize,
    },
    /// The driver says that parts of the frame are missing.
    #[error("{format}: the driver lost a part of the frame")]
    Damaged {
        /// The format.
        format: PixelFormat,
    },
    /// A JPEG that is torn or broken.
    #[error("MJPG: {0}")]
    Jpeg(String),
}

impl Layout {
    /// The stride in bytes.
    fn stride(&self) -> usize {
        let row = self.format.row_bytes(self.width as usize);
        if self.stride == 0 { row } else { self.stride }
    }

    /// How many bytes the frame takes; the last row need not be padded.
    fn checked_bytes(&self) -> Result<usize, ConvertError> {
        let sides = 1..=LARGEST_SIDE;
        if !sides.contains(&self.width) || !sides.contains(&self.height) {
            return Err(ConvertError::Size(self.width, self.height));
        }
        let (format, stride) = (self.format, self.stride());
        let row = format.row_bytes(self.width as usize);
        // Hardware pads rows to some alignment, never to a multiple; beyond it the size could overflow.
        if stride < row || stride > 8 * row.max(4096) {
            return Err(ConvertError::Stride { format, stride, wanted: row });
        }
        let height = self.height as usize;
        let rows = match format {
            PixelFormat::Nv12 | PixelFormat::Nv21 => height + height.div_ceil(2),
            _ => height,
        };
        Ok(stride * (rows - 1) + row)
    }
}

/// A frame as RGB. Chroma that is coarser than the picture is repeated, not interpolated.
///
/// # Errors
/// [`ConvertError`] when the layout makes no sense or the buffer is not a whole frame of it.
pub fn to_rgb(layout: &Layout, bytes: &[u8]) -> Result<RgbImage, ConvertError> {
    let Layout { format, width, height, range, .. } = *layout;
    if format == PixelFormat::Mjpeg {
        Layout { stride: 0, ..*layout }.checked_bytes()?;
        return mjpeg::decode(bytes, width, height);
    }
    let wanted = layout.checked_bytes()?;
    if bytes.len() < wanted {
        return Err(ConvertError::Short { format, got: bytes.len(), wanted });
    }
    let mut picture = RgbImage::new(width, height);
    let rows = Rows { bytes, stride: layout.stride(), width: width as usize };
    let yuv = Bt601::new(range);
    match format {
        PixelFormat::Yuyv => rows.packed::<0>(&yuv, &mut picture),
        PixelFormat::Uyvy => rows.packed::<1>(&yuv, &mut picture),
        PixelFormat::Nv12 => rows.semi_planar::<0>(&yuv, &mut picture),
        PixelFormat::Nv21 => rows.semi_planar::<1>(&yuv, &mut picture),
        PixelFormat::Grey => rows.bytes(&mut picture, |&[grey]| [grey; 3]),
        PixelFormat::Rgb24 => rows.bytes(&mut picture, |&rgb: &[u8; 3]| rgb),
        PixelFormat::Bgr24 => rows.bytes(&mut picture, |&[b, g, r]| [r, g, b]),
        PixelFormat::Mjpeg => unreachable!("decoded above"),
    }
    Ok(picture)
}

/// A buffer that is known to hold a whole frame.
struct Rows<'a> {
    bytes: &'a [u8],
    stride: usize,
    width: usize,
}

impl Rows<'_> {
    /// `LUMA` is where in each two bytes the luma is.
    fn packed<const LUMA: usize>(&self, yuv: &Bt601, out: &mut [u8]) {
        let pairs = self.width.div_ceil(2);
        let [mut y, mut u, mut v] = [(); 3].map(|()| vec![[0u8; 2]; pairs]);
        let rows = self.bytes.chunks(self.stride);
        for (row, out) in rows.zip(out.chunks_exact_mut(3 * self.width)) {
            let unpacked = y.iter_mut().zip(&mut u).zip(&mut v);
            for (four, ((y, u), v)) in row.as_chunks::<4>().0.iter().zip(unpacked) {
                *y = [four[LUMA], four[LUMA + 2]];
                *u = [four[1 - LUMA]; 2];
                *v = [four[3 - LUMA]; 2];
            }
            yuv.row(y.as_flattened(), u.as_flattened(), v.as_flattened(), out);
        }
    }

    /// `U` is where in each two bytes of chroma U is.
    fn semi_planar<const U: usize>(&self, yuv: &Bt601, out: &mut [u8]) {
        let height = out.len() / (3 * self.width);
        let (luma, chroma) = self.bytes.split_at(self.stride * height);
        let pairs = self.width.div_ceil(2);
        let [mut u, mut v] = [(); 2].map(|()| vec![[0u8; 2]; pairs]);
        let two_rows = luma.chunks(2 * self.stride).zip(chroma.chunks(self.stride));
        for ((luma, chroma), out) in two_rows.zip(out.chunks_mut(2 * 3 * self.width)) {
            let unpacked = u.iter_mut().zip(&mut v);
            for (two, (u, v)) in chroma.as_chunks::<2>().0.iter().zip(unpacked) {
                *u = [two[U]; 2];
                *v = [two[1 - U]; 2];
            }
            let rows = luma.chunks(self.stride).zip(out.chunks_exact_mut(3 * self.width));
            for (y, out) in rows {
                yuv.row(&y[..self.width], u.as_flattened(), v.as_flattened(), out);
            }
        }
    }

    /// Formats of `N` bytes a pixel.
    fn bytes<const N: usize>(&self, out: &mut [u8], rgb: impl Fn(&[u8; N]) -> [u8; 3]) {
        let rows = self.bytes.chunks(self.stride).zip(out.chunks_exact_mut(3 * self.width));
        for (row, out) in rows {
            for (out, pixel) in out.as_chunks_mut::<3>().0.iter_mut().zip(row.as_chunks().0) {
                *out = rgb(pixel);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Instant;

    fn layout(format: PixelFormat, width: u32, height: u32) -> Layout {
        Layout { format, width, height, stride: 0, range: Range::Full }
    }

    /// A 3 × 2 picture of which every byte differs, in every format, rows padded by `padding` bytes.
    fn sample(format: PixelFormat, padding: usize) -> Vec<u8> {
        let rows: &[&[u8]] = match format {
            PixelFormat::Yuyv => &[&[10, 1, 20, 2, 30, 3, 0, 4], &[40, 5, 50, 6, 60, 7, 0, 8]],
            PixelFormat::Uyvy => &[&[1, 10, 2, 20, 3, 30, 4, 0], &[5, 40, 6, 50, 7, 60, 8, 0]],
            PixelFormat::Nv12 => &[&[10, 20, 30, 0], &[40, 50, 60, 0], &[1, 2, 3, 4]],
            PixelFormat::Nv21 => &[&[10, 20, 30, 0], &[40, 50, 60, 0], &[2, 1, 4, 3]],
            PixelFormat::Grey => &[&[10, 20, 30], &[40, 50, 60]],
            PixelFormat::Rgb24 => {
                &[&[1, 2, 3, 4, 5, 6, 7, 8, 9], &[11, 12, 13, 14, 15, 16, 17, 18, 19]]
            }
            PixelFormat::Bgr24 => {
                &[&[3, 2, 1, 6, 5, 4, 9, 8, 7], &[13, 12, 11, 16, 15, 14, 19, 18, 17]]
            }
            PixelFormat::Mjpeg => unreachable!(),
        };
        let mut bytes: Vec<u8> = rows
            .iter()
            .flat_map(|row| row.iter().copied().chain(std::iter::repeat_n(99, padding)))
            .collect();
        bytes.truncate(bytes.len() - padding);
        bytes
    }

    fn rgb_of(yuv: [[u8; 3]; 6]) -> Vec<u8> {
        let [y, u, v] = [0, 1, 2].map(|i| yuv.map(|p| p[i]));
        let mut out = vec![0; 18];
        Bt601::new(Range::Full).row(&y, &u, &v, &mut out);
        out
    }

    fn expected(format: PixelFormat) -> Vec<u8> {
        match format {
            PixelFormat::Yuyv | PixelFormat::Uyvy => {
                rgb_of([[10, 1, 2], [20, 1, 2], [30, 3, 4], [40, 5, 6], [50, 5, 6], [60, 7, 8]])
            }
            PixelFormat::Nv12 | PixelFormat::Nv21 => {
                rgb_of([[10, 1, 2], [20, 1, 2], [30, 3, 4], [40, 1, 2], [50, 1, 2], [60, 3, 4]])
            }
            PixelFormat::Grey => [10, 20, 30, 40, 50, 60].iter().flat_map(|&g| [g; 3]).collect(),
            _ => vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 19],
        }
    }

    fn raw() -> impl Iterator<Item = PixelFormat> {
        PixelFormat::ALL.into_iter().filter(|&f| f != PixelFormat::Mjpeg)
    }

    #[test]
    fn every_format_puts_its_samples_where_they_belong_whatever_the_stride() {
        for format in raw() {
            for padding in [0, 1, 5] {
                let stride = format.row_bytes(3) + padding;
                let layout = Layout { stride, ..layout(format, 3, 2) };
                let picture = to_rgb(&layout, &sample(format, padding)).unwrap();
                assert_eq!(*picture, *expected(format), "{format} padded by {padding}");
            }
        }
    }

    #[test]
    fn a_frame_short_of_one_byte_is_torn() {
        for format in raw() {
            let mut bytes = sample(format, 0);
            let wanted = bytes.len();
            bytes.pop();
            let error = to_rgb(&layout(format, 3, 2), &bytes).unwrap_err();
            assert_eq!(error, ConvertError::Short { format, got: wanted - 1, wanted });
        }
    }

    #[test]
    fn limited_range_is_stretched() {
        let layout = Layout { range: Range::Limited, ..layout(PixelFormat::Yuyv, 2, 1) };
        let picture = to_rgb(&layout, &[16, 128, 235, 128]).unwrap();
        assert_eq!(*picture, [0, 0, 0, 255, 255, 255]);
    }

    #[test]
    fn layouts_that_make_no_sense_are_refused() {
        for (width, height) in [(0, 1), (1, 0), (8193, 1), (1, u32::MAX)] {
            for format in PixelFormat::ALL {
                let error = to_rgb(&layout(format, width, height), &[0; 64]).unwrap_err();
                assert_eq!(error, ConvertError::Size(width, height));
            }
        }
        for stride in [1, 1279, usize::MAX] {
            let layout = Layout { stride, ..layout(PixelFormat::Yuyv, 640, 480) };
            let error = to_rgb(&layout, &[0; 64]).unwrap_err();
            assert_eq!(
                error,
                ConvertError::Stride { format: PixelFormat::Yuyv, stride, wanted: 1280 }
            );
        }
    }

    #[test]
    fn codes_are_read_back() {
        for format in PixelFormat::ALL {
            assert_eq!(PixelFormat::from_fourcc(format.fourcc()), Some(format));
        }
        assert_eq!(PixelFormat::from_fourcc(b"JPEG"), Some(PixelFormat::Mjpeg));
        assert_eq!(PixelFormat::from_fourcc(b"H264"), None);
    }

    proptest! {
        #[test]
        fn any_buffer_of_any_layout_is_converted_or_refused_without_a_panic(
            format in prop::sample::select(&PixelFormat::ALL[..]),
            width in 0u32..40, height in 0u32..12, padding in 0usize..9, missing in 0usize..3,
            stride in prop::option::of(any::<usize>()), seed: u8,
        ) {
            let row = format.row_bytes(width as usize) + padding;
            let layout = Layout {
                stride: stride.unwrap_or(row), ..layout(format, width, height)
            };
            let length = layout.checked_bytes().unwrap_or(100).saturating_sub(missing).min(100_000);
            let bytes: Vec<u8> = (0..length).map(|i| (i as u8).wrapping_mul(seed)).collect();
            match to_rgb(&layout, &bytes) {
                Ok(picture) => prop_assert_eq!(picture.dimensions(), (width, height)),
                Err(ConvertError::Short { .. }) => prop_assert!(missing > 0),
                Err(_) => {}
            }
        }
    }

    #[test]
    #[ignore = "a measurement: cargo test --lib camera::convert -- --ignored --nocapture"]
    fn time_of_a_frame_in_each_format() {
        for format in PixelFormat::ALL {
            let layout = Layout { range: Range::Limited, ..layout(format, 640, 480) };
            let bytes = if format == PixelFormat::Mjpeg {
                mjpeg::tests::picture(640, 480).1
            } else {
                (0..layout.checked_bytes().unwrap()).map(|i| (i * 7 % 251) as u8).collect()
            };
            let best = (0..50)
                .map(|_| {
                    let start = Instant::now();
                    std::hint::black_box(to_rgb(&layout, &bytes).unwrap());
                    start.elapsed()
                })
                .min();
            println!("{format} 640x480: {:.2?}, best of 50", best.unwrap());
        }
    }
}
