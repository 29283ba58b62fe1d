use super::{convert::ConvertError, y4m::Y4mError};
use std::{io, path::PathBuf, time::Duration};

/// Why there is no frame.
#[derive(Debug, thiserror::Error)]
pub enum CameraError {
    /// A replay has shown its last frame.
    #[error("the replay has ended")]
    Ended,
    /// This build cannot open cameras.
    #[error(
        "{0}: this facelatch was built without cameras; build it with `--features v4l` (which needs \
         libclang), or give it dir: or y4m:"
    )]
    NoCameras(PathBuf),
    /// A device cannot be opened or was lost: unplugged, taken by another program, never there.
    #[error("{device}: {doing}: {source}; {}", advice(.source))]
    Device {
        /// The device's file.
        device: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The driver gives no frames.
    #[error("{device}: no frame for {}s; unplug the camera and plug it in again", .waited.as_secs())]
    Stuck {
        /// The device's file.
        device: PathBuf,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The driver gives frames, none of them whole.
    #[error("{device}: only broken frames, the last one: {source}; try another cable or USB port")]
    Torn {
        /// The device's file.
        device: PathBuf,
        /// What was wrong with the last one.
        source: ConvertError,
    },
    /// The running daemon, which has the camera, lends no frame.
    #[error("{socket}: the running daemon gives no frame ({problem}); look at its log, or stop it")]
    Daemon {
        /// Where it listens.
        socket: PathBuf,
        /// What it said, or the system.
        problem: String,
    },
    /// A device that has no format we can read.
    #[error("{device}: {problem}")]
    Unsuitable {
        /// The device's file.
        device: PathBuf,
        /// What it has, and what to do.
        problem: String,
    },
    /// A folder or file of a replay cannot be read.
    #[error("{path}: {source}; check the path")]
    Read {
        /// The folder or file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// There is nothing in the folder.
    #[error("{0}: no pictures in this folder; put jpg, png or webp files into it")]
    NoPictures(PathBuf),
    /// A picture is broken.
    #[error("{path}: not a readable picture ({problem}); replace or remove it")]
    Picture {
        /// The picture.
        path: PathBuf,
        /// What the decoder said.
        problem: String,
    },
    /// A recording is broken, or of a kind that is not read.
    #[error("{path}: {source}")]
    Recording {
        /// The recording.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        source: Y4mError,
    },
}

impl CameraError {
    /// Whether opening the source anew may help: a device can come back, a file does not change.
    pub fn is_lost(&self) -> bool {
        // No permission is no exception: a device that was just plugged in belongs to root until
        // udev has come round to it. Nor is a camera without a format that we take: another one may be
        // plugged in, and until then the exit button is to work.
        matches!(
            self,
            Self::Device { .. } | Self::Stuck { .. } | Self::Torn { .. } | Self::Unsuitable { .. }
        )
    }
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "plug the camera in, or name another device",
        io::ErrorKind::PermissionDenied => "add this user to the group `video`",
        io::ErrorKind::ResourceBusy => "end the other program that uses the camera",
        _ => "check the cable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(kind: io::ErrorKind) -> CameraError {
        let device = PathBuf::from("/dev/video7");
        CameraError::Device { device, doing: "opening it", source: kind.into() }
    }

    #[test]
    fn a_device_may_come_back_and_a_file_does_not() {
        let path = || PathBuf::from("x");
        let stuck = CameraError::Stuck { device: path(), waited: Duration::from_secs(2) };
        let unsuitable = CameraError::Unsuitable { device: path(), problem: "gives H264".into() };
        for lost in
            [device(io::ErrorKind::NotFound), device(io::ErrorKind::Other), stuck, unsuitable]
        {
            assert!(lost.is_lost(), "{lost}");
        }
        let read = CameraError::Read { path: path(), source: io::ErrorKind::NotFound.into() };
        for final_ in [CameraError::Ended, CameraError::NoCameras(path()), read] {
            assert!(!final_.is_lost(), "{final_}");
        }
    }

    #[test]
    fn an_error_says_which_device_and_what_to_do() {
        let denied = device(io::ErrorKind::PermissionDenied).to_string();
        assert!(denied.starts_with("/dev/video7: opening it: "), "{denied}");
        assert!(denied.ends_with("group `video`"), "{denied}");
    }
}
