use super::{LARGEST_SIDE, Y4mError};
use crate::camera::{Fps, convert::Range};
use std::{
    fmt,
    io::{BufRead, Read},
};

/// ffmpeg allows 128 bytes; comments (`X…`) may be longer.
pub(super) const LONGEST_LINE: usize = 1024;
const MAGIC: &str = "YUV4MPEG2";
/// What ffmpeg assumes when a header gives no rate, or 0:0 for an unknown one.
const DEFAULT_FPS: f64 = 25.0;

/// How coarse chroma is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chroma {
    /// One sample for 2 × 2 pixels.
    C420,
    /// One sample for two pixels beside each other.
    C422,
    /// One sample for each pixel.
    C444,
    /// None.
    Mono,
}

impl Chroma {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "420" | "420jpeg" | "420mpeg2" => Some(Self::C420),
            "422" => Some(Self::C422),
            "444" => Some(Self::C444),
            "mono" => Some(Self::Mono),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::C420 => "420jpeg",
            Self::C422 => "422",
            Self::C444 => "444",
            Self::Mono => "mono",
        }
    }

    /// How many pixels share a sample, across and down; `None` without chroma.
    pub(super) fn step(self) -> Option<(usize, usize)> {
        match self {
            Self::C420 => Some((2, 2)),
            Self::C422 => Some((2, 1)),
            Self::C444 => Some((1, 1)),
            Self::Mono => None,
        }
    }
}

/// What a recording's first line says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Header {
    /// In pixels, 1 to [`LARGEST_SIDE`].
    pub width: u32,
    /// In pixels, 1 to [`LARGEST_SIDE`].
    pub height: u32,
    /// Frames a second.
    pub fps: Fps,
    /// How coarse chroma is.
    pub chroma: Chroma,
    /// How samples use their eight bits.
    pub range: Range,
}

impl Header {
    pub(super) fn read(input: &mut impl BufRead) -> Result<Self, Y4mError> {
        let line = read_line(input)?.ok_or(Y4mError::Magic)?;
        Self::parse(&line)
    }

    fn parse(line: &str) -> Result<Self, Y4mError> {
        let mut fields = line.split(' ');
        if fields.next() != Some(MAGIC) {
            return Err(Y4mError::Magic);
        }
        let (mut width, mut height, mut fps) = ("", "", None);
        let (mut chroma, mut range) = (Chroma::C420, Range::Limited);
        for field in fields {
            let Some(name) = field.chars().next() else { continue };
            let value = &field[name.len_utf8()..];
            match name {
                'W' => width = value,
                'H' => height = value,
                'F' => fps = rate(value)?,
                'C' => {
                    chroma =
                        Chroma::parse(value).ok_or_else(|| Y4mError::Colour(value.to_owned()))?;
                }
                'X' if value == "COLORRANGE=FULL" => range = Range::Full,
                _ => {}
            }
        }
        let (width, height) = (side("W", width)?, side("H", height)?);
        let fps = fps.unwrap_or(Fps::new(DEFAULT_FPS).expect("a rate"));
        Ok(Self { width, height, fps, chroma, range })
    }

    /// Bytes of a frame: width · height of luma, and twice a plane of chroma.
    pub(super) fn frame_bytes(&self) -> usize {
        let (width, height) = self.chroma_size();
        self.width as usize * self.height as usize + 2 * width * height
    }

    /// Samples of a plane of chroma, across and down.
    pub(super) fn chroma_size(&self) -> (usize, usize) {
        self.chroma.step().map_or((0, 0), |(across, down)| {
            ((self.width as usize).div_ceil(across), (self.height as usize).div_ceil(down))
        })
    }
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { width, height, chroma, .. } = self;
        let range = match self.range {
            Range::Full => "FULL",
            Range::Limited => "LIMITED",
        };
        // A thousandth of a frame a second is exact enough for a rate that was measured.
        let rate = (self.fps.get() * 1000.0).round();
        let chroma = chroma.name();
        write!(f, "{MAGIC} W{width} H{height} F{rate}:1000 Ip A1:1 C{chroma} XCOLORRANGE={range}")
    }
}

