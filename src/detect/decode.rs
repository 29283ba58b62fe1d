use super::{Bounds, DetectionScore, Face, Faces};
use crate::align::Landmarks;
use heapless::{
    Vec,
    binary_heap::{BinaryHeap, Min},
};
use std::cmp::Ordering;

/// Pixels of the network's picture from one cell to the next, for each of its three grids.
pub const STRIDES: [usize; 3] = [8, 16, 32];

/// Numbers for a cell: the logit of a face being there, its box (2 of the centre, 2 of the size), and
/// five landmarks.
pub const CHANNELS: usize = 15;

/// Cells that are looked at more closely; of more, the surest.
pub const MAX_CANDIDATES: usize = 256;

/// Faces that are reported; of more, the surest. A door has no use for a crowd.
pub const MAX_FACES: usize = 16;

/// Logarithm of the largest size of a box, strides: e⁵ of the finest are 1187 px.
const LARGEST_LOG_SIZE: f32 = 5.0;

/// What the network says on one grid: [`CHANNELS`] planes of `height`·`width` values.
///
/// Cell (i, j) stands on the pixel (stride·i, stride·j) of the network's picture. Its box is centred
/// at stride·(i + v₁, j + v₂) and stride·exp(v₃) wide, stride·exp(v₄) high; its landmarks are at
/// stride·(i + v₅, j + v₆) and so on. v₀ is the logit of the face.
#[derive(Debug, Clone, Copy)]
pub struct Grid<'a> {
    /// All planes, row by row.
    pub values: &'a [f32],
    /// Cells in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Pixels from cell to cell.
    pub stride: usize,
}

/// Reads faces off the network's grids.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decoder {
    /// Least score of a face, 0 to 1.
    pub threshold: f32,
    /// Of two boxes that overlap by more than this (intersection over union), the less sure one is the
    /// same face again.
    pub most_overlap: f32,
}

impl Default for Decoder {
    /// 0.5: see models/detector-int8.md for what that lets through. 0.4 of overlap: two faces cheek to
    /// cheek overlap by less than 0.2.
    fn default() -> Self {
        Self { threshold: 0.5, most_overlap: 0.4 }
    }
}

/// A cell that may hold a face. Ordered by score, then earlier grids and cells first, so that nothing
/// depends on the order in which equals are found.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    logit: f32,
    grid: usize,
    cell: usize,
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        let place = |c: &Self| (c.grid, c.cell);
        self.logit.total_cmp(&other.logit).then_with(|| place(other).cmp(&place(self)))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate {}

impl Decoder {
    /// The faces on the grids, in px of the network's picture, the surest first, without the copies
    /// that neighbouring cells give of one face. Numbers that are not finite are no face; a grid that
    /// holds fewer values than its sides say has none.
    pub fn decode(&self, grids: &[Grid]) -> Faces {
        let mut kept: Vec<Cluster, MAX_FACES> = Vec::new();
        for candidate in self.candidates(grids) {
            let Some(face) = face_at(&grids[candidate.grid], candidate) else { continue };
            let overlap = |cluster: &Cluster| cluster.face.bounds.iou(&face.bounds);
            match kept.iter_mut().find(|cluster| overlap(cluster) > self.most_overlap) {
                Some(cluster) => cluster.add(&face),
                // Beyond the surest sixteen there is no room.
                None => _ = kept.push(Cluster::new(face)),
            }
        }
        kept.iter().map(Cluster::face).collect()
    }

    /// The surest cells, in falling order.
    fn candidates(&self, grids: &[Grid]) -> Vec<Candidate, MAX_CANDIDATES> {
        let least = logit(self.threshold);
        let mut surest: BinaryHeap<Candidate, Min, MAX_CANDIDATES> = BinaryHeap::new();
        for (grid, found) in grids.iter().enumerate() {
            let cells = found.width * found.height;
            if found.values.len() < cells * CHANNELS {
                continue;
            }
            for (cell, &logit) in found.values[..cells].iter().enumerate() {
                if logit.is_nan() || logit < least {
                    continue;
                }
                let candidate = Candidate { logit, grid, cell };
                if surest.is_full() {
                    if surest.peek().is_some_and(|least| *least >= candidate) {
                        continue;
                    }
                    surest.pop();
                }
                // There is room: one has just gone if there was none.
                let _ = surest.push(candidate);
            }
        }
        let mut sorted = surest.into_vec();
        sorted.sort_unstable_by(|a, b| b.cmp(a));
        sorted
    }
}

