//! Where frames come from: a camera, a folder of pictures or a recording, all behind [`FrameSource`].

pub mod convert;
mod error;
mod folder;
mod fps;
mod mjpeg;
mod reopening;
mod replay;
mod source;
#[cfg(any(feature = "v4l", test))]
mod v4l;
pub mod y4m;
mod yuv;

pub use convert::PixelFormat;
pub use error::CameraError;
pub use fps::{Fps, FpsError};
pub(crate) use reopening::next_wait;
pub use reopening::{Reopening, Seen};
pub use source::{Source, SourceError};

use image::RgbImage;
use std::time::Duration;

/// No picture, recording or camera frame may be wider or higher: 8192 × 8192 in RGB are 192 MiB.
pub const LARGEST_SIDE: u32 = 8192;

/// One picture and when it was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// The picture, in sRGB.
    pub pixels: RgbImage,
    /// When it was taken, from the moment the source was opened; for a replay from its first frame.
    /// Never less than the frame before. A [`Reopening`] moves it to its caller's clock.
    pub at: Duration,
    /// Counts the frames the source had from 0, those that nobody saw included: a gap is a drop.
    pub sequence: u64,
}

/// Something that gives one frame after the other.
pub trait FrameSource: Send {
    /// Waits for the next frame. A caller that was slow gets the latest one, not a backlog.
    ///
    /// # Errors
    /// [`CameraError::Ended`] after a replay's last frame; after an error that
    /// [is lost](CameraError::is_lost) the source has to be opened anew; after any other, the next
    /// call goes on with what follows.
    fn next(&mut self) -> Result<Frame, CameraError>;

    /// What this is, for a log: the device or file, the size, the format and the rate.
    fn describe(&self) -> String;
}

/// What a camera is asked for; it gives the nearest it has. Replays come as they are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wanted {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// Frames a second.
    pub fps: Fps,
    /// This one and no other; `None` for the best that the camera has.
    pub format: Option<PixelFormat>,
}

/// How fast a replay goes. A camera has its own pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As a camera would: waits for a frame's time, and drops frames whose successor is due already.
    Real,
    /// Every frame, at once; the same timestamps.
    Fast,
}
