#![no_main]
use facelatch::embed::Network;
use std::path::Path;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    _ = Network::parse(Path::new("fuzz.onnx"), bytes);
});