/// A face, and what the cells around the surest one say of it. The box is the surest cell's; the
/// landmarks are the mean of all that agree, each as much as it is sure, which takes out most of what
/// a single cell is off by (Bazarevsky et al. 2019, arXiv 1907.05047, do the same to stop jitter).
struct Cluster {
    face: Face,
    sums: [f32; 10],
    weight: f32,
}

/// Cells whose box overlaps the surest one's by at least this are of one mind.
const AGREED: f32 = 0.6;

impl Cluster {
    fn new(face: Face) -> Self {
        let mut cluster = Self { face, sums: [0.0; 10], weight: 0.0 };
        cluster.add(&face);
        cluster
    }

    fn add(&mut self, other: &Face) {
        if self.face.bounds.iou(&other.bounds) < AGREED {
            return;
        }
        let weight = other.score.0;
        self.weight += weight;
        let values = other.landmarks.0.as_flattened();
        self.sums.iter_mut().zip(values).for_each(|(sum, v)| *sum += v * weight);
    }

    fn face(&self) -> Face {
        let mean = self.sums.map(|sum| sum / self.weight);
        // Sums of numbers near the largest there are overflow.
        if !mean.iter().all(|v| v.is_finite()) {
            return self.face;
        }
        let landmarks = std::array::from_fn(|i| [mean[2 * i], mean[2 * i + 1]]);
        Face { landmarks: Landmarks(landmarks), ..self.face }
    }
}

fn face_at(grid: &Grid, candidate: Candidate) -> Option<Face> {
    let cells = grid.width * grid.height;
    let at = |channel: usize| grid.values[channel * cells + candidate.cell];
    let stride = grid.stride as f32;
    let cell = [candidate.cell % grid.width, candidate.cell / grid.width].map(|v| v as f32);
    let point = |channel: usize| [0, 1].map(|axis| (cell[axis] + at(channel + axis)) * stride);
    let [width, height] = [3, 4].map(|channel| at(channel).min(LARGEST_LOG_SIZE).exp() * stride);
    let [x, y] = point(1);
    let face = Face {
        bounds: Bounds { x: x - width / 2.0, y: y - height / 2.0, width, height },
        landmarks: Landmarks([5, 7, 9, 11, 13].map(point)),
        score: DetectionScore(1.0 / (1.0 + (-candidate.logit).exp())),
    };
    let numbers = [x, y, width, height];
    let finite = numbers.iter().chain(face.landmarks.0.as_flattened()).all(|v| v.is_finite());
    // Two sides above 0 can still have an area below the smallest number.
    (finite && face.bounds.area() > 0.0).then_some(face)
}

/// What a cell must say for a face to be decoded from it: the inverse of the decoder, for training. The
/// 14 numbers after the logit.
pub fn exact_box(face: &Face, [i, j]: [usize; 2], stride: usize) -> [f32; CHANNELS - 1] {
    let (stride, cell) = (stride as f32, [i as f32, j as f32]);
    let offset = |[x, y]: [f32; 2]| [x / stride - cell[0], y / stride - cell[1]];
    let mut values = [0.0; CHANNELS - 1];
    values[..2].copy_from_slice(&offset(face.bounds.centre()));
    values[2] = (face.bounds.width / stride).ln();
    values[3] = (face.bounds.height / stride).ln();
    for (out, point) in values[4..].chunks_exact_mut(2).zip(face.landmarks.0) {
        out.copy_from_slice(&offset(point));
    }
    values
}

