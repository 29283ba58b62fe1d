#![no_main]
//! What a broken detector may say: any numbers on any grid.
use facelatch::detect::{Decoder, Grid};

libfuzzer_sys::fuzz_target!(|input: (u8, u8, f32, Vec<f32>)| {
    let (width, height, threshold, values) = input;
    let decoder = Decoder { threshold, ..Decoder::default() };
    let (width, height) = (usize::from(width), usize::from(height));
    let faces = decoder.decode(&[Grid { values: &values, width, height, stride: 8 }]);
    assert!(faces.iter().all(|face| face.bounds.size().is_finite()));
});
