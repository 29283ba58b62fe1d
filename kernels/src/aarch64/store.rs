//! What becomes of sums.

use crate::table::{Gemm, Target};
use std::arch::aarch64::*;

#[inline(always)]
unsafe fn rounded(sums: int32x4_t, scale: float32x4_t) -> int32x4_t {
    // SAFETY: NEON is part of every aarch64.
    unsafe { vcvtnq_s32_f32(vmulq_f32(vcvtq_f32_s32(sums), scale)) }
}

/// Zero, low and high as signed bytes.
#[inline(always)]
fn signed(range: [u8; 3]) -> [i8; 3] {
    range.map(|byte| (byte ^ 128) as i8)
}

/// Eight rounded sums as signed bytes.
#[inline(always)]
unsafe fn eight(first: int32x4_t, second: int32x4_t, range: [u8; 3]) -> int8x8_t {
    let [zero, low, high] = signed(range);
    // SAFETY: as above.
    unsafe {
        let words = vcombine_s16(vqmovn_s32(first), vqmovn_s32(second));
        let bytes = vqmovn_s16(vqaddq_s16(words, vdupq_n_s16(i16::from(zero))));
        vmin_s8(vmax_s8(bytes, vdup_n_s8(low)), vdup_n_s8(high))
    }
}

/// 16 sums as signed bytes.
#[inline(always)]
pub(super) unsafe fn bytes(
    s: [int32x4_t; 4],
    scale: [float32x4_t; 4],
    range: [u8; 3],
) -> int8x16_t {
    let [zero, low, high] = signed(range);
    // SAFETY: as above.
    unsafe {
        let words = |i: usize| {
            let [first, second] = [i, i + 1].map(|i| rounded(s[i], scale[i]));
            let words = vcombine_s16(vqmovn_s32(first), vqmovn_s32(second));
            vqaddq_s16(words, vdupq_n_s16(i16::from(zero)))
        };
        let bytes = vcombine_s8(vqmovn_s16(words(0)), vqmovn_s16(words(2)));
        vminq_s8(vmaxq_s8(bytes, vdupq_n_s8(low)), vdupq_n_s8(high))
    }
}

/// The first `count` of 16 bytes.
///
/// # Safety
/// `to` may be written for so many.
#[inline(always)]
pub(super) unsafe fn write(to: *mut u8, bytes: int8x16_t, count: usize) {
    // SAFETY: the caller's.
    unsafe {
        if count >= 16 {
            vst1q_s8(to.cast(), bytes);
        } else {
            let mut all = [0u8; 16];
            vst1q_s8(all.as_mut_ptr().cast(), bytes);
            to.copy_from_nonoverlapping(all.as_ptr(), count);
        }
    }
}

/// The sums of a row's eight channels.
///
/// # Safety
/// What [`Gemm`] promises, for this row.
#[inline(always)]
pub(super) unsafe fn two(g: &Gemm, row: usize, sums: [int32x4_t; 2]) {
    // SAFETY: as said.
    unsafe {
        let scale = [vld1q_f32(g.scale), vld1q_f32(g.scale.add(4))];
        match g.out {
            Target::Bytes { to, step, range } => {
                let bytes = eight(rounded(sums[0], scale[0]), rounded(sums[1], scale[1]), range);
                let to = to.add(row * step);
                if g.channels >= 8 {
                    vst1_s8(to.cast(), bytes);
                } else {
                    let all = vget_lane_u64::<0>(vreinterpret_u64_s8(bytes)).to_le_bytes();
                    to.copy_from_nonoverlapping(all.as_ptr(), g.channels);
                }
            }
            Target::Floats { to, step } => floats(to.add(row * step), sums, scale, g.channels),
        }
    }
}

/// The sums of a row's `4 · V` channels.
///
/// # Safety
/// What [`Gemm`] promises, for this row.
#[inline(always)]
pub(super) unsafe fn vectors<const V: usize>(g: &Gemm, row: usize, sums: [int32x4_t; V]) {
    // SAFETY: as said.
    unsafe {
        let mut scale = [vdupq_n_f32(0.0); V];
        for (v, scale) in scale.iter_mut().enumerate() {
            *scale = vld1q_f32(g.scale.add(4 * v));
        }
        match g.out {
            Target::Bytes { to, step, range } => {
                let at = |v: usize| if v < V { (sums[v], scale[v]) } else { (sums[0], scale[0]) };
                let [a, b, c, d] = [at(0), at(1), at(2), at(3)];
                let bytes = bytes([a.0, b.0, c.0, d.0], [a.1, b.1, c.1, d.1], range);
                write(to.add(row * step), bytes, g.channels);
            }
            Target::Floats { to, step } => floats(to.add(row * step), sums, scale, g.channels),
        }
    }
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
