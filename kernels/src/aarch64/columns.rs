//! One row of a depthwise convolution by dot products, 16 channels at a time: the three bytes of a column
//! that lie above each other, and one more of weight 0, are one group of four.

use super::{before_edge, store};
use crate::{Conv, table::Depthwise};
use std::arch::{aarch64::*, asm};

/// `dot` of [`Dot`]. Weights are loaded for each output, four vectors by one instruction: they and the
/// columns do not fit in the registers together.
macro_rules! dot {
    ($instruction:literal) => {
        #[inline(always)]
        unsafe fn dot(sums: &mut [int32x4_t; 4], column: &Column, w: &mut *const i8) {
            // SAFETY: reads the caller's weights; otherwise instructions on registers.
            unsafe {
                std::arch::asm!(
                    "ld1 {{v16.16b-v19.16b}}, [{w}], #64",
                    concat!($instruction, " {s0:v}.4s, {c0:v}.16b, v16.16b"),
                    concat!($instruction, " {s1:v}.4s, {c1:v}.16b, v17.16b"),
                    concat!($instruction, " {s2:v}.4s, {c2:v}.16b, v18.16b"),
                    concat!($instruction, " {s3:v}.4s, {c3:v}.16b, v19.16b"),
                    w = inout(reg) *w,
                    s0 = inout(vreg) sums[0],
                    s1 = inout(vreg) sums[1],
                    s2 = inout(vreg) sums[2],
                    s3 = inout(vreg) sums[3],
                    c0 = in(vreg) column[0],
                    c1 = in(vreg) column[1],
                    c2 = in(vreg) column[2],
                    c3 = in(vreg) column[3],
                    out("v16") _,
                    out("v17") _,
                    out("v18") _,
                    out("v19") _,
                    options(pure, readonly, nostack, preserves_flags),
                );
            }
        }
    };
}
pub(super) use dot;

/// `[channels by 16][3 columns][16][row 0, 1, 2, nothing]`.
pub(super) fn pack(conv: &Conv) -> Vec<i8> {
    let mut packed = Vec::new();
    for first in (0..conv.outputs).step_by(16) {
        for column in 0..3 {
            for channel in first..first + 16 {
                packed.extend((0..4).map(|row| conv.tap(channel, row, column)));
            }
        }
    }
    packed
}

/// The instruction that adds the products of groups of four bytes.
pub(super) trait Dot {
    /// The way's offset.
    const FLIP: u8;

    /// Adds a column's products with the next 64 weights.
    ///
    /// # Safety
    /// The processor has it; the weights may be read.
    unsafe fn dot(sums: &mut [int32x4_t; 4], column: &Column, w: &mut *const i8);
}

/// Which bytes of three rows of 16 make the groups of each four channels.
static GROUPS: [u8; 64] = {
    let mut groups = [255; 64];
    let mut i = 0;
    while i < 64 {
        if i % 4 < 3 {
            groups[i] = (i % 4 * 16 + i / 4) as u8;
        }
        i += 1;
    }
    groups
};

/// A column of 16 channels.
pub(super) type Column = [uint8x16_t; 4];