fn side(name: &'static str, value: &str) -> Result<u32, Y4mError> {
    let side = value.parse().ok().filter(|side| (1..=LARGEST_SIDE).contains(side));
    let wrong =
        || Y4mError::Parameter { name, value: value.to_owned(), wanted: "1 to 8192 pixels" };
    side.ok_or_else(wrong)
}

fn rate(value: &str) -> Result<Option<Fps>, Y4mError> {
    let wrong = || Y4mError::Parameter {
        name: "F",
        value: value.to_owned(),
        wanted: "a fraction like 30:1, of 0.01 to 1000 frames a second",
    };
    let (over, under) = value.split_once(':').ok_or_else(wrong)?;
    match (over.parse::<u32>(), under.parse::<u32>()) {
        (Ok(0), Ok(0)) => Ok(None),
        (Ok(over), Ok(under)) => {
            Fps::new(f64::from(over) / f64::from(under)).map(Some).map_err(|_| wrong())
        }
        _ => Err(wrong()),
    }
}

/// A line without its end; `None` where the input ends instead.
pub(super) fn read_line(input: &mut impl BufRead) -> Result<Option<String>, Y4mError> {
    let mut line = Vec::new();
    input.take(LONGEST_LINE as u64 + 1).read_until(b'\n', &mut line)?;
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(String::from_utf8_lossy(&line).into_owned())),
        Some(_) if line.len() >= LONGEST_LINE => Err(Y4mError::LongLine),
        Some(_) => Err(Y4mError::Magic),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(fields: &str) -> Result<Header, Y4mError> {
        Header::parse(&format!("{MAGIC} {fields}"))
    }

    #[test]
    fn headers_of_other_programs_are_read() {
        let ffmpeg =
            parse("W640 H480 F30000:1001 Ip A1:1 C420jpeg XYSCSS=420JPEG XCOLORRANGE=FULL");
        let ntsc = Fps::new(30000.0 / 1001.0).unwrap();
        let (width, height, chroma) = (640, 480, Chroma::C420);
        let full = Header { width, height, fps: ntsc, chroma, range: Range::Full };
        assert_eq!(ffmpeg.unwrap(), full);
        let plain = parse("H480 W640").unwrap();
        let fps = Fps::new(25.0).unwrap();
        assert_eq!(plain, Header { fps, range: Range::Limited, ..full });
        assert_eq!(parse("W640 H480 F0:0 C420mpeg2 XCOLORRANGE=LIMITED").unwrap(), plain);
        assert_eq!(parse("W640 H480 C444").unwrap().chroma, Chroma::C444);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (fields, hint) in [
            ("H480", "the header's W is \"\"; wanted 1 to 8192"),
            ("W640", "the header's H is \"\""),
            ("W640 H0", "the header's H is \"0\""),
            ("W8193 H480", "W is \"8193\""),
            ("W640 H480 F30", "F is \"30\"; wanted a fraction"),
            ("W640 H480 F30:0", "F is \"30:0\""),
            ("W640 H480 C420p10", "colour space \"420p10\" is not read"),
            ("W640 H480 C444alpha", "\"444alpha\""),
        ] {
            let error = parse(fields).unwrap_err().to_string();
            assert!(error.contains(hint), "{fields}: {error}");
        }
        assert!(matches!(Header::parse("YUV4MPEG W2 H2"), Err(Y4mError::Magic)));
        assert!(matches!(Header::read(&mut &[b'X'; 5000][..]), Err(Y4mError::LongLine)));
        assert!(matches!(Header::read(&mut &b""[..]), Err(Y4mError::Magic)));
    }

    proptest! {
        #[test]
        fn no_line_panics(line: String, fields in "[WHFCX0-9: ]{0,40}") {
            let _ = Header::parse(&line);
            let _ = parse(&fields);
        }
    }
}
