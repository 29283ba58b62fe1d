use super::PictureTruth;
use crate::detect::{Bounds, DetectionScore, Face};
use serde::Serialize;

/// Intersection over union from which on a box is on a face.
const LEAST_OVERLAP: f32 = 0.5;

/// Share of a detection in an `ignore` box from which on it does not count.
const IGNORED_SHARE: f32 = 0.5;

/// One point of a detector's curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DetectionPoint {
    /// The score from which on a detection counts.
    pub threshold: DetectionScore,
    /// False faces per picture there, 0 and up.
    pub false_per_image: f64,
    /// Share of the labelled faces found there, 0 to 1.
    pub recall: f64,
}

/// All detections that count, matched, the surest first.
pub(super) struct Matches<'a> {
    pub pictures: &'a [(PictureTruth, Vec<Face>)],
    /// Labelled faces.
    pub faces: usize,
    pub found: Vec<Found<'a>>,
}

/// A detection that is right or wrong.
pub(super) struct Found<'a> {
    /// Index of its picture.
    pub picture: usize,
    pub face: &'a Face,
    /// Index of the labelled face that it found; none for a false face.
    pub truth: Option<usize>,
}

/// Right and false faces from a threshold on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub right: usize,
    pub wrong: usize,
}

impl<'a> Matches<'a> {
    pub fn of(pictures: &'a [(PictureTruth, Vec<Face>)]) -> Self {
        let matched = |(picture, (truth, detections)): (usize, &'a (PictureTruth, Vec<Face>))| {
            let matched = match_picture(truth, detections).into_iter();
            matched.map(move |(face, truth)| Found { picture, face, truth })
        };
        let mut found: Vec<Found> = pictures.iter().enumerate().flat_map(matched).collect();
        found.sort_by(|a, b| surer(a.face, b.face));
        let faces = pictures.iter().map(|(truth, _)| truth.faces.len()).sum();
        Self { pictures, faces, found }
    }

    /// Detections from a threshold on.
    pub fn from(&self, threshold: DetectionScore) -> &[Found<'a>] {
        &self.found[..self.found.partition_point(|f| f.face.score >= threshold)]
    }

    pub fn counts(&self, threshold: DetectionScore) -> Counts {
        let found = self.from(threshold);
        let right = found.iter().filter(|f| f.truth.is_some()).count();
        Counts { right, wrong: found.len() - right }
    }

    /// The lowest threshold that lets through at most so many false faces per picture. Where all that
    /// was given keeps to it: the lowest score there is, 0 if there is none.
    pub fn threshold_for(&self, false_per_image: f64) -> DetectionScore {
        // The millionth keeps 0.1 · 30 at 3 whichever way the product rounds.
        let allowed = (false_per_image * self.pictures.len() as f64 + 1e-6) as usize;
        let mut wrong = self.found.iter().filter(|f| f.truth.is_none());
        match wrong.nth(allowed) {
            Some(refused) => DetectionScore(refused.face.score.0.next_up()),
            None => self.found.last().map_or(DetectionScore(0.0), |f| f.face.score),
        }
    }

    /// The score and the counts from it on of every distinct score, falling. Equal scores go together.
    pub fn steps(&self) -> impl DoubleEndedIterator<Item = (DetectionScore, Counts)> {
        let mut counts = Counts { right: 0, wrong: 0 };
        let steps = self.found.chunk_by(|a, b| a.face.score == b.face.score).map(|group| {
            let right = group.iter().filter(|f| f.truth.is_some()).count();
            counts.right += right;
            counts.wrong += group.len() - right;
            (group[0].face.score, counts)
        });
        steps.collect::<Vec<_>>().into_iter()
    }

    pub fn curve(&self) -> Vec<DetectionPoint> {
        let share = |count: usize, of: usize| count as f64 / of.max(1) as f64;
        let point = |(threshold, counts): (DetectionScore, Counts)| DetectionPoint {
            threshold,
            false_per_image: share(counts.wrong, self.pictures.len()),
            recall: share(counts.right, self.faces),
        };
        self.steps().map(point).collect()
    }
}

/// The detections of a picture that are right or wrong, the surest first, with the index of the labelled
/// face that each found.
fn match_picture<'a>(
    truth: &PictureTruth,
    detections: &'a [Face],
) -> Vec<(&'a Face, Option<usize>)> {
    let mut sorted: Vec<&Face> = detections.iter().filter(|d| !d.score.0.is_nan()).collect();
    sorted.sort_by(|a, b| surer(a, b));
    let mut free = vec![true; truth.faces.len()];
    let matched = sorted.into_iter().filter_map(|face| {
        let bounds = finite(&face.bounds);
        let overlaps = truth.faces.iter().enumerate().filter(|&(i, _)| free[i]);
        let overlaps = overlaps.map(|(i, t)| (i, bounds.map_or(0.0, |b| b.iou(&t.bounds))));
        let best = overlaps.max_by(|a, b| a.1.total_cmp(&b.1));
        if let Some((i, _)) = best.filter(|&(_, overlap)| overlap >= LEAST_OVERLAP) {
            free[i] = false;
            return Some((face, Some(i)));
        }
        let share = |b: &Bounds, ignore: &Bounds| b.overlap(ignore) / b.area();
        let ignored = |b| truth.ignore.iter().any(|ignore| share(b, ignore) >= IGNORED_SHARE);
        (!bounds.is_some_and(ignored)).then_some((face, None))
    });
    matched.collect()
}

/// A box that overlaps can be asked of: `min` and `max` pass over a NaN as if it were not there.
fn finite(bounds: &Bounds) -> Option<&Bounds> {
    let numbers = [bounds.x, bounds.y, bounds.width, bounds.height];
    numbers.iter().all(|v| v.is_finite()).then_some(bounds)
}

fn surer(a: &Face, b: &Face) -> std::cmp::Ordering {
    b.score.0.total_cmp(&a.score.0)
}
