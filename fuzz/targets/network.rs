#![no_main]
use facelatch::{embed::Network, model::Pool};
use std::{path::Path, sync::Arc};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    _ = Network::parse(Path::new("fuzz.onnx"), bytes, &Arc::new(Pool::new(1)));
});
