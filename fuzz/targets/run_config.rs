#![no_main]
use facelatch_train::run::{Config, RunConfig};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(config) = RunConfig::parse(text) {
        assert_eq!(RunConfig::parse(&config.to_toml()).as_ref(), Ok(&config));
    }
});
