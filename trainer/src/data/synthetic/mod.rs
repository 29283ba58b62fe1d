//! Invented people for tests and CI: cartoon faces whose identity is a handful of numbers. Nobody
//! real is in them, and nothing learnt from them opens a door.

mod canvas;
mod face;

use face::{Identity, Moment};
use image::RgbImage;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::{fs, io, path::Path};

/// Writes `people` people under `dir/train/` and a quarter as many, at least two, under
/// `dir/val/`, each with `images_per_person` canonical crops of 176×176 px as PNG.
///
/// The same numbers give the same pictures. Files that are there already are replaced.
///
/// # Errors
/// Whatever the file system says.
pub fn write(dir: &Path, people: usize, images_per_person: usize, seed: u64) -> io::Result<()> {
    let everybody = people + (people / 4).max(2);
    (0..everybody).into_par_iter().try_for_each(|person| {
        let split = if person < people { "train" } else { "val" };
        let folder = dir.join(split).join(format!("invented-{person:04}"));
        fs::create_dir_all(&folder)?;
        (0..images_per_person).try_for_each(|image| {
            let file = folder.join(format!("{image:03}.png"));
            picture(person, image, seed).save(file).map_err(io::Error::other)
        })
    })
}

/// One picture of an invented person: the canonical crop with its border, 176×176 px.
pub fn picture(person: usize, image: usize, seed: u64) -> RgbImage {
    let identity = Identity::draw(&mut generator(seed, person, 0));
    let mut rng = generator(seed, person, image + 1);
    let moment = Moment::draw(&mut rng);
    let canvas = face::paint(&identity, &moment, &mut rng);
    canvas.into_picture(moment.noise, &mut rng)
}

fn generator(seed: u64, person: usize, image: usize) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (part, number) in key.chunks_exact_mut(8).zip([seed, person as u64, image as u64]) {
        part.copy_from_slice(&number.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Dataset, Limits, Source};

    fn distance(a: &RgbImage, b: &RgbImage) -> u64 {
        a.iter().zip(b.iter()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum()
    }

    #[test]
    fn an_invented_dataset_loads_as_any_other() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), 3, 2, 1).unwrap();
        let source = Source::new("invented", dir.path());
        let data = Dataset::load(&[source], &Limits::default(), &mut |_, _| ()).unwrap();
        assert_eq!((data.len(), data.people().len(), data.val_people().len()), (10, 3, 2));
        data.require_identities().unwrap();
        assert_eq!(data.pixels(0), picture(0, 0, 1).as_raw());
    }

    #[test]
    fn the_same_seed_draws_the_same_faces_and_another_draws_others() {
        assert_eq!(picture(4, 2, 9), picture(4, 2, 9));
        for (person, image, seed) in [(4, 2, 8), (4, 3, 9), (5, 2, 9)] {
            assert_ne!(picture(4, 2, 9), picture(person, image, seed));
        }
    }

    #[test]
    fn a_person_looks_more_like_themself_than_like_others() {
        let sheet: Vec<Vec<RgbImage>> =
            (0..6).map(|p| (0..4).map(|i| picture(p, i, 3)).collect()).collect();
        let (mut same, mut other) = (Vec::new(), Vec::new());
        for (p, own) in sheet.iter().enumerate() {
            for (q, theirs) in sheet.iter().enumerate().skip(p) {
                let list = if p == q { &mut same } else { &mut other };
                for (i, a) in own.iter().enumerate() {
                    list.extend(theirs[i + 1..].iter().map(|b| distance(a, b)));
                }
            }
        }
        let mean = |list: &[u64]| list.iter().sum::<u64>() / list.len() as u64;
        assert!(mean(&same) < mean(&other), "{} {}", mean(&same), mean(&other));
    }
}
