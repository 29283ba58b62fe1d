#![no_main]
use facelatch::config::Config;
use std::path::Path;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(config) = Config::parse(Path::new("fuzz"), text) {
        assert!(Config::parse(Path::new("fuzz"), &config.to_toml()).is_ok());
    }
});
