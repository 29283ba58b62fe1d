#![no_main]
use facelatch::door::{InputSpec, LockSpec, Script};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = (text.parse::<Script>(), text.parse::<LockSpec>(), text.parse::<InputSpec>());
});