/// The logit of a probability.
fn logit(p: f32) -> f32 {
    (p / (1.0 - p)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIDES: [usize; 2] = [10, 8];

    /// A grid on which some cells have a face, each written over its neighbours' silence.
    fn grid_of(faces: &[(usize, Face)], stride: usize) -> std::vec::Vec<f32> {
        let cells = SIDES[0] * SIDES[1];
        let mut values = vec![-9.0; cells * CHANNELS];
        for (cell, face) in faces {
            values[*cell] = logit(face.score.0);
            let place = [cell % SIDES[0], cell / SIDES[0]];
            for (channel, v) in exact_box(face, place, stride).into_iter().enumerate() {
                values[(channel + 1) * cells + cell] = v;
            }
        }
        values
    }

    fn decode(decoder: &Decoder, values: &[f32], stride: usize) -> Faces {
        decoder.decode(&[Grid { values, width: SIDES[0], height: SIDES[1], stride }])
    }

    fn face(x: f32, y: f32, size: f32, score: f32) -> Face {
        let spot = |dx: f32, dy: f32| [x + size * dx, y + size * dy];
        Face {
            bounds: Bounds { x, y, width: size, height: size * 1.2 },
            landmarks: Landmarks([
                spot(0.3, 0.4),
                spot(0.7, 0.4),
                spot(0.5, 0.6),
                spot(0.35, 0.9),
                spot(0.65, 0.9),
            ]),
            score: DetectionScore(score),
        }
    }

    proptest! {
        #[test]
        fn what_the_trainer_asks_for_is_what_the_decoder_reads(
            x in -20f32..80.0, y in -20f32..60.0, size in 8f32..200.0, score in 0.51f32..0.99,
            cell in 0..80usize, stride in prop::sample::select(STRIDES.to_vec()),
        ) {
            let wanted = face(x, y, size, score);
            let found = decode(&Decoder::default(), &grid_of(&[(cell, wanted)], stride), stride);
            prop_assert_eq!(found.len(), 1);
            prop_assert!((found[0].score.0 - score).abs() < 1e-4);
            prop_assert!(found[0].bounds.iou(&wanted.bounds) > 0.999);
            for (a, b) in found[0].landmarks.0.as_flattened().iter().zip(wanted.landmarks.0.as_flattened()) {
                prop_assert!((a - b).abs() < 0.01);
            }
        }

        #[test]
        fn any_numbers_give_finite_faces_that_do_not_repeat_each_other(
            values in prop::collection::vec(prop::num::f32::ANY, 80 * CHANNELS), threshold in 0f32..1.0,
        ) {
            let decoder = Decoder { threshold, ..Decoder::default() };
            let faces = decode(&decoder, &values, 8);
            prop_assert!(faces.iter().all(|f| f.bounds.size().is_finite() && f.bounds.area() > 0.0));
            prop_assert!(faces.is_sorted_by(|a, b| a.score.0 >= b.score.0));
            for (i, a) in faces.iter().enumerate() {
                prop_assert!(faces[i + 1..].iter().all(|b| a.bounds.iou(&b.bounds) <= 0.4));
            }
        }
    }

    #[test]
    fn neighbours_that_see_one_face_give_one_and_two_faces_stay_two() {
        let decoder = Decoder::default();
        let (one, again) = (face(10.0, 10.0, 20.0, 0.8), face(11.0, 10.0, 20.0, 0.9));
        let apart = face(50.0, 30.0, 20.0, 0.6);
        let values = grid_of(&[(11, one), (12, again), (45, apart)], 8);
        let scores: std::vec::Vec<_> =
            decode(&decoder, &values, 8).iter().map(|f| (f.score.0 * 10.0).round()).collect();
        assert_eq!(scores, [9.0, 6.0]);
    }

    #[test]
    fn cells_of_one_mind_share_their_landmarks() {
        let (one, other) = (face(10.0, 10.0, 40.0, 0.9), face(12.0, 10.0, 40.0, 0.6));
        let found = decode(&Decoder::default(), &grid_of(&[(11, one), (12, other)], 8), 8);
        let expected = one.landmarks.0[2][0] + 2.0 * 0.6 / 1.5;
        assert_eq!(found.len(), 1);
        assert!((found[0].landmarks.0[2][0] - expected).abs() < 1e-3);
        assert!((found[0].bounds.x - 10.0).abs() < 1e-3, "the box is the surest cell's");
    }

    #[test]
    fn of_equals_the_first_cell_wins_and_of_too_many_the_surest_stay() {
        let same = face(10.0, 10.0, 20.0, 0.8);
        let shifted = face(12.0, 10.0, 20.0, 0.8);
        let found = decode(&Decoder::default(), &grid_of(&[(11, shifted), (12, same)], 8), 8);
        assert!((found[0].bounds.x - 12.0).abs() < 1e-3);
        // One face a cell, far apart, all 80 of them: sixteen are reported, the surest.
        let all: std::vec::Vec<_> = (0..80)
            .map(|cell| (cell, face((cell * 30) as f32, 0.0, 8.0, 0.6 + cell as f32 * 0.004)))
            .collect();
        let found = decode(&Decoder::default(), &grid_of(&all, 8), 8);
        assert_eq!(found.len(), MAX_FACES);
        assert!((found[0].score.0 - (0.6 + 79.0 * 0.004)).abs() < 1e-4);
    }

    #[test]
    fn a_grid_cut_short_has_no_face() {
        let values = grid_of(&[(11, face(10.0, 10.0, 20.0, 0.8))], 8);
        assert!(decode(&Decoder::default(), &values[..values.len() - 1], 8).is_empty());
        assert!(decode(&Decoder::default(), &[], 8).is_empty());
    }
}
