use super::{Header, Y4mError};
use crate::camera::{convert::Range, yuv};
use image::RgbImage;
use std::io::Write;

/// Writes a recording, frame by frame, in full-range BT.601. Nothing is buffered: give it a
/// [`std::io::BufWriter`].
pub struct Y4mWriter<W> {
    output: W,
    header: Header,
    planes: Vec<u8>,
}

impl<W: Write> Y4mWriter<W> {
    /// Writes the header. [`Header::range`] is taken as full, whatever it says.
    ///
    /// # Errors
    /// What the file system says.
    pub fn new(mut output: W, header: Header) -> Result<Self, Y4mError> {
        let header = Header { range: Range::Full, ..header };
        writeln!(output, "{header}")?;
        Ok(Self { output, header, planes: Vec::with_capacity(header.frame_bytes()) })
    }

    /// Writes one frame.
    ///
    /// # Errors
    /// [`Y4mError::Size`], with nothing written, or what the file system says.
    pub fn write(&mut self, picture: &RgbImage) -> Result<(), Y4mError> {
        let (got, wanted) = (picture.dimensions(), (self.header.width, self.header.height));
        if got != wanted {
            return Err(Y4mError::Size { got, wanted });
        }
        self.planes.clear();
        let luma = |rgb: &[u8; 3]| yuv::from_rgb(rgb.map(f32::from))[0];
        self.planes.extend(picture.as_chunks::<3>().0.iter().map(luma));
        let blocks = self.header.chroma.step().map_or(Vec::new(), |step| means(picture, step));
        for plane in [1, 2] {
            self.planes.extend(blocks.iter().map(|&rgb| yuv::from_rgb(rgb)[plane]));
        }
        self.output.write_all(b"FRAME\n")?;
        Ok(self.output.write_all(&self.planes)?)
    }

    /// Writes what the output still holds, and gives it back.
    ///
    /// # Errors
    /// What the file system says.
    pub fn finish(mut self) -> Result<W, Y4mError> {
        self.output.flush()?;
        Ok(self.output)
    }
}

/// The mean colour of each block of `across` × `down` pixels, row by row; those at the right and bottom
/// edge may be smaller.
fn means(picture: &RgbImage, (across, down): (usize, usize)) -> Vec<[f32; 3]> {
    let pixels = picture.as_chunks::<3>().0;
    let rows: Vec<_> = pixels.chunks(picture.width() as usize).collect();
    let mut means = Vec::new();
    for rows in rows.chunks(down) {
        for x in (0..rows[0].len()).step_by(across) {
            let block = rows.iter().flat_map(|row| row[x..].iter().take(across));
            let (mut sum, mut count) = ([0.0; 3], 0.0);
            for pixel in block {
                count += 1.0;
                sum.iter_mut().zip(pixel).for_each(|(sum, &v)| *sum += f32::from(v));
            }
            means.push(sum.map(|v| v / count));
        }
    }
    means
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Chroma, Y4mReader},
        *,
    };
    use crate::camera::Fps;
    use image::Rgb;
    use proptest::prelude::*;

    fn header(chroma: Chroma, width: u32, height: u32) -> Header {
        Header { width, height, fps: Fps::new(12.5).unwrap(), chroma, range: Range::Full }
    }

    /// A picture of blocks of one colour each, as large as chroma's samples.
    fn blocks(header: &Header, colours: &[[u8; 3]]) -> RgbImage {
        let (across, down) = header.chroma.step().unwrap_or((1, 1));
        RgbImage::from_fn(header.width, header.height, |x, y| {
            let block = x as usize / across + 100 * (y as usize / down);
            let [r, g, b] = colours[block % colours.len()];
            Rgb(if header.chroma == Chroma::Mono { [g; 3] } else { [r, g, b] })
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_within_rounding(
            chroma in prop::sample::select(vec![Chroma::C420, Chroma::C422, Chroma::C444, Chroma::Mono]),
            width in 1u32..40, height in 1u32..8,
            colours in prop::collection::vec(any::<[u8; 3]>(), 1..20),
        ) {
            let header = header(chroma, width, height);
            let picture = blocks(&header, &colours);
            let mut writer = Y4mWriter::new(Vec::new(), header).unwrap();
            writer.write(&picture).unwrap();
            writer.write(&picture).unwrap();
            let file = writer.finish().unwrap();
            let mut reader = Y4mReader::new(&file[..]).unwrap();
            prop_assert_eq!(*reader.header(), header);
            for _ in 0..2 {
                prop_assert!(reader.advance().unwrap());
                let read = reader.decode().unwrap();
                let off = picture.iter().zip(read.iter()).map(|(a, b)| a.abs_diff(*b)).max();
                prop_assert!(off <= Some(2), "{off:?}");
            }
            prop_assert!(!reader.advance().unwrap());
        }
    }

    #[test]
    fn chroma_is_the_mean_of_its_pixels() {
        let picture =
            RgbImage::from_fn(2, 2, |x, _| Rgb(if x == 0 { [200, 0, 0] } else { [0, 0, 0] }));
        let mut writer = Y4mWriter::new(Vec::new(), header(Chroma::C420, 2, 2)).unwrap();
        writer.write(&picture).unwrap();
        let file = writer.finish().unwrap();
        let [_, u, v] = yuv::from_rgb([100.0, 0.0, 0.0]);
        assert_eq!(file[file.len() - 2..], [u, v]);
    }

    #[test]
    fn a_picture_of_another_size_is_refused_and_nothing_written() {
        let mut writer = Y4mWriter::new(Vec::new(), header(Chroma::C420, 4, 2)).unwrap();
        let before = writer.output.len();
        let error = writer.write(&RgbImage::new(2, 4)).unwrap_err();
        assert!(matches!(error, Y4mError::Size { got: (2, 4), wanted: (4, 2) }), "{error}");
        assert_eq!(writer.output.len(), before);
    }
}
