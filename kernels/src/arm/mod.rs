//! 32-bit ARM with NEON: every Raspberry Pi from the 2 on that runs a 32-bit system.
//!
//! Rust has stable intrinsics of NEON for 64-bit ARM only, and here no vector can be an operand of `asm!`.
//! So the loops are functions without a frame of the compiler's, in assembly from the first instruction to
//! the last, by the procedure call standard: they keep `r4` to `r11` and `d8` to `d15` for their caller.
//! Each says `.fpu neon` for itself, as the target is compiled for processors without.

mod depthwise;
mod neon;

use crate::{auxv, table::Table};

/// The ways this processor has, the best first.
pub(crate) fn add(all: &mut Vec<&'static Table>) {
    const NEON: usize = 1 << 12;
    // Where the kernel does not say, there is the reference.
    if auxv::has(auxv::HWCAP, NEON) {
        all.push(&neon::TABLE);
    }
}

/// What assembly makes bytes of sums by, in the order in which it loads them.
///
/// Bytes are stored less 128, so they are cut as signed ones. A sum times its scale is rounded by adding
/// 1.5 · 2^23: floats there are integers, each the next, and NEON rounds ties to even. The bits of such a
/// float are its integer and a constant, which `steps` takes off; `steps` also adds the zero and takes
/// off the 128. What is too large for this comes out beyond any byte on its own side, as the bits of
/// floats rise with them, and as sums below all floats there are cut to the least i32.
#[repr(C)]
struct Cut {
    magic: [f32; 4],
    steps: [i32; 4],
    low: [i8; 8],
    high: [i8; 8],
}

impl Cut {
    fn new([zero, low, high]: [u8; 3]) -> Self {
        const MAGIC: f32 = 1.5 * (1 << 23) as f32;
        let signed = |byte: u8| (byte ^ 128) as i8;
        Self {
            magic: [MAGIC; 4],
            steps: [i32::from(zero) - 128 - MAGIC.to_bits() as i32; 4],
            low: [signed(low); 8],
            high: [signed(high); 8],
        }
    }
}
