//! The pairs to measure on, with nothing but the faces that they use.

use super::pictures::{archive, encode};
use crate::data::dataset::CROP;
use facelatch::{
    align::template,
    evaluate::{FaceSet, text_in},
    files::Tree,
};
use rayon::prelude::*;
use std::path::Path;

/// A set in LFW's layout, reduced to its aligned faces: each picture is the 160 px crop, and its
/// landmarks are the template's. It measures nearly what the originals do, so it serves to watch a
/// run; figures to report come from the originals.
pub(super) fn reduced(path: &Path, quality: f32) -> Result<Vec<u8>, String> {
    let tree = Tree::open(path).map_err(|e| e.to_string())?;
    let pairs = text_in(&tree, "pairs.txt").map_err(|e| e.to_string())?;
    let set = FaceSet::lfw(&tree, CROP).map_err(|e| format!("{}: {e}", path.display()))?;
    let points: String =
        template(CROP).0.iter().flatten().map(|value| format!("\t{value}")).collect();
    let faces: Vec<_> = set.faces().iter().collect();
    let pictures = faces
        .par_iter()
        .map(|(id, face)| Ok((format!("images/{id}"), encode(face, CROP, quality)?)))
        .collect::<Result<Vec<_>, String>>()?;
    let landmarks: String = faces.iter().map(|(id, _)| format!("{id}{points}\n")).collect();
    let texts = [("pairs.txt", pairs.as_bytes()), ("landmarks.tsv", landmarks.as_bytes())];
    archive(texts.into_iter().chain(pictures.iter().map(|(n, bytes)| (n.as_str(), &bytes[..]))))
}
