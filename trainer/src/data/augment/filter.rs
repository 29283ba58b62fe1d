//! Small filters as weighted sums of shifted copies, in 16-bit integers.

use std::collections::BTreeMap;

/// Weights of a filter's taps sum to this, so that a sum of bytes fits 16 bits.
const UNIT: u16 = 256;

/// One shifted copy: how far right and down it is taken from, px, and its weight of 256.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tap {
    dx: i32,
    dy: i32,
    weight: u16,
}

/// Replaces the picture by the weighted sum of its shifted copies; the edge repeats.
pub(super) fn filter(picture: &mut [u8], size: usize, taps: &[Tap]) {
    let rx = taps.iter().map(|t| t.dx.unsigned_abs() as usize).max().unwrap_or(0);
    let stride = (size + 2 * rx) * 3;
    let mut padded = Vec::with_capacity(stride * size);
    for row in picture.chunks_exact(size * 3) {
        (0..rx).for_each(|_| padded.extend_from_slice(&row[..3]));
        padded.extend_from_slice(row);
        (0..rx).for_each(|_| padded.extend_from_slice(&row[row.len() - 3..]));
    }
    let mut sums = vec![0u16; size * 3];
    for (y, row) in picture.chunks_exact_mut(size * 3).enumerate() {
        sums.fill(UNIT / 2);
        for tap in taps {
            let from = (y as i32 + tap.dy).clamp(0, size as i32 - 1) as usize;
            let left = (rx as i32 + tap.dx) as usize * 3;
            let copy = &padded[from * stride + left..][..size * 3];
            for (sum, v) in sums.iter_mut().zip(copy) {
                // 255 · 256 + 128 is below 2¹⁶: weights sum to 256.
                *sum += u16::from(*v) * tap.weight;
            }
        }
        for (v, sum) in row.iter_mut().zip(&sums) {
            *v = (sum / UNIT) as u8;
        }
    }
}

/// Blurs by a Gaussian of `sigma` px, one axis after the other.
pub(super) fn gaussian(picture: &mut [u8], size: usize, sigma: f32) {
    let radius = ((sigma * 2.5).ceil() as i32).clamp(1, size as i32 - 1);
    let raw: Vec<f32> =
        (-radius..=radius).map(|d| (-(d * d) as f32 / (2.0 * sigma * sigma)).exp()).collect();
    let weights = to_unit(&raw);
    let axis = |along: fn(i32) -> (i32, i32)| -> Vec<Tap> {
        (-radius..=radius)
            .zip(&weights)
            .filter(|(_, weight)| **weight > 0)
            .map(|(d, &weight)| Tap { dx: along(d).0, dy: along(d).1, weight })
            .collect()
    };
    filter(picture, size, &axis(|d| (d, 0)));
    filter(picture, size, &axis(|d| (0, d)));
}

/// Smears along a line of `length` px at `angle` radians: each pixel weighs as much as of the line lies on it.
pub(super) fn smear(picture: &mut [u8], size: usize, length: f32, angle: f32) {
    let points = ((length * 4.0).ceil() as usize).clamp(2, 256);
    let (sin, cos) = angle.sin_cos();
    let limit = size as i32 - 1;
    let mut line = BTreeMap::<[i32; 2], f32>::new();
    for i in 0..points {
        let along = ((i as f32 + 0.5) / points as f32 - 0.5) * length;
        let at = [along * cos, along * sin].map(|v| (v.round() as i32).clamp(-limit, limit));
        *line.entry(at).or_default() += 1.0;
    }
    let weights = to_unit(&line.values().copied().collect::<Vec<_>>());
    let taps: Vec<Tap> =
        line.keys().zip(weights).map(|(&[dx, dy], weight)| Tap { dx, dy, weight }).collect();
    filter(picture, size, &taps);
}

/// Scales weights to whole numbers that sum to 256; what rounding leaves goes to the middle one.
fn to_unit(raw: &[f32]) -> Vec<u16> {
    let sum: f32 = raw.iter().sum();
    let mut weights: Vec<u16> =
        raw.iter().map(|w| (w / sum * f32::from(UNIT)).round() as u16).collect();
    let middle = raw.len() / 2;
    // Each of the n others is off by half at most, and the middle weighs at least UNIT / n.
    weights[middle] = (UNIT + weights[middle]).saturating_sub(weights.iter().sum::<u16>());
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a white pixel goes has the spread of a line of the length asked for, whatever its angle.
    #[test]
    fn a_smear_is_as_long_as_asked() {
        let size = 64;
        for length in [3.5f32, 5.0, 10.0, 15.1] {
            for angle in [0.0f32, 0.4, 0.785, 1.2, 1.571] {
                let mut picture = vec![0; size * size * 3];
                picture[(32 * size + 32) * 3..][..3].fill(255);
                smear(&mut picture, size, length, angle);
                let values = picture.chunks(3).map(|p| f64::from(p[0]));
                let (sin, cos) = angle.sin_cos();
                let along = |i: usize| {
                    let (x, y) = ((i % size) as f64 - 32.0, (i / size) as f64 - 32.0);
                    x * f64::from(cos) + y * f64::from(sin)
                };
                let sum: f64 = values.clone().sum();
                let spread: f64 =
                    values.enumerate().map(|(i, v)| v * along(i).powi(2)).sum::<f64>() / sum;
                let ratio = (spread * 12.0).sqrt() / f64::from(length);
                assert!((0.88..1.16).contains(&ratio), "{length} px at {angle}: {ratio}");
            }
        }
    }

    #[test]
    fn an_even_picture_stays_even() {
        for level in [0, 1, 128, 255] {
            let mut picture = vec![level; 20 * 20 * 3];
            gaussian(&mut picture, 20, 1.7);
            smear(&mut picture, 20, 6.0, 0.7);
            assert!(picture.iter().all(|v| *v == level), "{level}");
        }
    }

    #[test]
    fn a_point_spreads_by_its_sigma_and_keeps_its_light() {
        let mut picture = vec![0; 31 * 31 * 3];
        picture[(15 * 31 + 15) * 3] = 255;
        gaussian(&mut picture, 31, 1.0);
        let at = |x: usize, y: usize| f32::from(picture[(y * 31 + x) * 3]);
        let peak = 255.0 / (2.0 * std::f32::consts::PI);
        assert!((at(15, 15) - peak).abs() < 2.0, "{} {peak}", at(15, 15));
        assert!((at(16, 15) - peak * (-0.5f32).exp()).abs() < 2.0, "{}", at(16, 15));
        assert_eq!(at(16, 15), at(15, 14));
        assert!(picture.as_chunks::<3>().0.iter().all(|p| p[1] == 0 && p[2] == 0));
    }

    #[test]
    fn a_smear_lies_along_its_angle() {
        let mut picture = vec![0; 21 * 21 * 3];
        picture[(10 * 21 + 10) * 3] = 250;
        smear(&mut picture, 21, 6.0, 0.0);
        for y in 0..21 {
            let lit = (0..21).filter(|x| picture[(y * 21 + x) * 3] > 0).count();
            assert_eq!(lit > 0, y == 10, "row {y}");
        }
    }
}
