#![no_main]
use facelatch::camera::y4m::Y4mReader;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(mut reader) = Y4mReader::new(bytes) else { return };
    while let Ok(true) = reader.advance() {
        let _ = reader.decode();
    }
});
