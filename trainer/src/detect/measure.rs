use super::Picture;
use crate::{
    engine::to_vec,
    run::{Measured, TorchNetwork},
};
use facelatch::{
    detect::{Decoder, DetectionScore, Face, Grid, Letterbox, STRIDES},
    evaluate::{PictureTruth, RecallAt, detection_report},
};
use serde_json::{Map, json};

/// Pictures run through the network at once.
const BATCH: usize = 16;

/// Score down to which detections are looked at.
const LOWEST: f32 = 0.01;

/// Pictures as the network sees them, [N, height, width, 3].
pub fn letterboxed<'a>(
    pictures: impl ExactSizeIterator<Item = &'a Picture>,
    sides: [usize; 2],
) -> Vec<u8> {
    let length = sides[0] * sides[1] * 3;
    let mut pixels = vec![0; pictures.len() * length];
    for (out, picture) in pixels.chunks_mut(length).zip(pictures) {
        letterbox(picture, sides).fill(&picture.pixels, out);
    }
    pixels
}

fn letterbox(picture: &Picture, sides: [usize; 2]) -> Letterbox {
    let frame = [picture.pixels.width() as usize, picture.pixels.height() as usize];
    Letterbox::new(frame, sides).expect("a decoded picture has pixels")
}

/// What is known of each picture, and the faces that a network finds in it.
pub fn found(
    network: &mut TorchNetwork,
    pictures: &[Picture],
    [width, height]: [usize; 2],
) -> Vec<(PictureTruth, Vec<Face>)> {
    let decoder = Decoder { threshold: LOWEST, ..Decoder::default() };
    let mut all = Vec::new();
    for pictures in pictures.chunks(BATCH) {
        let pixels = letterboxed(pictures.iter(), [width, height]);
        let grids: Vec<_> =
            network.outputs((&pixels, [height, width])).iter().map(to_vec).collect();
        for (n, picture) in pictures.iter().enumerate() {
            let grids: Vec<_> = (grids.iter().zip(STRIDES))
                .map(|(values, stride)| {
                    let length = values.len() / pictures.len();
                    Grid {
                        values: &values[n * length..][..length],
                        width: width.div_ceil(stride),
                        height: height.div_ceil(stride),
                        stride,
                    }
                })
                .collect();
            let faces = decoder.decode(&grids);
            let faces = faces
                .iter()
                .map(|face| letterbox(picture, [width, height]).to_frame(face))
                .collect();
            all.push((picture.truth.clone(), faces));
        }
    }
    all
}

/// What a run notes of the faces found in its held-out pictures.
pub fn measured(found: &[(PictureTruth, Vec<Face>)]) -> Measured {
    if found.is_empty() {
        return Measured::default();
    }
    let threshold = DetectionScore(Decoder::default().threshold);
    let report = detection_report(found, threshold);
    let share = |recall: &RecallAt| recall.recall.share.unwrap_or(0.0);
    let recall = report.at_false_rates.first().map_or(0.0, share);
    let nme = report.landmarks.as_ref().map_or(1.0, |nme| nme.percent_of_box / 100.0);
    let figures = Map::from_iter([
        ("recall".to_owned(), json!(recall)),
        ("recall_at_threshold".to_owned(), json!(share(&report.operating))),
        ("average_precision".to_owned(), json!(report.average_precision)),
        ("nme".to_owned(), json!(nme)),
    ]);
    // A point of recall is worth as much as a hundredth of the face's size: both decide who gets in.
    let watched = Some(recall - nme);
    Measured { figures, headline: &["recall", "nme"], watched, charts: Vec::new() }
}
