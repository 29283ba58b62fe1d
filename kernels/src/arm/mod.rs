//! 32-bit ARM with NEON: every Raspberry Pi from the 2 on that runs a 32-bit system.
//!
//! Rust has stable intrinsics of NEON for 64-bit ARM only, and here no vector can be an operand of `asm!`.
//! So the loops are functions without a frame of the compiler's, in assembly from the first instruction to
//! the last, by the procedure call standard: they keep `r4` to `r11` and `d8` to `d15` for their caller.
//! Each says `.fpu neon` for itself, as the target is compiled for processors without.

mod depthwise;
mod neon;

use crate::table::Table;

/// The ways this processor has, the best first.
pub(crate) fn add(all: &mut Vec<&'static Table>) {
    // Where the kernel does not say, there is the reference.
    if std::fs::read("/proc/self/auxv").is_ok_and(|auxv| has_neon(&auxv)) {
        all.push(&neon::TABLE);
    }
}

/// Whether the pairs of words that the kernel gave this process say that there is NEON.
fn has_neon(auxv: &[u8]) -> bool {
    const AT_HWCAP: u32 = 16;
    const HWCAP_NEON: u32 = 1 << 12;
    let word = |pair: &[u8], at: usize| {
        u32::from_ne_bytes([pair[at], pair[at + 1], pair[at + 2], pair[at + 3]])
    };
    auxv.chunks_exact(8).any(|pair| word(pair, 0) == AT_HWCAP && word(pair, 4) & HWCAP_NEON != 0)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neon_is_what_the_kernel_says() {
        let auxv = |pairs: &[[u32; 2]]| -> Vec<u8> {
            pairs.iter().flatten().flat_map(|word| word.to_ne_bytes()).collect()
        };
        assert!(has_neon(&auxv(&[[6, 4096], [16, 0x1fb0d7], [0, 0]])));
        assert!(!has_neon(&auxv(&[[26, 1 << 12], [16, 0x1f80d7 & !(1 << 12)], [0, 0]])));
        assert!(!has_neon(&auxv(&[[16, 1 << 12]])[..7]), "half a pair");
    }
}
