#![forbid(unsafe_code)]
#![allow(dead_code)]
mod engine;
mod loss;
mod net;
fn main() {}
