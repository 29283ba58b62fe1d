//! The published teacher, rebuilt here, against the embeddings that its publisher's program gave.

use facelatch_train::{
    data::{Dataset, Limits, Source, TeacherTable, resample::canonical},
    engine::{Teacher, images_from_bytes, to_vec},
    run::tensors,
};
use std::{env, fs, path::PathBuf};
use tch::Device;

/// Side of the crop that both looked at; the table's makers scaled it to 112 by area, as `embed` does.
const SIDE: usize = 160;

/// The folder of faces beside the checkout, or where FACELATCH_SHARED says.
fn faces() -> PathBuf {
    let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared"));
    env::var_os("FACELATCH_SHARED").map_or_else(beside, PathBuf::from).join("data/faces")
}

#[test]
fn the_rebuilt_teacher_says_what_the_published_one_said() {
    let (weights, zip) =
        (faces().join("teacher/mobilefacenet.safetensors"), faces().join("casia.zip"));
    if let Some(absent) = [&weights, &zip].into_iter().find(|path| !path.exists()) {
        println!(
            "SKIP the_rebuilt_teacher_says_what_the_published_one_said: no {}",
            absent.display()
        );
        return;
    }
    let teacher =
        Teacher::new(&tensors(&fs::read(weights).unwrap()).unwrap(), Device::Cpu).unwrap();
    let limits = Limits { per_person: Some(5), ..Limits::default() };
    let faces_of = [Source::new("casia", zip)];
    let dataset = Dataset::load(&faces_of, &limits, &mut |_, _| {}).unwrap();
    let table = TeacherTable::load(&faces().join("teacher"), &dataset).unwrap();
    assert!(dataset.len() >= 64 && table.missing() == 0, "{} pictures", dataset.len());

    let mut pixels = vec![0; dataset.len() * SIDE * SIDE * 3];
    for (i, out) in pixels.chunks_exact_mut(SIDE * SIDE * 3).enumerate() {
        canonical(dataset.pixels(i), dataset.size(), SIDE, out);
    }
    let images = images_from_bytes(&pixels, [SIDE; 2], Device::Cpu);
    for (mirrored, images) in [(false, images.shallow_clone()), (true, images.flip([3]))] {
        let embeddings = to_vec(&teacher.embed(&images));
        let cosines = embeddings.chunks_exact(128).enumerate().map(|(i, ours)| {
            let theirs = table.get(i, mirrored).unwrap();
            ours.iter().zip(theirs).map(|(a, b)| a * b).sum::<f32>()
        });
        let all: Vec<f32> = cosines.collect();
        let mean = all.iter().sum::<f32>() / all.len() as f32;
        let lowest = all.iter().copied().fold(1.0, f32::min);
        println!("mirrored {mirrored}: mean cosine {mean:.4}, lowest {lowest:.4}");
        // Measured: 0.986 and 0.92. A second build of the network, in numpy, gives the same mean, and no
        // other scaling comes nearer: the tables were most likely made before the crops were compressed
        // (compressing them once more costs about as much). A tensor in the wrong place gives far less.
        assert!(mean > 0.98 && lowest > 0.9, "mirrored {mirrored}: mean {mean}, lowest {lowest}");
    }
}
