#![no_main]
use facelatch::evaluate::LandmarkTable;

libfuzzer_sys::fuzz_target!(|text: &str| {
    _ = LandmarkTable::parse(text);
});
