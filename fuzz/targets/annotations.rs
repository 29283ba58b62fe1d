#![no_main]
use facelatch::evaluate::DetectionSet;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = DetectionSet::parse(text);
});
