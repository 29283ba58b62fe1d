use super::config::DetectData;
use facelatch::{
    evaluate::{DetectionSet, PictureTruth, text_in},
    files::Tree,
};
use image::RgbImage;
use rayon::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A decoded picture with what is known of the faces in it.
pub struct Picture {
    /// The picture.
    pub pixels: RgbImage,
    /// Its faces, and where there may be one or not.
    pub truth: PictureTruth,
}

/// All pictures of a run, decoded.
#[derive(Default)]
pub struct Pictures {
    /// To learn from, with at least one face.
    pub faces: Vec<Picture>,
    /// To learn from, without a face and without doubt.
    pub backgrounds: Vec<Picture>,
    /// Held out.
    pub test: Vec<Picture>,
}

/// What pictures are set aside for, in the annotations' words.
const TEST: &str = "test";

impl Pictures {
    /// Reads and decodes the pictures of a configuration, at most `data.limit` to learn from and `test`
    /// held out, evenly spread; 0 = all. `progress` hears how many are done out of how many.
    ///
    /// # Errors
    /// A sentence that names the first file or line that cannot be used.
    pub fn load(
        data: &DetectData,
        test: usize,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Self, String> {
        let mut all = Self::default();
        for path in &data.pictures {
            let tree = Tree::open(path).map_err(|e| e.to_string())?;
            let text = text_in(&tree, "annotations.jsonl").map_err(|e| e.to_string())?;
            let set = DetectionSet::parse(&text).map_err(|e| format!("{}: {e}", path.display()))?;
            let (held_out, train): (Vec<_>, Vec<_>) =
                set.0.into_iter().partition(|truth| truth.split == TEST);
            let mut chosen = spread(held_out, test);
            chosen.extend(spread(train, data.limit));
            let (done, total) = (AtomicUsize::new(0), chosen.len());
            let decoded = chosen.into_par_iter().map(|truth| {
                let picture = decode(&tree, truth)?;
                progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
                Ok(picture)
            });
            for picture in decoded.collect::<Result<Vec<_>, String>>()? {
                let truth = &picture.truth;
                match (truth.split == TEST, truth.faces.is_empty(), truth.ignore.is_empty()) {
                    (true, ..) => all.test.push(picture),
                    (false, false, _) => all.faces.push(picture),
                    (false, true, true) => all.backgrounds.push(picture),
                    // Nothing can be learned where nothing is sure.
                    (false, true, false) => {}
                }
            }
        }
        Ok(all)
    }
}

fn decode(tree: &Tree, truth: PictureTruth) -> Result<Picture, String> {
    let bytes = tree.read(&truth.image).map_err(|e| e.to_string())?;
    let pixels = image::load_from_memory(&bytes)
        .map_err(|e| format!("{}: {}: {e}", tree.root().display(), truth.image))?
        .into_rgb8();
    Ok(Picture { pixels, truth })
}

/// At most `limit` of the items, evenly spread; 0 = all.
fn spread<T>(items: Vec<T>, limit: usize) -> Vec<T> {
    let total = items.len();
    if limit == 0 || total <= limit {
        return items;
    }
    let kept = |i: usize| (i + 1) * limit / total > i * limit / total;
    items.into_iter().enumerate().filter(|(i, _)| kept(*i)).map(|(_, item)| item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_keeps_that_many_evenly_spread() {
        assert_eq!(spread((0..10).collect(), 0).len(), 10);
        assert_eq!(spread((0..10).collect(), 5), [1, 3, 5, 7, 9]);
        assert_eq!(spread((0..1000).collect(), 7).len(), 7);
        assert_eq!(spread((0..3).collect(), 7), [0, 1, 2]);
    }
}
