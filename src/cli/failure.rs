use crate::{
    camera::CameraError,
    config::ConfigError,
    door::DoorError,
    embed::KnownError,
    evaluate::{
        ClipsError, DatasetError, DetectionSetError, LandmarksError, PairsError, ProtocolError,
        RunError, SplitsError,
    },
    files::TreeError,
    gallery::{GalleryError, KeyError},
    model::NetworkError,
    plot::PlotError,
    service::{DaemonError, ReplayError, audit::AuditError},
};
use std::{error::Error, io, path::Path};

/// Exit codes, those of BSD's `sysexits.h`.
pub mod code {
    /// The command line makes no sense.
    pub const USAGE: u8 = 64;
    /// A file holds something else than it should.
    pub const DATA: u8 = 65;
    /// A file or folder is not there.
    pub const NO_INPUT: u8 = 66;
    /// Somebody else has what is needed.
    pub const UNAVAILABLE: u8 = 69;
    /// A fault in the software, or arithmetic that left the numbers.
    pub const SOFTWARE: u8 = 70;
    /// A result cannot be written.
    pub const CANNOT_CREATE: u8 = 73;
    /// Standard output cannot be written.
    pub const IO: u8 = 74;
    /// A configuration that cannot work.
    pub const CONFIG: u8 = 78;
}

use code::{CANNOT_CREATE, CONFIG, DATA, IO, NO_INPUT, SOFTWARE, USAGE};

/// What ends a command early: one line for the user, and the exit code for scripts.
#[derive(Debug)]
pub struct Failure {
    /// One of [`code`].
    pub code: u8,
    /// One line, what was wrong and what to do.
    pub message: String,
}

impl Failure {
    /// A failure with an exit code of [`code`]; line breaks in the message are taken out.
    pub fn new(code: u8, error: &str) -> Self {
        // One line, whatever the libraries below put into theirs.
        let message = error.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        Self { code, message }
    }

    /// A file that was named on the command line cannot be read.
    pub fn input(path: &Path, error: &io::Error) -> Self {
        let code = if error.kind() == io::ErrorKind::InvalidData { DATA } else { NO_INPUT };
        Self::new(code, &format!("{}: {error}; check the path", path.display()))
    }

    /// The result cannot be written. Where the reader of a pipe has seen enough, there is nothing to say.
    pub fn output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self { code: 0, message: String::new() },
            _ => Self::new(IO, &format!("cannot write the result: {error}; free some space")),
        }
    }

    /// Whether it is that the reader of a pipe has seen enough.
    pub fn is_closed_pipe(&self) -> bool {
        self.message.is_empty()
    }
}

impl<E: Error + Coded> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error.code(), &error.to_string())
    }
}

/// The exit code that an error of the library stands for.
pub trait Coded {
    fn code(&self) -> u8;
}

impl Coded for TreeError {
    fn code(&self) -> u8 {
        match self {
            Self::Archive { .. } => DATA,
            Self::Missing(_) | Self::Read { .. } => NO_INPUT,
        }
    }
}

impl Coded for NetworkError {
    fn code(&self) -> u8 {
        match self {
            Self::Read { .. } => NO_INPUT,
            Self::Contract { .. } | Self::Unusable { .. } => DATA,
            Self::CropSize(..) | Self::Run(_) | Self::Output(_) => SOFTWARE,
        }
    }
}

impl Coded for KnownError {
    fn code(&self) -> u8 {
        match self {
            Self::Read { .. } => NO_INPUT,
            Self::Broken { .. } | Self::Differs { .. } => DATA,
            Self::Network(e) => e.code(),
        }
    }
}

impl Coded for PairsError {
    fn code(&self) -> u8 {
        match self {
            Self::Line { .. } => DATA,
            Self::Folds(_) | Self::NoSuchFold(..) => USAGE,
        }
    }
}

impl Coded for LandmarksError {
    fn code(&self) -> u8 {
        DATA
    }
}

impl Coded for SplitsError {
    fn code(&self) -> u8 {
        DATA
    }
}

impl Coded for ClipsError {
    fn code(&self) -> u8 {
        match self {
            Self::Missing(_) => NO_INPUT,
            Self::Frame(_) | Self::Protocol(ProtocolError::Missing(_)) => DATA,
            Self::Detector(e) => e.code(),
            Self::Embedder(_) | Self::Protocol(_) => SOFTWARE,
        }
    }
}

impl Coded for DetectionSetError {
    fn code(&self) -> u8 {
        DATA
    }
}

impl Coded for DatasetError {
    fn code(&self) -> u8 {
        match self {
            Self::Tree(e) => e.code(),
            Self::Pairs(e) => e.code(),
            Self::NotFound { .. } => NO_INPUT,
            Self::Ambiguous { .. } | Self::NotText(_) | Self::Landmarks(_) | Self::Broken(_) => {
                DATA
            }
        }
    }
}

impl Coded for RunError {
    fn code(&self) -> u8 {
        match self {
            Self::Folds(e) => e.code(),
            Self::Protocol(ProtocolError::Missing(_)) => DATA,
            _ => SOFTWARE,
        }
    }
}

impl Coded for PlotError {
    fn code(&self) -> u8 {
        match self {
            Self::Write { .. } => CANNOT_CREATE,
            Self::Draw { .. } => SOFTWARE,
        }
    }
}

impl Coded for ConfigError {
    fn code(&self) -> u8 {
        match self {
            Self::Read { .. } => NO_INPUT,
            Self::Parse { .. } | Self::Values { .. } => CONFIG,
        }
    }
}

impl Coded for CameraError {
    fn code(&self) -> u8 {
        NO_INPUT
    }
}

impl Coded for DoorError {
    fn code(&self) -> u8 {
        CANNOT_CREATE
    }
}

impl Coded for GalleryError {
    fn code(&self) -> u8 {
        DATA
    }
}

impl Coded for KeyError {
    fn code(&self) -> u8 {
        NO_INPUT
    }
}

impl Coded for AuditError {
    fn code(&self) -> u8 {
        CANNOT_CREATE
    }
}

impl Coded for ReplayError {
    fn code(&self) -> u8 {
        match self {
            Self::Camera(e) => e.code(),
            Self::Network(e) => e.code(),
        }
    }
}

impl Coded for DaemonError {
    fn code(&self) -> u8 {
        match self {
            Self::Camera(e) => e.code(),
            Self::Network(e) => e.code(),
            Self::Door(e) => e.code(),
            Self::Thread(_) => SOFTWARE,
        }
    }
}
