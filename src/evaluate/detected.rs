use super::{
    ImageId, LandmarkTable, Pairs,
    dataset::{image_folder, picture},
};
use crate::{
    align::Landmarks,
    detect::{Decoder, Detector, Face, Faces},
    files::Tree,
    model::NetworkError,
    parallel,
};
use image::RgbImage;
use serde::Serialize;
use std::collections::BTreeSet;

/// How well a detector did on pictures that have one face that matters each.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DetectedFaces {
    /// Pictures looked at.
    pub images: usize,
    /// Pictures in which no face was found; in their place the given landmarks were used, so that the
    /// pairs stay the same. They are the detector's misses.
    pub missed: usize,
    /// Mean distance to the given landmarks over the square root of the found box's area, where there are
    /// given landmarks and the face found is the one they mark (their nose is in its box).
    pub landmark_nme: Option<f64>,
    /// Pictures in which the face found is another one than the one marked.
    pub other_face: usize,
}

/// The landmarks that a detector finds in every picture of the pairs: of several faces those of the one
/// nearest to the middle of the picture, which is where LFW has its person.
///
/// # Errors
/// The detector failed to run. Pictures that cannot be read are left to whoever loads them.
pub fn detect_landmarks(
    tree: &Tree,
    pairs: &Pairs,
    given: &LandmarkTable,
    detector: &Detector,
    decoder: &Decoder,
) -> Result<(LandmarkTable, DetectedFaces), NetworkError> {
    let ids: BTreeSet<&ImageId> = pairs.0.iter().flat_map(|p| [&p.a, &p.b]).collect();
    let ids: Vec<&ImageId> = ids.into_iter().collect();
    // A folder that cannot be told is left, as a picture that cannot be read is.
    let folder = image_folder(tree).unwrap_or_default();
    let found = parallel::map(&ids, |id| {
        let Ok(picture) = picture(tree, &format!("{folder}{id}")) else { return Ok(None) };
        Ok(nearest_to_the_middle(&detector.detect(&picture, decoder)?, &picture))
    });
    let (mut table, mut missed, mut other) = (LandmarkTable::default(), 0, 0);
    let mut errors = Vec::new();
    for (id, face) in ids.iter().zip(found) {
        let path = id.to_string();
        let known = given.get(&path);
        match (face?, known) {
            (Some(face), known) => {
                match known.map(|known| error(&face, known)) {
                    Some(Some(e)) => errors.push(e),
                    Some(None) => other += 1,
                    None => {}
                }
                table.insert(path, face.landmarks);
            }
            (None, known) => {
                missed += 1;
                if let Some(known) = known {
                    table.insert(path, *known);
                }
            }
        }
    }
    let mean = errors.iter().sum::<f64>() / errors.len().max(1) as f64;
    let report = DetectedFaces {
        images: ids.len(),
        missed,
        landmark_nme: (!errors.is_empty()).then_some(mean),
        other_face: other,
    };
    Ok((table, report))
}

/// Of several faces the one nearest to the middle of the picture.
pub(super) fn nearest_to_the_middle(faces: &Faces, picture: &RgbImage) -> Option<Face> {
    let off = |face: &Face| off_centre(face, picture);
    faces.iter().copied().min_by(|a, b| off(a).total_cmp(&off(b)))
}

fn off_centre(face: &Face, picture: &RgbImage) -> f32 {
    let [x, y] = face.bounds.centre();
    (x - picture.width() as f32 / 2.0).hypot(y - picture.height() as f32 / 2.0)
}

/// Mean distance of landmarks over the face's size; `None` where the nose is not in the box.
fn error(face: &Face, known: &Landmarks) -> Option<f64> {
    let b = &face.bounds;
    let [x, y] = known.0[2];
    if !(b.x..b.x + b.width).contains(&x) || !(b.y..b.y + b.height).contains(&y) {
        return None;
    }
    let pairs = face.landmarks.0.iter().zip(known.0);
    let sum: f32 = pairs.map(|(a, b)| (a[0] - b[0]).hypot(a[1] - b[1])).sum();
    Some(f64::from(sum / 5.0 / b.size()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        align::template,
        detect::{Bounds, DetectionScore},
    };

    #[test]
    fn an_error_is_a_share_of_the_faces_size_and_another_face_has_none() {
        let landmarks = template(112);
        let bounds = Bounds { x: 10.0, y: 10.0, width: 100.0, height: 100.0 };
        let moved = Landmarks(landmarks.0.map(|[x, y]| [x + 3.0, y - 4.0]));
        let face = Face { bounds, landmarks: moved, score: DetectionScore(0.9) };
        assert!((error(&face, &landmarks).unwrap() - 0.05).abs() < 1e-6);
        let away = Face { bounds: Bounds { x: 200.0, ..bounds }, ..face };
        assert_eq!(error(&away, &landmarks), None);
    }
}
