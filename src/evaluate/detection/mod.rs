//! How well a detector finds faces and their landmarks.
//!
//! In each picture the detections are gone through from the surest down. One takes, of the labelled faces
//! that are still free, the one it overlaps most, if intersection over union is 0.5 or more (PASCAL VOC's
//! and WIDER FACE's bound), and is right. Otherwise, if half of its own area or more lies in an `ignore`
//! box, it is neither right nor wrong; otherwise it is a false face, a second box on one face included.
//! A threshold only cuts this list off, so every threshold is measured by the same matches.

mod matching;
mod report;
mod truth;

pub use matching::DetectionPoint;
pub use report::{DetectionReport, ManualNme, Nme, RecallAt, Share, SizeBin};
pub use truth::{DetectionSet, DetectionSetError, PictureTruth};

use crate::detect::{DetectionScore, Face};
use matching::Matches;

/// Measures a detector by what it found in each picture. `threshold` is the score from which on it would
/// be believed in use; what it is given here should reach far below, to measure other thresholds.
///
/// Detections whose score is NaN are left out; a box that is not finite is a false face.
pub fn detection_report(
    pictures: &[(PictureTruth, Vec<Face>)],
    threshold: DetectionScore,
) -> DetectionReport {
    DetectionReport::of(&Matches::of(pictures), threshold)
}

/// Recall over false faces, one point for every distinct score, thresholds falling.
pub fn detection_curve(pictures: &[(PictureTruth, Vec<Face>)]) -> Vec<DetectionPoint> {
    Matches::of(pictures).curve()
}

#[cfg(test)]
mod tests;
