use super::config::DetectData;
use facelatch::{
    align::Landmarks,
    detect::{Bounds, DetectionScore, Face},
    files::Tree,
};
use image::RgbImage;
use rayon::prelude::*;
use serde::Deserialize;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A decoded picture with what is known of the faces in it.
pub struct Picture {
    /// The picture.
    pub pixels: RgbImage,
    /// Its faces.
    pub faces: Vec<Face>,
    /// Where there may be a face or not.
    pub ignore: Vec<Bounds>,
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

#[derive(Deserialize)]
struct Line {
    image: String,
    split: String,
    faces: Vec<Labelled>,
    ignore: Vec<[f32; 4]>,
}

#[derive(Deserialize)]
struct Labelled {
    r#box: [f32; 4],
    landmarks: [[f32; 2]; 5],
    score: f32,
}

impl Pictures {
    /// Reads and decodes the pictures of a configuration, at most `data.limit` and `test` of each split,
    /// evenly spread. `progress` hears how many are done out of how many.
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
            let text = facelatch::evaluate::text_in(&tree, "annotations.jsonl")
                .map_err(|e| e.to_string())?;
            let lines = text.lines().enumerate().map(|(i, line)| {
                serde_json::from_str::<Line>(line).map_err(|e| {
                    format!("{}: annotations.jsonl, line {}: {e}", path.display(), i + 1)
                })
            });
            let lines: Vec<Line> = lines.collect::<Result<_, _>>()?;
            let (held_out, train): (Vec<_>, Vec<_>) =
                lines.into_iter().partition(|line| line.split == "test");
            let mut chosen = spread(held_out, test);
            chosen.extend(spread(train, data.limit));
            let (done, total) = (AtomicUsize::new(0), chosen.len());
            let decoded = chosen.into_par_iter().map(|line| {
                let picture = line.decode(&tree)?;
                progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
                Ok((line.split == "test", picture))
            });
            for (held_out, picture) in decoded.collect::<Result<Vec<_>, String>>()? {
                match (held_out, picture.faces.is_empty(), picture.ignore.is_empty()) {
                    (true, ..) => all.test.push(picture),
                    (false, false, _) => all.faces.push(picture),
                    (false, true, true) => all.backgrounds.push(picture),
                    // Nothing can be learned where nothing is sure.
                    (false, true, false) => {}
                }
            }
        }
        if all.faces.is_empty() {
            return Err("no picture with a face to learn from (split \"train\")".into());
        }
        Ok(all)
    }
}

impl Line {
    fn decode(&self, tree: &Tree) -> Result<Picture, String> {
        let bytes = tree.read(&self.image).map_err(|e| e.to_string())?;
        let pixels = image::load_from_memory(&bytes)
            .map_err(|e| format!("{}: {}: {e}", tree.root().display(), self.image))?
            .into_rgb8();
        let faces = self.faces.iter().map(|face| Face {
            bounds: bounds(face.r#box),
            landmarks: Landmarks(face.landmarks),
            score: DetectionScore(face.score),
        });
        let faces = faces.filter(|f| f.bounds.area() > 0.0).collect();
        Ok(Picture { pixels, faces, ignore: self.ignore.iter().copied().map(bounds).collect() })
    }
}

fn bounds([x, y, width, height]: [f32; 4]) -> Bounds {
    Bounds { x, y, width, height }
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