/// A column of three rows, and the step to the next. The rows are loaded one after the other, so that
/// no more than their three addresses are kept.
///
/// # Safety
/// 16 bytes of each row may be read.
#[inline(always)]
unsafe fn column(rows: &mut [*const u8; 3], step: usize) -> Column {
    let (a, b, c, d);
    // SAFETY: reads the caller's bytes and `GROUPS`; otherwise instructions on registers.
    unsafe {
        asm!(
            "ld1 {{v20.16b}}, [{top}], {step}",
            "ld1 {{v21.16b}}, [{middle}], {step}",
            "ld1 {{v22.16b}}, [{bottom}], {step}",
            "ld1 {{v16.16b-v19.16b}}, [{groups}]",
            "tbl {a:v}.16b, {{v20.16b-v22.16b}}, v16.16b",
            "tbl {b:v}.16b, {{v20.16b-v22.16b}}, v17.16b",
            "tbl {c:v}.16b, {{v20.16b-v22.16b}}, v18.16b",
            "tbl {d:v}.16b, {{v20.16b-v22.16b}}, v19.16b",
            top = inout(reg) rows[0],
            middle = inout(reg) rows[1],
            bottom = inout(reg) rows[2],
            step = in(reg) step,
            groups = in(reg) GROUPS.as_ptr(),
            a = out(vreg) a,
            b = out(vreg) b,
            c = out(vreg) c,
            d = out(vreg) d,
            out("v16") _, out("v17") _, out("v18") _, out("v19") _,
            out("v20") _, out("v21") _, out("v22") _,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    [a, b, c, d]
}

/// Sixteen channels of every output of a row.
struct Sixteen {
    w: *const i8,
    bias: *const i32,
    scale: *const f32,
    lift: *const f32,
    range: [u8; 3],
    /// Channels from the first of these on.
    channels: usize,
}

impl Sixteen {
    /// The output of three columns.
    #[inline(always)]
    unsafe fn output<D: Dot, const LIFTED: bool>(&self, to: *mut u8, columns: [&Column; 3]) {
        // SAFETY: `Depthwise` promises numbers for 16 channels and an output for every column.
        unsafe {
            let mut sums: [int32x4_t; 4] = store::four!(self.bias, "v0" "v1" "v2" "v3");
            let mut w = self.w;
            for column in columns {
                D::dot(&mut sums, column, &mut w);
            }
            let scale = store::four!(self.scale, "v16" "v17" "v18" "v19");
            let lift = match LIFTED {
                true => store::four!(self.lift, "v20" "v21" "v22" "v23"),
                false => scale,
            };
            let bytes = store::bytes::<LIFTED>(&sums, &scale, &lift, self.range, D::FLIP);
            store::write(to, bytes, self.channels);
        }
    }
}

/// # Safety
/// `Depthwise`'s, and the processor has `D`.
#[inline(always)]
pub(super) unsafe fn row<D: Dot>(d: &Depthwise) {
    // SAFETY: the caller's.
    unsafe {
        match d.lift {
            Some(lift) => outputs::<D, true>(d, lift),
            None => outputs::<D, false>(d, d.scale),
        }
    }
}

#[inline(always)]
unsafe fn outputs<D: Dot, const LIFTED: bool>(d: &Depthwise, lift: *const f32) {
    // Outputs whose columns are inside the map, but for those that the first of them begins with; at
    // stride 1 by threes, so that columns take turns.
    let end = before_edge(d);
    let start = if d.stride == 1 { 0 } else { (d.left / 2).min(end) };
    let end = if d.stride == 1 { end / 3 * 3 } else { end };
    for first in (0..d.channels).step_by(16) {
        // SAFETY: `Depthwise` promises the rows, packed weights and numbers for whole blocks of 16.
        unsafe {
            let sixteen = Sixteen {
                w: d.w.add(first * 12),
                bias: d.bias.add(first),
                scale: d.scale.add(first),
                lift: lift.add(first),
                range: d.range,
                channels: d.channels - first,
            };
            let any = |x: usize| column(&mut d.column(x, first), 0);
            let out = d.out.add(first);
            for x in (0..start).chain(end..d.columns) {
                let at = x * d.stride;
                let columns = [&any(at), &any(at + 1), &any(at + 2)];
                sixteen.output::<D, LIFTED>(out.add(x * d.out_step), columns);
            }
            if start == end {
                continue;
            }
            let mut to = out.add(start * d.out_step);
            let mut a = any(start * d.stride);
            if d.stride == 1 {
                let mut b = any(1);
                let mut rows = d.column(2, first);
                for _ in 0..end / 3 {
                    let c = column(&mut rows, d.step);
                    sixteen.output::<D, LIFTED>(to, [&a, &b, &c]);
                    to = to.wrapping_add(d.out_step);
                    a = column(&mut rows, d.step);
                    sixteen.output::<D, LIFTED>(to, [&b, &c, &a]);
                    to = to.wrapping_add(d.out_step);
                    b = column(&mut rows, d.step);
                    sixteen.output::<D, LIFTED>(to, [&c, &a, &b]);
                    to = to.wrapping_add(d.out_step);
                }
            } else {
                let mut rows = d.column(2 * start + 1, first);
                for _ in start..end {
                    let b = column(&mut rows, d.step);
                    let c = column(&mut rows, d.step);
                    sixteen.output::<D, LIFTED>(to, [&a, &b, &c]);
                    to = to.wrapping_add(d.out_step);
                    a = c;
                }
            }
        }
    }
}
