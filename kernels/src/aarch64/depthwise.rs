//! One row of a depthwise convolution, 16 channels at a time: products are added two by two in 16 bits,
//! then to 32-bit sums.

use super::store;
use crate::{Conv, table::Depthwise};
use std::{
    arch::{aarch64::*, asm},
    ops::Range,
};

/// `[channels by 16][9 taps][16]`.
pub(super) fn pack(conv: &Conv) -> Vec<i8> {
    let mut packed = Vec::new();
    for first in (0..conv.outputs).step_by(16) {
        for tap in 0..9 {
            let channels = first..first + 16;
            packed.extend(channels.map(|channel| conv.tap(channel, tap / 3, tap % 3)));
        }
    }
    packed
}

/// `a · w` of the upper eight bytes. As an intrinsic it becomes two instructions where a register of
/// weights lives longer than a loop's turn.
#[inline(always)]
fn multiply_high(a: int8x16_t, w: int8x16_t) -> int16x8_t {
    let product;
    // SAFETY: an instruction on registers, which every aarch64 has.
    unsafe {
        asm!(
            "smull2 {product:v}.8h, {a:v}.16b, {w:v}.16b",
            product = lateout(vreg) product,
            a = in(vreg) a,
            w = in(vreg) w,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    product
}

/// `sum + a · w` of the upper eight bytes.
#[inline(always)]
fn multiply_add_high(mut sum: int16x8_t, a: int8x16_t, w: int8x16_t) -> int16x8_t {
    // SAFETY: as above.
    unsafe {
        asm!(
            "smlal2 {sum:v}.8h, {a:v}.16b, {w:v}.16b",
            sum = inout(vreg) sum,
            a = in(vreg) a,
            w = in(vreg) w,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// Adds 16 sums of one or two products.
#[inline(always)]
unsafe fn add(sums: &mut [int32x4_t; 4], low: int16x8_t, high: int16x8_t) {
    // SAFETY: NEON is part of every aarch64.
    unsafe {
        sums[0] = vaddw_s16(sums[0], vget_low_s16(low));
        sums[1] = vaddw_high_s16(sums[1], low);
        sums[2] = vaddw_s16(sums[2], vget_low_s16(high));
        sums[3] = vaddw_high_s16(sums[3], high);
    }
}

/// Sixteen channels of every output of a row.
struct Sixteen {
    w: [int8x16_t; 9],
    bias: *const i32,
    scale: [float32x4_t; 4],
    lift: *const f32,
    /// Channels from the first of these on.
    channels: usize,
}

impl Sixteen {
    /// The output whose window begins `at` row by row and column by column.
    #[inline(always)]
    unsafe fn output<const LIFTED: bool>(
        &self,
        d: &Depthwise,
        to: *mut u8,
        at: impl Fn(usize, usize) -> *const u8,
    ) {
        // SAFETY: `Depthwise` promises 16 bytes of every column and an output for every column. Two
        // products of 128 · 127 at most fit in 16 bits.
        unsafe {
            let byte = |tap: usize| vld1q_s8(at(tap / 3, tap % 3).cast());
            let mut sums: [int32x4_t; 4] = store::four!(self.bias, "v0" "v1" "v2" "v3");
            for tap in [0, 2, 4, 6] {
                let (a, b) = (byte(tap), byte(tap + 1));
                let (v, w) = (self.w[tap], self.w[tap + 1]);
                let low = vmull_s8(vget_low_s8(a), vget_low_s8(v));
                let low = vmlal_s8(low, vget_low_s8(b), vget_low_s8(w));
                add(&mut sums, low, multiply_add_high(multiply_high(a, v), b, w));
            }
            let (a, w) = (byte(8), self.w[8]);
            add(&mut sums, vmull_s8(vget_low_s8(a), vget_low_s8(w)), multiply_high(a, w));
            let lift = match LIFTED {
                true => store::four!(self.lift, "v16" "v17" "v18" "v19"),
                false => self.scale,
            };
            let bytes = store::bytes::<LIFTED>(&sums, &self.scale, &lift, d.range, 128);
            store::write(to, bytes, self.channels);
        }
    }
}

pub(super) unsafe fn row(d: &Depthwise) {
    // SAFETY: the caller's.
    unsafe {
        match d.lift {
            Some(lift) => outputs::<true>(d, lift),
            None => outputs::<false>(d, d.scale),
        }
    }
}

unsafe fn outputs<const LIFTED: bool>(d: &Depthwise, lift: *const f32) {
    let Range { start: from, end: to } = d.inside();
    for first in (0..d.channels).step_by(16) {
        // SAFETY: `Depthwise` promises the rows, packed weights and numbers for whole blocks of 16.
        unsafe {
            let mut w = [vdupq_n_s8(0); 9];
            for (tap, w) in w.iter_mut().enumerate() {
                *w = vld1q_s8(d.w.add(first * 9 + 16 * tap));
            }
            let sixteen = Sixteen {
                w,
                bias: d.bias.add(first),
                scale: store::load(d.scale.add(first)),
                lift: lift.add(first),
                channels: d.channels - first,
            };
            let out = d.out.add(first);
            for x in (0..from).chain(to..d.columns) {
                sixteen.output::<LIFTED>(d, out.add(x * d.out_step), |row, column| {
                    d.column(x * d.stride + column, first)[row]
                });
            }
            let mut rows = d.rows.map(|row| {
                let column = (from * d.stride).wrapping_sub(d.left);
                row.wrapping_add(first).wrapping_add(column.wrapping_mul(d.step))
            });
            let mut out = out.add(from * d.out_step);
            for _ in from..to {
                sixteen.output::<LIFTED>(d, out, |r, column| rows[r].wrapping_add(column * d.step));
                out = out.wrapping_add(d.out_step);
                for row in &mut rows {
                    *row = row.wrapping_add(d.stride * d.step);
                }
            }
        }
    }
}
