use super::Face;
use crate::align::{Affine, warp_into};
use image::RgbImage;

/// The grey of what is not part of the frame: between black and white, as training shows it.
const SURROUND: u8 = 114;

/// How a frame is scaled, without distortion, into the upper left of the network's picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Letterbox {
    /// Frame px for one px of the network's picture.
    scale: f32,
    /// Width and height that the frame takes up there.
    used: [usize; 2],
    picture: [usize; 2],
}

impl Letterbox {
    /// For a frame and a picture of these sides [width, height] px; `None` where either has no pixel
    /// or a side over 65,535.
    pub fn new(frame: [usize; 2], picture: [usize; 2]) -> Option<Self> {
        let sides = frame.iter().chain(&picture);
        if sides.into_iter().any(|side| !(1..=usize::from(u16::MAX)).contains(side)) {
            return None;
        }
        let ratio = |axis: usize| frame[axis] as f32 / picture[axis] as f32;
        let scale = ratio(0).max(ratio(1));
        let side = |axis: usize| {
            let side = (frame[axis] as f32 / scale).round() as usize;
            side.clamp(1, picture[axis])
        };
        Some(Self { scale, used: [side(0), side(1)], picture })
    }

    /// Fills `out`, RGB row by row, with the scaled frame and grey beside or below it.
    ///
    /// A shrink by a whole number is the mean of the pixels in each square; anything else is sampled as
    /// [`warp_into`] says.
    ///
    /// # Panics
    /// If `frame` or `out` is not of the sides that this was made for.
    pub fn fill(&self, frame: &RgbImage, out: &mut [u8]) {
        let [width, height] = self.picture;
        assert_eq!(out.len(), width * height * 3, "out must hold the network's picture");
        if self.used != self.picture {
            out.fill(SURROUND);
        }
        let whole = self.scale.round();
        if self.scale == whole && (1.0..=16.0).contains(&whole) {
            return self.means(frame, whole as usize, out);
        }
        let source = [frame.width() as usize, frame.height() as usize];
        let shift = self.scale / 2.0 - 0.5;
        let map = Affine::scale_shift(self.scale, self.scale, [shift; 2]);
        let [columns, rows] = self.used;
        if columns == width {
            return warp_into(frame, source, &map, &mut out[..columns * rows * 3], self.used);
        }
        for (row, to) in out.chunks_exact_mut(width * 3).take(rows).enumerate() {
            let map = Affine::scale_shift(1.0, 1.0, [0.0, row as f32]).then(map);
            warp_into(frame, source, &map, &mut to[..columns * 3], [columns, 1]);
        }
    }

    fn means(&self, frame: &RgbImage, n: usize, out: &mut [u8]) {
        let row_bytes = frame.width() as usize * 3;
        let half = (n * n / 2) as u32;
        let divisor = (n * n) as u32;
        let [columns, rows] = self.used;
        let (columns, rows) =
            (columns.min(row_bytes / 3 / n), rows.min(frame.height() as usize / n));
        for (row, to) in out.chunks_exact_mut(self.picture[0] * 3).take(rows).enumerate() {
            let lines = &frame.as_raw()[row * n * row_bytes..][..n * row_bytes];
            if n == 2 {
                let (upper, lower) = lines.split_at(row_bytes);
                mean_of_four(upper, lower, &mut to[..columns * 3]);
                continue;
            }
            for (column, pixel) in to.as_chunks_mut::<3>().0.iter_mut().take(columns).enumerate() {
                let mut sums = [half; 3];
                for line in lines.chunks_exact(row_bytes) {
                    for source in line[column * n * 3..][..n * 3].as_chunks::<3>().0 {
                        (0..3).for_each(|c| sums[c] += u32::from(source[c]));
                    }
                }
                *pixel = sums.map(|sum| (sum / divisor) as u8);
            }
        }
    }

    /// A face of the network's picture in px of the frame.
    pub fn to_frame(&self, face: &Face) -> Face {
        // Pixel centres: x' = scale·x + (scale − 1)/2.
        face.moved(self.scale, [self.scale / 2.0 - 0.5; 2])
    }
}

