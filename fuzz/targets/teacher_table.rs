#![no_main]
use facelatch_train::data::teacher;

libfuzzer_sys::fuzz_target!(|input: (Vec<&str>, &[u8])| {
    let (names, bytes) = input;
    _ = teacher::parse(bytes, &names);
});
