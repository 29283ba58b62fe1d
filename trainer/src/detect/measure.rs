use super::Picture;
use crate::{
    engine::to_vec,
    run::{Measured, TorchNetwork},
};
use facelatch::detect::{Decoder, Face, Grid, Letterbox, STRIDES};
use serde_json::{Map, json};

/// Pictures run through the network at once.
const BATCH: usize = 16;

/// The faces that a network finds in each picture, down to a score of 5 %.
pub fn found(
    network: &mut TorchNetwork,
    pictures: &[Picture],
    [width, height]: [usize; 2],
) -> Vec<Vec<Face>> {
    let decoder = Decoder { threshold: 0.05, ..Decoder::default() };
    let mut all = Vec::new();
    for pictures in pictures.chunks(BATCH) {
        let letterbox = |p: &Picture| {
            Letterbox::new([p.pixels.width() as usize, p.pixels.height() as usize], [width, height])
                .expect("a decoded picture has pixels")
        };
        let mut pixels = vec![0; pictures.len() * width * height * 3];
        for (out, picture) in pixels.chunks_mut(width * height * 3).zip(pictures) {
            letterbox(picture).fill(&picture.pixels, out);
        }
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
            all.push(faces.iter().map(|face| letterbox(picture).to_frame(face)).collect());
        }
    }
    all
}

/// Placeholder until the protocol is in the library.
pub fn figures(pictures: &[Picture], found: &[Vec<Face>]) -> Measured {
    let mut scored: Vec<(f32, bool)> = Vec::new();
    let (mut total, mut nme, mut matched) = (0, 0.0, 0);
    for (p, f) in pictures.iter().zip(found) {
        total += p.faces.len();
        let mut taken = vec![false; p.faces.len()];
        for face in f {
            if p.ignore.iter().any(|b| face.bounds.overlap(b) >= 0.5 * face.bounds.area()) {
                continue;
            }
            let best = (0..p.faces.len()).filter(|&i| !taken[i]).max_by(|&a, &b| {
                p.faces[a].bounds.iou(&face.bounds).total_cmp(&p.faces[b].bounds.iou(&face.bounds))
            });
            let hit = best.filter(|&i| p.faces[i].bounds.iou(&face.bounds) >= 0.5);
            if let Some(i) = hit {
                taken[i] = true;
                if face.score.0 > 0.5 {
                    matched += 1;
                    let d: f32 = face
                        .landmarks
                        .0
                        .iter()
                        .zip(p.faces[i].landmarks.0)
                        .map(|(a, b)| (a[0] - b[0]).hypot(a[1] - b[1]))
                        .sum::<f32>()
                        / 5.0;
                    nme += d / p.faces[i].bounds.size();
                }
            }
            scored.push((face.score.0, hit.is_some()));
        }
    }
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    let budget = pictures.len() / 10;
    let (mut hits, mut misses) = (0, 0);
    for (_, hit) in &scored {
        if *hit {
            hits += 1
        } else {
            misses += 1
        }
        if misses > budget {
            break;
        }
    }
    let recall = f64::from(hits) / f64::from(total.max(1) as u32);
    let nme = f64::from(nme) / f64::from(matched.max(1));
    Measured {
        figures: Map::from_iter([("recall".into(), json!(recall)), ("nme".into(), json!(nme))]),
        headline: &["recall", "nme"],
        watched: Some(recall - nme),
        charts: Vec::new(),
    }
}
