//! What ships in `models/`: each file keeps its contract and still gives the answers it gave when it
//! was measured.
//!
//! A new model needs new answers: `FACELATCH_BLESS=1 cargo test --test models` writes them.

use facelatch::{
    detect::{Decoder, Detector},
    embed::{Embedding, Network, check_known, pattern},
};
use image::{Rgb, RgbImage};
use std::{fs, path::PathBuf};

fn models(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models").join(name)
}

/// Eyes, nose and mouth corners of the first of the demo's enrolment pictures, px, as the shipped detector
/// found them on the day that it was measured.
#[test]
fn the_detector_gives_its_known_answers() {
    let path = models("detector-int8.onnx");
    assert!(fs::metadata(&path).unwrap().len() < 200_000);
    let detector = Detector::load(&path).unwrap();
    let decoder = Decoder::default();
    let picture = models("../demo/enrol/Alex/0.jpg");
    let picture = image::open(picture).unwrap().into_rgb8();
    let faces = detector.detect(&picture, &decoder).unwrap();
    assert_eq!(faces.len(), 1);
    let known = models("detector-int8.known.json");
    if std::env::var_os("FACELATCH_BLESS").is_some() {
        fs::write(&known, serde_json::to_string(&faces[0].landmarks.0).unwrap() + "\n").unwrap();
    }
    let known: [[f32; 2]; 5] = serde_json::from_str(&fs::read_to_string(&known).unwrap()).unwrap();
    for (known, found) in known.iter().zip(faces[0].landmarks.0) {
        // Rounding differs from one CPU's f32 kernels to another's.
        let off = (known[0] - found[0]).hypot(known[1] - found[1]);
        assert!(off < 1.0, "{off} px from where it was");
    }
    let blank = RgbImage::from_pixel(640, 480, Rgb([90; 3]));
    assert!(detector.detect(&blank, &decoder).unwrap().is_empty());
    for (width, height) in [(0, 0), (1, 1), (7, 900), (7680, 4320)] {
        detector.detect(&RgbImage::new(width, height), &decoder).unwrap();
    }
}

#[test]
fn the_embedding_networks_give_their_known_answers() {
    for (name, side) in [("embedding-int8", 160), ("embedding-112-int8", 112)] {
        let path = models(&format!("{name}.onnx"));
        let size = fs::metadata(&path).unwrap().len();
        assert!(size < 3_600_000, "{name}: {size} bytes");
        let network = Network::load(&path).unwrap();
        assert_eq!(network.input_size(), side, "{name}");
        let embeddings: Vec<Embedding> =
            [0, side / 3].map(|turn| network.embed(&pattern(side, turn)).unwrap()).to_vec();
        let known = models(&format!("{name}.known.json"));
        if std::env::var_os("FACELATCH_BLESS").is_some() {
            let values: Vec<&[f32]> = embeddings.iter().map(|e| &e.values()[..]).collect();
            fs::write(&known, serde_json::to_string(&values).unwrap() + "\n").unwrap();
        }
        let known = fs::read_to_string(&known).unwrap();
        let known: Vec<Vec<f32>> = serde_json::from_str(&known).unwrap();
        assert_eq!(known.len(), embeddings.len());
        for (known, found) in known.iter().zip(&embeddings) {
            // Rounding differs from one CPU's f32 kernels to another's, and an int8 step with it.
            let cosine = Embedding::from_slice(known).unwrap().cosine(found).0;
            assert!(cosine > 0.999, "{name}: cosine {cosine} to what it gave when measured");
        }
        // What the daemon asks before it is ready.
        assert!(check_known(&network, &path).unwrap().is_some());
        let apart = embeddings[0].cosine(&embeddings[1]).0;
        assert!(apart < 0.9999, "{name}: two pictures, two answers");
    }
}
