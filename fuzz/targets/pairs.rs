#![no_main]
use facelatch::evaluate::{Pairs, parse_splits};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(pairs) = Pairs::parse(text) {
        assert!(pairs.0.iter().all(|pair| pair.a != pair.b && pair.fold <= pairs.folds()));
    }
    if let Ok(pairs) = parse_splits(text) {
        assert!(pairs.iter().all(|pair| pair.fold > 0 && !pair.a.person.is_empty()));
    }
});
