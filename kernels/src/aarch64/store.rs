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

/// Whether every byte is allowed, as after ReLU6: then narrowing alone keeps to the range.
#[inline(always)]
pub(super) fn is_whole(range: [u8; 3]) -> bool {
    range[1] == 0 && range[2] == 255
}

/// 16 sums as signed bytes; `WHOLE` as [`is_whole`] says.
#[inline(always)]
pub(super) unsafe fn bytes<const WHOLE: bool>(
    s: [int32x4_t; 4],
    scale: [float32x4_t; 4],
    range: [u8; 3],
) -> int8x16_t {
    let [zero, low, high] = signed(range);
    // SAFETY: as above.
    unsafe {
        let words = |i: usize| {
            let [first, second] = [i, i + 1].map(|i| rounded(s[i], scale[i]));
            let words = vqmovn_high_s32(vqmovn_s32(first), second);
            vqaddq_s16(words, vdupq_n_s16(i16::from(zero)))
        };
        let bytes = vqmovn_high_s16(vqmovn_s16(words(0)), words(2));
        match WHOLE {
            true => bytes,
            false => vminq_s8(vmaxq_s8(bytes, vdupq_n_s8(low)), vdupq_n_s8(high)),
        }
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

/// The sums of `M` rows' `4 · V` channels, from `row` on.
///
/// # Safety
/// What [`Gemm`] promises, for these rows.
#[inline(always)]
pub(super) unsafe fn rows<const M: usize, const V: usize>(
    g: &Gemm,
    row: usize,
    sums: [[int32x4_t; V]; M],
) {
    // SAFETY: as said.
    unsafe {
        let mut scale = [vdupq_n_f32(0.0); V];
        for (v, scale) in scale.iter_mut().enumerate() {
            *scale = vld1q_f32(g.scale.add(4 * v));
        }
        match g.out {
            Target::Bytes { to, step, range } => {
                let mut to = to.add(row * step);
                let scale = four(&scale);
                if V == 4 && g.channels >= 16 && is_whole(range) {
                    for sums in &sums {
                        vst1q_s8(to.cast(), bytes::<true>(four(sums), scale, range));
                        to = to.wrapping_add(step);
                    }
                } else {
                    for sums in &sums {
                        write(to, bytes::<false>(four(sums), scale, range), g.channels);
                        to = to.wrapping_add(step);
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
fn four<T: Copy, const V: usize>(vectors: &[T; V]) -> [T; 4] {
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
