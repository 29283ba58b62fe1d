#![no_main]
use facelatch_train::run::Checkpoint;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    _ = Checkpoint::parse(bytes);
});
