//! What becomes of sums. `flip` is the way's offset, which bytes are stored less; `LIFTED` says whether
//! sums are lifted as [`crate::pack::Packed`] has it.

use crate::table::{Gemm, Target};
use std::arch::aarch64::*;

/// Four vectors by one instruction, loaded at every turn of a loop: the compiler would load them by two,
/// or keep them in registers that other things leave for the stack. The registers are named, as they must
/// follow each other.
macro_rules! four {
    ($from:expr, $a:tt $b:tt $c:tt $d:tt) => {{
        let (a, b, c, d);
        std::arch::asm!(
            concat!("ld1 {{", $a, ".16b-", $d, ".16b}}, [{from}]"),
            from = in(reg) $from,
            out($a) a,
            out($b) b,
            out($c) c,
            out($d) d,
            options(readonly, nostack, preserves_flags),
        );
        [a, b, c, d]
    }};
}
pub(super) use four;

/// `4 · V` floats.
///
/// # Safety
/// They may be read.
#[inline(always)]
pub(super) unsafe fn load<const V: usize>(from: *const f32) -> [float32x4_t; V] {
    // SAFETY: the caller's.
    std::array::from_fn(|v| unsafe { vld1q_f32(from.add(4 * v)) })
}

/// Sums that are not lifted, in steps of the output.
#[inline(always)]
unsafe fn rounded(sums: int32x4_t, scale: float32x4_t) -> int32x4_t {
    // SAFETY: NEON is part of every aarch64.
    unsafe { vcvtnq_s32_f32(vmulq_f32(vcvtq_f32_s32(sums), scale)) }
}

/// Sums that are lifted, in steps of the output; 0 for those below.
#[inline(always)]
pub(super) unsafe fn lowered(sums: int32x4_t, scale: float32x4_t, lift: float32x4_t) -> uint8x16_t {
    // SAFETY: as above.
    unsafe {
        let steps = vfmaq_f32(lift, vreinterpretq_f32_s32(sums), scale);
        vreinterpretq_u8_u32(vcvtnq_u32_f32(steps))
    }
}

/// Eight sums as words that are cut to bytes next: signed ones, or unsigned ones where sums are lifted.
/// They are the vectors from `at` on of those given.
#[inline(always)]
unsafe fn words<const LIFTED: bool, const V: usize>(
    sums: &[int32x4_t; V],
    scale: &[float32x4_t; V],
    lift: &[float32x4_t; V],
    zero: u8,
    at: usize,
) -> uint16x8_t {
    // SAFETY: as above.
    unsafe {
        if LIFTED {
            let first = lowered(sums[at], scale[at], lift[at]);
            let second = lowered(sums[at + 1], scale[at + 1], lift[at + 1]);
            vuzp1q_u16(vreinterpretq_u16_u8(first), vreinterpretq_u16_u8(second))
        } else {
            let first = vqmovn_s32(rounded(sums[at], scale[at]));
            let words = vqmovn_high_s32(first, rounded(sums[at + 1], scale[at + 1]));
            vreinterpretq_u16_s16(vqaddq_s16(words, vdupq_n_s16(i16::from(zero))))
        }
    }
}

/// 16 sums as bytes.
#[inline(always)]
pub(super) unsafe fn bytes<const LIFTED: bool>(
    sums: &[int32x4_t; 4],
    scale: &[float32x4_t; 4],
    lift: &[float32x4_t; 4],
    [zero, low, high]: [u8; 3],
    flip: u8,
) -> uint8x16_t {
    // SAFETY: as above.
    unsafe {
        let first = words::<LIFTED, 4>(sums, scale, lift, zero, 0);
        let second = words::<LIFTED, 4>(sums, scale, lift, zero, 2);
        let bytes = if LIFTED {
            vqmovn_high_u16(vqmovn_u16(first), second)
        } else {
            let first = vqmovun_s16(vreinterpretq_s16_u16(first));
            let bytes = vqmovun_high_s16(first, vreinterpretq_s16_u16(second));
            vminq_u8(vmaxq_u8(bytes, vdupq_n_u8(low)), vdupq_n_u8(high))
        };
        veorq_u8(bytes, vdupq_n_u8(flip))
    }
}

/// Eight sums as bytes.
#[inline(always)]
unsafe fn eight<const LIFTED: bool>(
    sums: &[int32x4_t; 2],
    scale: &[float32x4_t; 2],
    lift: &[float32x4_t; 2],
    [zero, low, high]: [u8; 3],
    flip: u8,
) -> uint8x8_t {
    // SAFETY: as above.
    unsafe {
        let words = words::<LIFTED, 2>(sums, scale, lift, zero, 0);
        let bytes = if LIFTED {
            vqmovn_u16(words)
        } else {
            let bytes = vqmovun_s16(vreinterpretq_s16_u16(words));
            vmin_u8(vmax_u8(bytes, vdup_n_u8(low)), vdup_n_u8(high))
        };
        veor_u8(bytes, vdup_n_u8(flip))
    }
}

