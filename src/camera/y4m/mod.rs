//! YUV4MPEG2, the plainest recording there is: a line of text, then planes of Y, U and V.
//!
//! Read are 8-bit recordings in 4:2:0, 4:2:2, 4:4:4 and luma alone; YUV is taken as BT.601, in the range
//! that `XCOLORRANGE` names, limited if none. Interlaced recordings are read as if they were not.

mod header;
mod reader;
mod recording;
mod writer;

pub use header::{Chroma, Header};
pub use reader::Y4mReader;
pub(super) use recording::Recording;
pub use writer::Y4mWriter;

use super::LARGEST_SIDE;
use std::io;

/// What is wrong with a recording.
#[derive(Debug, thiserror::Error)]
pub enum Y4mError {
    /// The file cannot be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Something else than YUV4MPEG2.
    #[error("not a YUV4MPEG2 recording; make one with `ffmpeg -i VIDEO -pix_fmt yuv420p FILE.y4m`")]
    Magic,
    /// A line of the header, or of a frame, that does not end.
    #[error("a header of more than {} bytes; the file is broken", header::LONGEST_LINE)]
    LongLine,
    /// A parameter of the header that is missing or makes no sense.
    #[error("the header's {name} is {value:?}; wanted {wanted}")]
    Parameter {
        /// The letter that the parameter begins with.
        name: &'static str,
        /// What follows it.
        value: String,
        /// What could follow it.
        wanted: &'static str,
    },
    /// A colour space that is not read.
    #[error(
        "the colour space {0:?} is not read, only 8 bits of 420, 420jpeg, 420mpeg2, 422, 444 and mono; \
         convert with `ffmpeg -i FILE -pix_fmt yuv420p NEW.y4m`"
    )]
    Colour(String),
    /// The file ends, or goes on with something else, in the middle of a frame.
    #[error("frame {0} is torn; the recording was cut short")]
    Torn(u64),
    /// A picture of another size was to be written.
    #[error("a picture of {got:?} pixels in a recording of {wanted:?}")]
    Size {
        /// The picture's width and height.
        got: (u32, u32),
        /// The recording's.
        wanted: (u32, u32),
    },
}
