#![no_main]
use facelatch::files::Tree;
use std::path::Path;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(tree) = Tree::archive(Path::new("fuzz.zip"), bytes.to_vec()) {
        tree.paths().iter().for_each(|path| _ = tree.read(path));
    }
});
