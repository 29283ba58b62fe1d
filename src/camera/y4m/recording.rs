use super::{Y4mError, Y4mReader};
use crate::camera::{CameraError, Fps, replay::Stills};
use image::RgbImage;
use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};

/// A recording in a file, or in a pipe that another program writes into.
pub(in crate::camera) struct Recording {
    path: PathBuf,
    reader: Y4mReader<BufReader<File>>,
    /// After a torn frame there is no telling where the next one begins.
    broken: bool,
}

impl Recording {
    pub fn open(path: &Path) -> Result<Self, CameraError> {
        let file = File::open(path)
            .map_err(|source| CameraError::Read { path: path.to_path_buf(), source })?;
        let reader = Y4mReader::new(BufReader::new(file)).map_err(|e| named(path, e))?;
        Ok(Self { path: path.to_path_buf(), reader, broken: false })
    }
}

fn named(path: &Path, error: Y4mError) -> CameraError {
    let path = path.to_path_buf();
    match error {
        Y4mError::Io(source) => CameraError::Read { path, source },
        source => CameraError::Recording { path, source },
    }
}

impl Stills for Recording {
    fn advance(&mut self) -> Result<bool, CameraError> {
        if self.broken {
            return Ok(false);
        }
        let advanced = self.reader.advance();
        self.broken = advanced.is_err();
        advanced.map_err(|e| named(&self.path, e))
    }

    fn decode(&mut self) -> Result<RgbImage, CameraError> {
        self.reader.decode().map_err(|e| named(&self.path, e))
    }

    fn fps(&self) -> Fps {
        self.reader.header().fps
    }

    fn describe(&self) -> String {
        let header = self.reader.header();
        let (path, width, height) = (self.path.display(), header.width, header.height);
        format!("{path}: a recording, {width} × {height} at {} frames/s", header.fps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::{Frame, Pace, Source, Wanted};
    use std::time::Duration;

    fn frames(bytes: &[u8]) -> (Vec<Frame>, Vec<CameraError>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let want = Wanted { width: 640, height: 480, fps: Fps::new(10.0).unwrap(), format: None };
        let mut source = Source::Y4m(file.path().to_path_buf()).open(&want, Pace::Fast).unwrap();
        let (mut frames, mut errors) = (Vec::new(), Vec::new());
        loop {
            match source.next() {
                Ok(frame) => frames.push(frame),
                Err(CameraError::Ended) => return (frames, errors),
                Err(error) => errors.push(error),
            }
        }
    }

    #[test]
    fn frames_come_at_the_recordings_rate() {
        let (frames, errors) = frames(b"YUV4MPEG2 W1 H1 F4:1 Cmono\nFRAME\naFRAME\nb");
        let times: Vec<_> = frames.iter().map(|f| (f.sequence, f.at)).collect();
        assert_eq!(times, [(0, Duration::ZERO), (1, Duration::from_millis(250))]);
        assert!(errors.is_empty());
    }

    #[test]
    fn a_torn_recording_gives_one_error_and_ends() {
        let (frames, errors) = frames(b"YUV4MPEG2 W2 H1 F4:1 Cmono\nFRAME\nabFRAME\nc");
        assert_eq!((frames.len(), errors.len()), (1, 1));
        assert!(errors[0].to_string().contains("frame 1 is torn"), "{}", errors[0]);
    }

    #[test]
    fn a_file_that_is_no_recording_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Recording::open(file.path()).err().unwrap().to_string();
        assert!(error.contains(&*file.path().to_string_lossy()), "{error}");
        assert!(error.contains("not a YUV4MPEG2 recording"), "{error}");
    }
}
