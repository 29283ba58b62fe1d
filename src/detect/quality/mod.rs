//! The quality gate: whether a face in a frame is fit to be recognised, and what the person at the door
//! should do if it is not.
//!
//! [`assess`] measures, [`Limits::judge`] decides. The measures follow the quality components of
//! ISO/IEC 29794-5:2025 where it has one of the kind, but not its scales: they are kept in their own
//! units so that a limit means something to whoever sets it. Nothing here allocates.

mod limits;
mod patch;
mod pose;

pub use limits::{Limits, Refusal};
pub use pose::Pose;

use super::{Bounds, Face};
use crate::align::{AlignError, Landmarks, Similarity, TEMPLATE_112, template};
use image::RgbImage;
use patch::Patch;
use serde::Serialize;

/// What can be measured of a face before it is recognised.
///
/// A measure without a value, of landmarks that are no face say, is NaN, and NaN passes no limit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quality {
    /// From eye to eye, px of the frame, 0 and up. ISO/IEC 29794-5's inter-eye distance, but without its
    /// division by the cosine of the yaw, which has a limit of its own.
    pub eye_distance: f32,
    /// Share of the face's box that lies outside of the frame, 0 to 1.
    pub outside: f32,
    /// Landmarks that lie outside of the frame, 0 to 5.
    pub landmarks_outside: u8,
    /// How light falls on the face, and how sharp it is.
    #[serde(flatten)]
    pub light: Light,
    /// Which way the head points.
    pub pose: Pose,
    /// How far the landmarks are from the face template after the similarity that brings them nearest:
    /// root mean square, in shares of the template's inter-eye distance, 0 to about 1. It grows when the
    /// head turns, and when the detector guesses at what it cannot see.
    pub misfit: f32,
}

/// What the pixels between brows and chin say, of luma (BT.709 weights, 0 black to 255 white) on a grid
/// of fixed size over the aligned face.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Light {
    /// Mean luma, 0 to 255: luminance mean in ISO/IEC 29794-5.
    pub brightness: f32,
    /// Share of it from 0 to 25, 0 to 1: what under-exposure prevention counts there.
    pub dark: f32,
    /// Share of it from 247 to 255, 0 to 1: what over-exposure prevention counts there.
    pub bright: f32,
    /// Standard deviation of luma, 0 to 127.5: the root of luminance variance there.
    pub contrast: f32,
    /// Standard deviation of the Laplacian of luma in shares of `contrast`, 0 to 8. The same for a face
    /// twice as large, and for one half as strongly lit. 0 where there is no contrast.
    pub sharpness: f32,
}

/// Measures one face of a frame. Any face does, also one whose numbers are not finite.
pub fn assess(frame: &RgbImage, face: &Face) -> Quality {
    let [left, right, ..] = face.landmarks.0;
    let fit = Similarity::fit(&face.landmarks, &template(112));
    Quality {
        eye_distance: (right[0] - left[0]).hypot(right[1] - left[1]),
        outside: outside(&face.bounds, &frame_bounds(frame)),
        landmarks_outside: landmarks_outside(&face.landmarks, &frame_bounds(frame)),
        light: match &fit {
            Ok(fit) if !frame.is_empty() => Patch::of(frame, fit).light(),
            _ => Light::UNKNOWN,
        },
        pose: Pose::of(&face.landmarks),
        misfit: misfit(&face.landmarks, &fit),
    }
}

fn frame_bounds(frame: &RgbImage) -> Bounds {
    Bounds { x: -0.5, y: -0.5, width: frame.width() as f32, height: frame.height() as f32 }
}

fn outside(face: &Bounds, frame: &Bounds) -> f32 {
    let Bounds { x, y, width, height } = *face;
    // Checked because min and max pass over a NaN as if it were not there.
    if ![x, y, width, height].iter().all(|v| v.is_finite()) {
        return f32::NAN;
    }
    (1.0 - face.overlap(frame) / face.area()).clamp(0.0, 1.0)
}

fn landmarks_outside(landmarks: &Landmarks, frame: &Bounds) -> u8 {
    let inside = |[x, y]: &&[f32; 2]| {
        (frame.x..=frame.x + frame.width).contains(x)
            && (frame.y..=frame.y + frame.height).contains(y)
    };
    5 - landmarks.0.iter().filter(inside).count() as u8
}

fn misfit(landmarks: &Landmarks, fit: &Result<Similarity, AlignError>) -> f32 {
    let Ok(fit) = fit else { return f32::NAN };
    let distance = |[p, q]: [[f32; 2]; 2]| (p[0] - q[0]).hypot(p[1] - q[1]);
    let pairs = landmarks.0.iter().zip(TEMPLATE_112);
    let squares: f32 = pairs.map(|(&p, q)| distance([fit.apply(p), q]).powi(2)).sum();
    (squares / 5.0).sqrt() / distance([TEMPLATE_112[0], TEMPLATE_112[1]])
}

#[cfg(test)]
mod ordinary;
#[cfg(test)]
mod tests;
