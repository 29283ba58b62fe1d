#![no_main]
use facelatch::evaluate::Pairs;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(pairs) = Pairs::parse(text) {
        assert!(pairs.0.iter().all(|pair| pair.a != pair.b && pair.fold <= pairs.folds()));
    }
});
