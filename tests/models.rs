//! What ships in `models/`: each file keeps its contract and still gives the answers it gave when it
//! was measured.
//!
//! A new model needs new answers: `FACELATCH_BLESS=1 cargo test --test models` writes them.

use facelatch::embed::{Embedding, Network};
use image::{Rgb, RgbImage};
use std::{fs, path::PathBuf};

fn models(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models").join(name)
}

/// A picture that any program can draw again: a light oval on a coloured ramp.
fn pattern(size: u32, turn: u32) -> RgbImage {
    RgbImage::from_fn(size, size, |x, y| {
        let (dx, dy) = (x as i32 * 2 - size as i32, y as i32 * 2 - size as i32);
        let inside = dx * dx * 3 + dy * dy * 2 < (size * size * 2) as i32;
        let ramp = |v: u32| (v * 255 / size) as u8;
        match inside {
            true => Rgb([200, ramp(y) / 2 + 90, ramp((x + turn) % size) / 3 + 60]),
            false => Rgb([ramp(x), ramp(y), ramp((x + y + turn) % size)]),
        }
    })
}

#[test]
fn the_embedding_network_gives_its_known_answers() {
    let path = models("embedding-int8.onnx");
    let size = fs::metadata(&path).unwrap().len();
    assert!(size < 3_600_000, "{size} bytes");
    let network = Network::load(&path).unwrap();
    let side = network.input_size();
    let embeddings: Vec<Embedding> =
        [0, side / 3].map(|turn| network.embed(&pattern(side, turn)).unwrap()).to_vec();
    let known = models("embedding-int8.known.json");
    if std::env::var_os("FACELATCH_BLESS").is_some() {
        let values: Vec<&[f32]> = embeddings.iter().map(|e| &e.values()[..]).collect();
        fs::write(&known, serde_json::to_string(&values).unwrap() + "\n").unwrap();
    }
    let known: Vec<Vec<f32>> = serde_json::from_str(&fs::read_to_string(&known).unwrap()).unwrap();
    assert_eq!(known.len(), embeddings.len());
    for (known, found) in known.iter().zip(&embeddings) {
        // Rounding differs from one CPU's f32 kernels to another's, and an int8 step with it.
        let cosine = Embedding::from_slice(known).unwrap().cosine(found).0;
        assert!(cosine > 0.999, "cosine {cosine} to the answer of the day it was measured");
    }
    let apart = embeddings[0].cosine(&embeddings[1]).0;
    assert!(apart < 0.9999, "two pictures, two answers");
}
