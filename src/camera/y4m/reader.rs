use super::{Header, Y4mError, header::read_line};
use crate::camera::yuv::Bt601;
use image::RgbImage;
use std::io::{BufRead, Read};

/// Reads a recording frame by frame; holds one frame at a time, and no more of it than the input has.
pub struct Y4mReader<R> {
    input: R,
    header: Header,
    /// Frames that were begun.
    begun: u64,
    planes: Vec<u8>,
}

impl<R: BufRead> Y4mReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`Y4mError`] when this is no recording, or one that is not read.
    pub fn new(mut input: R) -> Result<Self, Y4mError> {
        let header = Header::read(&mut input)?;
        Ok(Self { input, header, begun: 0, planes: Vec::new() })
    }

    /// What the header says.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Goes on to the next frame; false, and stays where it was, after the last one.
    ///
    /// # Errors
    /// [`Y4mError::Torn`], or what the file system says. Nothing can be read after either.
    pub fn advance(&mut self) -> Result<bool, Y4mError> {
        let torn = Y4mError::Torn(self.begun);
        let line = match read_line(&mut self.input) {
            Ok(None) => return Ok(false),
            Ok(Some(line)) => line,
            Err(Y4mError::Io(error)) => return Err(error.into()),
            Err(_) => return Err(torn),
        };
        if line.split(' ').next() != Some("FRAME") {
            return Err(torn);
        }
        self.begun += 1;
        self.planes.clear();
        let wanted = self.header.frame_bytes();
        // Grows with what arrives: a header alone must not take 192 MiB.
        (&mut self.input).take(wanted as u64).read_to_end(&mut self.planes)?;
        if self.planes.len() < wanted { Err(torn) } else { Ok(true) }
    }

    /// The frame that [`Y4mReader::advance`] went to.
    ///
    /// # Errors
    /// [`Y4mError::Torn`] if it is not whole, or before the first one.
    pub fn decode(&self) -> Result<RgbImage, Y4mError> {
        let Header { width, height, chroma, range, .. } = self.header;
        if self.planes.len() < self.header.frame_bytes() {
            return Err(Y4mError::Torn(self.begun.saturating_sub(1)));
        }
        let mut picture = RgbImage::new(width, height);
        let (wide, row_bytes) = (width as usize, 3 * width as usize);
        let (luma, rest) = self.planes.split_at(wide * height as usize);
        let yuv = Bt601::new(range);
        let rows = luma.chunks(wide).zip(picture.chunks_exact_mut(row_bytes));
        let Some((across, down)) = chroma.step() else {
            let grey = vec![128; wide];
            rows.for_each(|(y, out)| yuv.row(y, &grey, &grey, out));
            return Ok(picture);
        };
        let (samples, lines) = self.header.chroma_size();
        let (plane_u, plane_v) = rest.split_at(samples * lines);
        let [mut u, mut v] = [(); 2].map(|()| vec![0; samples * across]);
        for (row, (y, out)) in rows.enumerate() {
            let line = row / down * samples..(row / down + 1) * samples;
            repeat(&plane_u[line.clone()], across, &mut u);
            repeat(&plane_v[line], across, &mut v);
            yuv.row(y, &u, &v, out);
        }
        Ok(picture)
    }
}

fn repeat(samples: &[u8], times: usize, out: &mut [u8]) {
    for (out, &sample) in out.chunks_exact_mut(times).zip(samples) {
        out.fill(sample);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames(bytes: &[u8]) -> Result<Vec<RgbImage>, Y4mError> {
        let mut reader = Y4mReader::new(bytes)?;
        let mut frames = Vec::new();
        while reader.advance()? {
            frames.push(reader.decode()?);
        }
        Ok(frames)
    }

    #[test]
    fn planes_are_where_they_belong() {
        // White and black above grey and red, in limited range; chroma of one sample for the four.
        let file = b"YUV4MPEG2 W2 H2 F10:1 C420\nFRAME Ip\n\xeb\x10\x80\x80\x80\x80\
            FRAME\n\xeb\x10\x80\x80\x5a\xf0";
        let frames = frames(file).unwrap();
        assert_eq!(*frames[0], [255, 255, 255, 0, 0, 0, 130, 130, 130, 130, 130, 130]);
        // U 90 and V 240 are red's: they take green and blue out of every pixel.
        assert_eq!(frames[1].get_pixel(1, 0).0, [179, 0, 0]);
        let wide = b"YUV4MPEG2 W3 H1 C422 XCOLORRANGE=FULL\nFRAME\n\x01\x02\x03\x80\x80\x80\x80";
        assert_eq!(*super::tests::frames(wide).unwrap()[0], [1, 1, 1, 2, 2, 2, 3, 3, 3]);
        let mono = b"YUV4MPEG2 W2 H1 Cmono XCOLORRANGE=FULL\nFRAME\n\x07\x08";
        assert_eq!(*super::tests::frames(mono).unwrap()[0], [7, 7, 7, 8, 8, 8]);
    }

    #[test]
    fn a_recording_that_was_cut_short_gives_what_is_whole_and_names_what_is_not() {
        let whole = b"YUV4MPEG2 W2 H1 Cmono\nFRAME\nabFRAME\ncd";
        assert_eq!(frames(whole).unwrap().len(), 2);
        let cut_inside_the_second = 30..whole.len();
        for length in cut_inside_the_second {
            let mut reader = Y4mReader::new(&whole[..length]).unwrap();
            assert!(reader.advance().unwrap(), "{length}");
            assert!(reader.decode().is_ok(), "{length}");
            match reader.advance() {
                Ok(false) => assert_eq!(length, 30),
                Err(Y4mError::Torn(frame)) => assert_eq!(frame, 1, "{length}"),
                other => panic!("{length}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_huge_header_takes_no_memory() {
        let mut reader = Y4mReader::new(&b"YUV4MPEG2 W8192 H8192 C444\nFRAME\nabc"[..]).unwrap();
        assert!(reader.decode().is_err());
        assert!(matches!(reader.advance(), Err(Y4mError::Torn(0))));
        assert!(reader.planes.capacity() < 4096);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(
            header in "(YUV4MPEG2)?( [WHFC][0-9:]{0,3}){0,5}", body: Vec<u8>, marks in 0usize..3,
        ) {
            let mut file = format!("{header}\n").into_bytes();
            for _ in 0..marks {
                file.extend(b"FRAME\n");
                file.extend(&body);
            }
            let _ = frames(&file);
            let _ = frames(&body);
        }

        #[test]
        fn any_cut_and_any_size_is_read_or_refused(
            width in 1u32..9, height in 1u32..9, chroma in prop::sample::select(vec!["420", "422", "444", "mono"]),
            body in prop::collection::vec(any::<u8>(), 0..250),
        ) {
            let mut file = format!("YUV4MPEG2 W{width} H{height} C{chroma}\nFRAME\n").into_bytes();
            file.extend(body);
            if let Ok(frames) = frames(&file) {
                prop_assert!(frames.iter().all(|f| f.dimensions() == (width, height)));
            }
        }
    }
}
