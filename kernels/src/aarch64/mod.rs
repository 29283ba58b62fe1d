//! aarch64: outer products in SME's tiles (no Raspberry Pi yet); NEON, with the matrix products of ARMv8.6
//! (none yet either), with the dot products of ARMv8.2 (Cortex-A76, Raspberry Pi 5), and without them
//! (Cortex-A53 and A72, Raspberry Pi 3, 4 and Zero 2 W).

mod columns;
mod depthwise;
mod dot;
mod i8mm;
mod neon;
mod sme;
mod store;

use crate::table::Table;

/// The ways this processor has, the best first.
pub(crate) fn add(all: &mut Vec<&'static Table>) {
    if std::arch::is_aarch64_feature_detected!("i8mm") {
        all.push(&i8mm::TABLE);
    }
    if std::arch::is_aarch64_feature_detected!("dotprod") {
        all.push(&dot::TABLE);
    }
    all.push(&neon::TABLE);
    all.extend(sme::table());
}
