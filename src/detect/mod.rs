//! Finds faces: where they stand in a frame, and their five landmarks.
//!
//! A frame is scaled into the network's picture ([`Letterbox`]), the network ([`Detector`]) says for
//! each cell of three grids whether a face is centred there and how it lies, and [`Decoder`] turns
//! that into at most [`MAX_FACES`] faces in the frame's own pixels, without allocating.

mod contract;
mod decode;
mod detector;
mod face;
mod letterbox;
mod quality;

pub use contract::{DetectorContract, OUTPUTS};
pub use decode::{CHANNELS, Decoder, Grid, MAX_CANDIDATES, MAX_FACES, STRIDES, exact_box};
pub use detector::Detector;
pub use face::{Bounds, DetectionScore, Face, Faces};
pub use letterbox::Letterbox;
pub use quality::{Light, Limits, Pose, Quality, Refusal, assess};
