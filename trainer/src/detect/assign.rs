use super::compose::Canvas;
use facelatch::detect::{CHANNELS, Face, STRIDES, exact_box};

/// What a batch of canvases asks of the network's cells: all grids of a canvas one after another, finest
/// first, and all canvases one after another.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Targets {
    /// How much each cell's score counts: 1, or 0 where it does not matter.
    pub weights: Vec<f32>,
    /// The cells that a face is centred on.
    pub cells: Vec<i64>,
    /// For each of those the 14 numbers of the face.
    pub values: Vec<f32>,
}

/// Sizes of faces, strides, that a grid looks for: smallest and largest for each of the three. They
/// overlap, so that a face between two grids is found by both.
const SIZES: [[f32; 2]; 3] = [[0.0, 4.5], [1.7, 5.6], [2.2, f32::INFINITY]];

/// Cells within this of a face's centre, strides, along both axes, are its own: up to nine.
const NEAR: f32 = 1.5;

impl Targets {
    /// The targets of a batch.
    pub fn of(canvases: &[Canvas], side: usize) -> Self {
        let mut targets = Self::default();
        for canvas in canvases {
            targets.add(canvas, side);
        }
        targets
    }

    fn add(&mut self, canvas: &Canvas, side: usize) {
        for (stride, sizes) in STRIDES.into_iter().zip(SIZES) {
            let columns = side.div_ceil(stride);
            let start = self.weights.len();
            for (j, i) in (0..columns).flat_map(|j| (0..columns).map(move |i| (j, i))) {
                let cell = start + j * columns + i;
                match owner(&canvas.faces, [i, j], stride, sizes) {
                    Some(face) => {
                        self.cells.push(cell as i64);
                        self.values.extend(exact_box(face, [i, j], stride));
                        self.weights.push(1.0);
                    }
                    None => {
                        self.weights.push(if doubtful(canvas, [i, j], stride) { 0.0 } else { 1.0 })
                    }
                }
            }
        }
        debug_assert_eq!(self.values.len(), self.cells.len() * (CHANNELS - 1));
    }
}

/// The smallest face of a grid's sizes that has its centre near a cell.
fn owner(
    faces: &[Face],
    [i, j]: [usize; 2],
    stride: usize,
    [least, most]: [f32; 2],
) -> Option<&Face> {
    let stride = stride as f32;
    let at = [i as f32 * stride, j as f32 * stride];
    let near = |face: &&Face| {
        let size = face.bounds.size();
        // Half of a small face is less than the cells around it: only the nearest is inside then.
        let reach = (NEAR * stride).min((size * 0.5).max(stride * 0.5));
        let centre = face.bounds.centre();
        let close = (0..2).all(|axis| (centre[axis] - at[axis]).abs() <= reach);
        close && (least * stride..most * stride).contains(&size)
    };
    faces.iter().filter(near).min_by(|a, b| a.bounds.size().total_cmp(&b.bounds.size()))
}

fn doubtful(canvas: &Canvas, [i, j]: [usize; 2], stride: usize) -> bool {
    let [x, y] = [i, j].map(|v| (v * stride) as f32);
    canvas
        .ignore
        .iter()
        .any(|b| (b.x..b.x + b.width).contains(&x) && (b.y..b.y + b.height).contains(&y))
}

#[cfg(test)]
mod tests {
    use super::*;
    use facelatch::{
        align::template,
        detect::{Bounds, DetectionScore},
    };

    fn canvas(sizes: &[f32]) -> Canvas {
        let face = |&size: &f32| Face {
            bounds: Bounds {
                x: 100.0 - size / 2.0,
                y: 100.0 - size / 2.0,
                width: size,
                height: size,
            },
            landmarks: template(112),
            score: DetectionScore(0.9),
        };
        let faces = sizes.iter().map(face).collect();
        Canvas { pixels: Vec::new(), faces, ignore: Vec::new() }
    }

    fn grid_of(cell: i64) -> usize {
        match cell {
            0..1024 => 0,
            1024..1280 => 1,
            _ => 2,
        }
    }

    #[test]
    fn every_size_of_face_has_cells_and_on_the_right_grids() {
        for (size, grids) in [
            (9.0, vec![0]),
            (20.0, vec![0]),
            (30.0, vec![0, 1]),
            (60.0, vec![1]),
            (80.0, vec![1, 2]),
            (250.0, vec![2]),
        ] {
            let targets = Targets::of(&[canvas(&[size])], 256);
            assert_eq!(targets.weights.len(), 1024 + 256 + 64);
            let mut found: Vec<_> = targets.cells.iter().map(|&c| grid_of(c)).collect();
            found.dedup();
            assert_eq!(found, grids, "{size} px");
        }
    }

    #[test]
    fn of_two_faces_in_one_place_the_smaller_has_the_cell() {
        let targets = Targets::of(&[canvas(&[30.0, 20.0])], 256);
        let sizes: Vec<_> = (targets.cells.iter().zip(targets.values.chunks(14)))
            .filter(|(c, _)| grid_of(**c) == 0)
            .map(|(_, v)| (v[2].exp() * 8.0).round())
            .collect();
        assert!(sizes.contains(&20.0), "{sizes:?}");
        let mut sorted = targets.cells.clone();
        sorted.dedup();
        assert_eq!(sorted.len(), targets.cells.len(), "a cell has one owner");
    }

    #[test]
    fn doubtful_places_do_not_count_and_canvases_follow_each_other() {
        let mut second = canvas(&[]);
        second.ignore.push(Bounds { x: -1.0, y: -1.0, width: 300.0, height: 300.0 });
        let targets = Targets::of(&[canvas(&[30.0]), second], 256);
        assert!(targets.cells.iter().all(|&c| c < 1344));
        assert!(targets.weights[..1344].iter().all(|&w| w == 1.0));
        assert!(targets.weights[1344..].iter().all(|&w| w == 0.0));
    }
}
