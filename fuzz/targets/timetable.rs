#![no_main]
libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = facelatch::service::timetable(text);
});
