use super::{
    CameraError, Fps, FpsError, FrameSource, Pace, Wanted, folder::Folder, replay::Replay,
    y4m::Recording,
};
use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};
use strsim::levenshtein as distance;

/// Where frames come from, as it is written in a configuration: `v4l:/dev/video0`,
/// `dir:FOLDER@FPS` (10 frames a second if nothing is said) or `y4m:FILE`.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// A camera by Video4Linux.
    V4l(PathBuf),
    /// A folder of jpg, png and webp pictures, sorted by name.
    Folder(PathBuf, Fps),
    /// A recording in YUV4MPEG2.
    Y4m(PathBuf),
}

/// A source that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Another kind than those there are.
    #[error(
        "{kind:?}: no such kind of source; did you mean {nearest}:? There are v4l:, dir: and y4m:"
    )]
    Kind {
        /// What was given.
        kind: String,
        /// The kind that is spelled most like it.
        nearest: &'static str,
    },
    /// No kind at all.
    #[error("{0:?}: a source has a kind; did you mean {1}:{0}?")]
    NoKind(String, &'static str),
    /// Nothing after the kind.
    #[error("{0}: what? Give a path after the colon")]
    NoPath(&'static str),
    /// A folder's rate is none.
    #[error("dir: {0}")]
    Fps(#[from] FpsError),
}

impl Source {
    const KINDS: [&'static str; 3] = ["v4l", "dir", "y4m"];
    const DEFAULT_FPS: f64 = 10.0;

    /// Opens it. A replay does not heed `want`, a camera does not heed `pace`.
    ///
    /// # Errors
    /// [`CameraError`] with the device's or file's name.
    pub fn open(&self, want: &Wanted, pace: Pace) -> Result<Box<dyn FrameSource>, CameraError> {
        Ok(match self {
            Self::V4l(device) => open_camera(device, want)?,
            Self::Folder(folder, fps) => Box::new(Replay::new(Folder::open(folder, *fps)?, pace)),
            Self::Y4m(file) => Box::new(Replay::new(Recording::open(file)?, pace)),
        })
    }
}

#[cfg(feature = "v4l")]
fn open_camera(device: &Path, want: &Wanted) -> Result<Box<dyn FrameSource>, CameraError> {
    Ok(Box::new(super::v4l::Camera::open(device, want)?))
}

#[cfg(not(feature = "v4l"))]
fn open_camera(device: &Path, _: &Wanted) -> Result<Box<dyn FrameSource>, CameraError> {
    Err(CameraError::NoCameras(device.to_path_buf()))
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let Some((kind, path)) = text.split_once(':') else {
            return Err(SourceError::NoKind(text.to_owned(), guess(text)));
        };
        let nearest = Self::KINDS.into_iter().min_by_key(|known| distance(kind, known));
        let nearest = nearest.expect("there are kinds");
        if kind != nearest {
            return Err(SourceError::Kind { kind: kind.to_owned(), nearest });
        }
        if path.is_empty() {
            return Err(SourceError::NoPath(nearest));
        }
        Ok(match nearest {
            "v4l" => Self::V4l(path.into()),
            "y4m" => Self::Y4m(path.into()),
            _ => folder(path)?,
        })
    }
}

/// What follows the last `@` is a rate if it is a number, else a part of the folder's name.
fn folder(path: &str) -> Result<Source, SourceError> {
    match path.rsplit_once('@') {
        Some(("", _)) => Err(SourceError::NoPath("dir")),
        Some((folder, fps)) if fps.parse::<f64>().is_ok() => {
            Ok(Source::Folder(folder.into(), fps.parse()?))
        }
        _ => Ok(Source::Folder(path.into(), Fps::new(Source::DEFAULT_FPS)?)),
    }
}

/// The kind that a bare path most likely is of.
fn guess(path: &str) -> &'static str {
    match path {
        _ if path.starts_with("/dev/") => "v4l",
        _ if path.ends_with(".y4m") => "y4m",
        _ => "dir",
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4l(device) => write!(f, "v4l:{}", device.display()),
            Self::Folder(folder, fps) => write!(f, "dir:{}@{fps}", folder.display()),
            Self::Y4m(file) => write!(f, "y4m:{}", file.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dir(path: &str, fps: f64) -> Source {
        Source::Folder(path.into(), Fps::new(fps).unwrap())
    }

    #[test]
    fn sources_are_read() {
        for (text, source) in [
            ("v4l:/dev/video0", Source::V4l("/dev/video0".into())),
            ("y4m:a:b@5.y4m", Source::Y4m("a:b@5.y4m".into())),
            ("dir:faces", dir("faces", 10.0)),
            ("dir:faces@25", dir("faces", 25.0)),
            ("dir:a@home/faces@12.5", dir("a@home/faces", 12.5)),
            ("dir:a@home", dir("a@home", 10.0)),
            ("dir:a@5@5", dir("a@5", 5.0)),
        ] {
            assert_eq!(text.parse(), Ok(source), "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_was_meant() {
        for (text, hint) in [
            ("v4l2:/dev/video0", "did you mean v4l:?"),
            ("V4L:/dev/video0", "did you mean v4l:?"),
            ("ym4:a.y4m", "did you mean y4m:?"),
            ("dri:faces", "did you mean dir:?"),
            (":x", "no such kind"),
            ("/dev/video0", "did you mean v4l:/dev/video0?"),
            ("door.y4m", "did you mean y4m:door.y4m?"),
            ("", "a source has a kind"),
            ("faces", "did you mean dir:faces?"),
            ("v4l:", "v4l: what?"),
            ("dir:@5", "dir: what?"),
            ("dir:faces@0", "\"0\": not a rate"),
            ("dir:faces@NaN", "\"NaN\": not a rate"),
        ] {
            let error = text.parse::<Source>().unwrap_err().to_string();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }

    #[test]
    fn distances() {
        for (a, b, wanted) in
            [("", "dir", 3), ("dir", "dir", 0), ("dri", "dir", 2), ("v4l2", "v4l", 1)]
        {
            assert_eq!(distance(a, b), wanted, "{a} {b}");
        }
    }

    #[cfg(not(feature = "v4l"))]
    #[test]
    fn a_build_without_cameras_says_how_to_get_them() {
        let want = Wanted { width: 640, height: 480, fps: Fps::new(10.0).unwrap(), format: None };
        let source: Source = "v4l:/dev/video0".parse().unwrap();
        let error = source.open(&want, Pace::Real).err().unwrap().to_string();
        assert!(error.contains("/dev/video0") && error.contains("--features v4l"), "{error}");
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_written_is_read_back(
            kind in prop::sample::select(vec!["v4l:", "dir:", "y4m:", ""]), rest: String,
        ) {
            if let Ok(source) = format!("{kind}{rest}").parse::<Source>() {
                prop_assert_eq!(source.to_string().parse(), Ok(source));
            }
        }
    }
}
