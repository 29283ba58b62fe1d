//! Convolutions on bytes: whole networks of them, exact and the same on every processor.
//!
//! A [`Builder`] takes [`Conv`]s one after the other and makes a [`Net`], which runs them on a picture
//! of bytes. Maps of activations are NHWC bytes throughout; a depthwise convolution and the pointwise
//! one after it are one stage, whose map between them never leaves the cache. Every way to compute
//! (AVX-512 VNNI, AVX2, SME, NEON with matrix products, with dot products and without, NEON of 32-bit ARM) gives
//! the same bits as the plain reference: the sums are exact integers, and what becomes of them is one f32
//! multiplication and one rounding.
//!
//! This is the only crate of facelatch with `unsafe` code. It is where the SIMD intrinsics are, and
//! where threads write to parts of one buffer.

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod arena;
#[cfg(target_arch = "arm")]
mod arm;
#[cfg(any(target_arch = "aarch64", target_arch = "arm"))]
mod auxv;
mod conv;
mod net;
mod pack;
mod pool;
mod scalar;
mod stage;
mod table;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use conv::{Conv, ConvError, Output};
pub use net::{Builder, Map, Net, Run, ceiling};
pub use pool::{MOST_THREADS, Pool};
pub use table::{FORCE, is_fast, unknown_way, ways};
