//! x86-64: AVX-512 with VNNI, and AVX2.

mod avx2;
mod vnni;

use crate::table::Table;

/// The ways this processor has, the best first.
pub(crate) fn add(all: &mut Vec<&'static Table>) {
    let vnni = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni");
    if vnni {
        all.push(&vnni::TABLE);
    }
    if is_x86_feature_detected!("avx2") {
        all.push(&avx2::TABLE);
    }
}