/// The means of 2×2 pixels of two lines: the usual case, 640×480 into 320×240.
fn mean_of_four(upper: &[u8], lower: &[u8], out: &mut [u8]) {
    let pairs = upper.as_chunks::<6>().0.iter().zip(lower.as_chunks::<6>().0);
    for (pixel, (a, b)) in out.as_chunks_mut::<3>().0.iter_mut().zip(pairs) {
        *pixel = std::array::from_fn(|c| {
            let sum = [a[c], a[c + 3], b[c], b[c + 3]].map(u16::from).iter().sum::<u16>();
            ((sum + 2) / 4) as u8
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        align::Landmarks,
        detect::{Bounds, DetectionScore},
    };
    use image::Rgb;

    fn noise(width: u32, height: u32) -> RgbImage {
        let value = |x: u32, y: u32, c: u32| {
            (x.wrapping_mul(73).wrapping_add(y * 151).wrapping_add(c * 57)).wrapping_mul(40_503)
                >> 5
        };
        RgbImage::from_fn(width, height, |x, y| Rgb([0, 1, 2].map(|c| value(x, y, c) as u8)))
    }

    #[test]
    fn a_shrink_by_a_whole_number_is_what_sampling_gives() {
        for n in [1u32, 2, 3, 4] {
            let frame = noise(32 * n, 24 * n);
            let letterbox = Letterbox::new([32 * n as usize, 24 * n as usize], [32, 24]).unwrap();
            let mut fast = vec![0; 32 * 24 * 3];
            letterbox.fill(&frame, &mut fast);
            let shift = n as f32 / 2.0 - 0.5;
            let map = Affine::scale_shift(n as f32, n as f32, [shift; 2]);
            let mut sampled = vec![0; 32 * 24 * 3];
            warp_into(&frame, [32 * n as usize, 24 * n as usize], &map, &mut sampled, [32, 24]);
            let off = fast.iter().zip(&sampled).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(off <= 1, "{n}: off by {off}");
        }
    }

    #[test]
    fn a_square_frame_leaves_grey_beside_it_and_a_tall_one_too() {
        for (frame, used) in [([250, 250], [240, 240]), ([10, 400], [6, 240]), ([999, 3], [320, 1])]
        {
            let letterbox = Letterbox::new(frame, [320, 240]).unwrap();
            assert_eq!(letterbox.used, used);
            let white = RgbImage::from_pixel(frame[0] as u32, frame[1] as u32, Rgb([255; 3]));
            let mut out = vec![0; 320 * 240 * 3];
            letterbox.fill(&white, &mut out);
            for (i, pixel) in out.as_chunks::<3>().0.iter().enumerate() {
                let inside = i % 320 < used[0] && i / 320 < used[1];
                assert_eq!(*pixel, if inside { [255; 3] } else { [SURROUND; 3] }, "{frame:?} {i}");
            }
        }
    }

    #[test]
    fn a_face_comes_back_to_where_it_is_in_the_frame() {
        let letterbox = Letterbox::new([640, 480], [320, 240]).unwrap();
        let face = Face {
            bounds: Bounds { x: 9.5, y: 19.5, width: 40.0, height: 50.0 },
            landmarks: Landmarks([[10.0, 20.0]; 5]),
            score: DetectionScore(0.9),
        };
        let there = letterbox.to_frame(&face);
        assert_eq!(there.bounds, Bounds { x: 19.5, y: 39.5, width: 80.0, height: 100.0 });
        assert_eq!(there.landmarks.0[0], [20.5, 40.5]);
    }

    #[test]
    fn frames_of_every_size_are_taken_or_refused() {
        assert!(Letterbox::new([0, 10], [320, 240]).is_none());
        assert!(Letterbox::new([70_000, 10], [320, 240]).is_none());
        for frame in [[1, 1], [1, 9], [641, 479], [7680, 4320]] {
            let letterbox = Letterbox::new(frame, [320, 240]).unwrap();
            let mut out = vec![0; 320 * 240 * 3];
            letterbox.fill(&RgbImage::new(frame[0] as u32, frame[1] as u32), &mut out);
        }
    }
}
