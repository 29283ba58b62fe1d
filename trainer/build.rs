//! Links libtorch so that it is found at run time and so that CUDA is really there.
//!
//! Nothing in our code calls libtorch_cuda directly, so a linker that drops unneeded libraries drops
//! it, its backend never registers itself, and a GPU host silently trains on its CPU. Hence
//! `--no-as-needed`. The run path saves the reader an LD_LIBRARY_PATH.

use std::{env, path::PathBuf};

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let Some(home) = env::var_os("LIBTORCH").map(PathBuf::from) else { return };
    let lib = home.join("lib");
    println!("cargo:rerun-if-changed={}", lib.display());
    if !lib.is_dir() {
        println!("cargo:warning=no libtorch in {}; run trainer/libtorch.sh first", home.display());
        return;
    }
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
    if lib.join("libtorch_cuda.so").exists() {
        println!("cargo:rustc-link-arg=-Wl,--allow-shlib-undefined");
        println!("cargo:rustc-link-arg=-Wl,--no-as-needed,-ltorch_cuda,-ltorch,--as-needed");
    }
}