/// The first `count` of 16 bytes.
///
/// # Safety
/// `to` may be written for so many.
#[inline(always)]
pub(super) unsafe fn write(to: *mut u8, bytes: uint8x16_t, count: usize) {
    // SAFETY: the caller's.
    unsafe {
        match count {
            16.. => vst1q_u8(to, bytes),
            _ => write_part(to, bytes, count),
        }
    }
}

#[cold]
#[inline(never)]
unsafe fn write_part(to: *mut u8, bytes: uint8x16_t, count: usize) {
    let mut all = [0u8; 16];
    // SAFETY: the caller's.
    unsafe {
        vst1q_u8(all.as_mut_ptr(), bytes);
        to.copy_from_nonoverlapping(all.as_ptr(), count);
    }
}

/// The sums of a row's eight channels.
///
/// # Safety
/// What [`Gemm`] promises, for this row.
#[inline(always)]
pub(super) unsafe fn two(g: &Gemm, row: usize, sums: [int32x4_t; 2], flip: u8) {
    // SAFETY: as said.
    unsafe {
        let scale = load::<2>(g.scale);
        match g.out {
            Target::Bytes { to, step, range } => {
                let bytes = match g.lift {
                    Some(lift) => eight::<true>(&sums, &scale, &load(lift), range, flip),
                    None => eight::<false>(&sums, &scale, &scale, range, flip),
                };
                let to = to.add(row * step);
                if g.channels >= 8 {
                    vst1_u8(to, bytes);
                } else {
                    let all = vget_lane_u64::<0>(vreinterpret_u64_u8(bytes)).to_le_bytes();
                    to.copy_from_nonoverlapping(all.as_ptr(), g.channels);
                }
            }
            Target::Floats { to, step } => floats(to.add(row * step), sums, scale, g.channels),
        }
    }
}

/// The sums of `M` rows' `4 · V` channels, from `row` on.
///
/// # Safety
/// What [`Gemm`] promises, for these rows.
#[inline(always)]
pub(super) unsafe fn rows<const M: usize, const V: usize>(
    g: &Gemm,
    row: usize,
    sums: [[int32x4_t; V]; M],
    flip: u8,
) {
    // SAFETY: as said.
    unsafe {
        let scale = load::<V>(g.scale);
        match g.out {
            Target::Bytes { to, step, range } => {
                let to = to.add(row * step);
                let scale = filled(&scale);
                match g.lift {
                    Some(lift) if V == 4 && g.channels >= 16 => {
                        for (m, sums) in sums.iter().enumerate() {
                            let lift = four!(lift, "v0" "v1" "v2" "v3");
                            let bytes = bytes::<true>(&filled(sums), &scale, &lift, range, flip);
                            vst1q_u8(to.wrapping_add(m * step), bytes);
                        }
                    }
                    Some(lift) => {
                        let lift = filled(&load::<V>(lift));
                        for (m, sums) in sums.iter().enumerate() {
                            let bytes = bytes::<true>(&filled(sums), &scale, &lift, range, flip);
                            write(to.wrapping_add(m * step), bytes, g.channels);
                        }
                    }
                    None => {
                        for (m, sums) in sums.iter().enumerate() {
                            let bytes = bytes::<false>(&filled(sums), &scale, &scale, range, flip);
                            write(to.wrapping_add(m * step), bytes, g.channels);
                        }
                    }
                }
            }
            Target::Floats { to, step } => {
                for (m, sums) in sums.into_iter().enumerate() {
                    floats(to.add((row + m) * step), sums, scale, g.channels);
                }
            }
        }
    }
}

/// Four vectors, the first again where there are fewer.
#[inline(always)]
fn filled<T: Copy, const V: usize>(vectors: &[T; V]) -> [T; 4] {
    [0, 1, 2, 3].map(|v| vectors[if v < V { v } else { 0 }])
}

#[inline(always)]
unsafe fn floats<const V: usize>(
    to: *mut f32,
    sums: [int32x4_t; V],
    scale: [float32x4_t; V],
    count: usize,
) {
    let mut floats = [0f32; 16];
    // SAFETY: V is 4 at most; `count` floats are the caller's.
    unsafe {
        for v in 0..V {
            let scaled = vmulq_f32(vcvtq_f32_s32(sums[v]), scale[v]);
            vst1q_f32(floats.as_mut_ptr().add(4 * v), scaled);
        }
        to.copy_from_nonoverlapping(floats.as_ptr(), count.min(4 * V));
    }
}
