//! The light on a crop: a face in the shade of a porch is brought to where the network has learnt faces.

/// Mean luma of the face below which a crop is brightened, 0 to 255: faces in pictures are seldom below it.
const LEAST: f32 = 80.0;
/// Most that values are multiplied by: at 8 bits less light than that leaves too few levels to tell apart.
const MOST_GAIN: f32 = 8.0;
/// The part of a crop's side that is surely face, across and down: between the temples, brow to chin.
const FACE: [[f32; 2]; 2] = [[0.3, 0.7], [0.35, 0.9]];

/// Brightens an underexposed crop in place: where the middle of the face has a mean luma (BT.601) below 80, every
/// value is multiplied by the same number so that it has 80, by 8 at most; what is bright around it becomes white.
/// A crop with light enough is left as it is.
///
/// `crop` is RGB, `size` px a side.
///
/// # Panics
/// If `crop` is not `size`² · 3 bytes.
pub fn expose(crop: &mut [u8], size: usize) {
    assert_eq!(crop.len(), size * size * 3, "a crop is square");
    let mean = luma_of_face(crop, size);
    if mean >= LEAST {
        return;
    }
    let gain = (LEAST / mean.max(0.1)).min(MOST_GAIN);
    let brighter: [u8; 256] = std::array::from_fn(|v| (v as f32 * gain).round() as u8);
    crop.iter_mut().for_each(|v| *v = brighter[usize::from(*v)]);
}

/// Mean luma of [`FACE`]; a crop too small to have one counts as bright.
fn luma_of_face(crop: &[u8], size: usize) -> f32 {
    let [columns, rows] = FACE.map(|part| part.map(|share| (share * size as f32).round() as usize));
    let count = (columns[1] - columns[0]) * (rows[1] - rows[0]);
    if count == 0 {
        return LEAST;
    }
    let row = |y: usize| &crop[(y * size + columns[0]) * 3..(y * size + columns[1]) * 3];
    let luma = |p: &[u8; 3]| 77 * u32::from(p[0]) + 150 * u32::from(p[1]) + 29 * u32::from(p[2]);
    let sum: u64 = (rows[0]..rows[1])
        .map(|y| row(y).as_chunks().0.iter().map(luma).map(u64::from).sum::<u64>())
        .sum();
    sum as f32 / count as f32 / 256.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIZE: usize = 112;

    fn exposed(mut crop: Vec<u8>, size: usize) -> Vec<u8> {
        expose(&mut crop, size);
        crop
    }

    /// A face of one level before a background of another.
    fn backlit(face: u8, around: u8) -> Vec<u8> {
        (0..SIZE * SIZE)
            .flat_map(|i| {
                let at = [(i % SIZE) as f32 / SIZE as f32, (i / SIZE) as f32 / SIZE as f32];
                let is_face = (0..2).all(|axis| (0.25..0.95).contains(&at[axis]));
                [if is_face { face } else { around }; 3]
            })
            .collect()
    }

    #[test]
    fn a_dark_face_is_brought_to_the_least_and_no_further_than_eightfold() {
        for (before, after) in [(0, 0), (1, 8), (5, 40), (10, 80), (40, 80), (79, 80)] {
            let crop = exposed(vec![before; SIZE * SIZE * 3], SIZE);
            assert!(crop.iter().all(|v| *v == after), "{before}: {}", crop[0]);
        }
    }

    #[test]
    fn what_surrounds_the_face_does_not_count() {
        let crop = exposed(backlit(20, 250), SIZE);
        assert_eq!(crop, backlit(80, 255));
        assert_eq!(exposed(backlit(120, 0), SIZE), backlit(120, 0));
    }

    proptest! {
        #[test]
        fn a_face_with_light_enough_stays_and_order_is_kept(
            base in 0u8..=255,
            noise in prop::collection::vec(0u8..40, 24 * 24 * 3),
        ) {
            let crop: Vec<u8> = noise.iter().map(|n| base.saturating_add(*n)).collect();
            let after = exposed(crop.clone(), 24);
            if base >= 80 {
                prop_assert_eq!(&after, &crop);
            }
            prop_assert!(luma_of_face(&after, 24) + 1.0 >= luma_of_face(&crop, 24));
            for i in 1..crop.len() {
                prop_assert!(crop[i - 1] > crop[i] || after[i - 1] <= after[i]);
            }
        }

        #[test]
        fn any_size_will_do(size in 0usize..20, level in any::<u8>()) {
            expose(&mut vec![level; size * size * 3], size);
        }
    }
}
