//! NEON with dot products: `sdot` multiplies 16 signed bytes and adds them four by four to four sums.
//! Its intrinsics are not stable in Rust yet, so it is written as assembly.

use super::{
    columns::{self, Column, Dot},
    store,
};
use crate::table::{Depthwise, Gemm, Layout, Table, with_shape};
use std::arch::{aarch64::*, asm};

pub(super) static TABLE: Table = Table {
    name: "neondot",
    layout: Layout { block: 16, step: 4, group: 4, channel: |_, place| place },
    offset: 128,
    lifts: true,
    prepare: None,
    gemm: |g| {
        // SAFETY: this table is chosen only where the processor has dot products.
        unsafe { gemm(g) }
    },
    depthwise_pack: columns::pack,
    depthwise_channel: |place| place,
    depthwise: |d| {
        // SAFETY: as above.
        unsafe { depthwise(d) }
    },
};

#[target_feature(enable = "neon,dotprod")]
unsafe fn depthwise(d: &Depthwise) {
    // SAFETY: the caller's.
    unsafe { columns::row::<Signed>(d) }
}

struct Signed;

impl Dot for Signed {
    const FLIP: u8 = 128;

    columns::dot!("sdot");
}

/// Adds the products of `w`, four bytes for each of four channels, and the four bytes of `a` at `LANE`.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn dot<const LANE: i32>(mut sum: int32x4_t, w: int8x16_t, a: int8x16_t) -> int32x4_t {
    // SAFETY: an instruction on registers, which the processor has.
    unsafe {
        asm!(
            "sdot {sum:v}.4s, {w:v}.16b, {a:v}.4b[{lane}]",
            sum = inout(vreg) sum,
            w = in(vreg) w,
            a = in(vreg) a,
            lane = const LANE,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// Rows of a tile, by vectors of channels: as many sums as leave registers for inputs and weights.
const ROWS: [usize; 5] = [0, 8, 8, 7, 6];

#[target_feature(enable = "neon,dotprod")]
unsafe fn gemm(g: &Gemm) {
    let vectors = g.width / 4;
    for (row, rows) in g.tiles(ROWS[vectors]) {
        // SAFETY: rows and block are as `Gemm` promises.
        unsafe { with_shape!(rows, vectors, tile(g, row)) }
    }
}

#[target_feature(enable = "neon,dotprod")]
unsafe fn tile<const M: usize, const V: usize>(g: &Gemm, row: usize) {
    // SAFETY: `Gemm` promises M rows from `row` on, and a block of V vectors; whole
    // fours of groups are 16 bytes of inputs.
    unsafe {
        let mut bias = [vdupq_n_s32(0); V];
        for (v, bias) in bias.iter_mut().enumerate() {
            *bias = vld1q_s32(g.bias.add(4 * v));
        }
        let mut sums = [bias; M];
        let a = g.a.add(row * g.lda).cast::<i8>();
        let whole = g.groups / 4;
        for four in 0..whole {
            let w = g.w.add(64 * V * four);
            let mut inputs = [vdupq_n_s8(0); M];
            for (m, inputs) in inputs.iter_mut().enumerate() {
                *inputs = vld1q_s8(a.add(m * g.lda + 16 * four));
            }
            step::<M, V, 0>(&mut sums, w, &inputs);
            step::<M, V, 1>(&mut sums, w.add(16 * V), &inputs);
            step::<M, V, 2>(&mut sums, w.add(32 * V), &inputs);
            step::<M, V, 3>(&mut sums, w.add(48 * V), &inputs);
        }
        for group in 4 * whole..g.groups {
            let mut inputs = [vdupq_n_s8(0); M];
            for (m, inputs) in inputs.iter_mut().enumerate() {
                let four = a.add(m * g.lda + 4 * group).cast::<i32>().read_unaligned();
                *inputs = vreinterpretq_s8_s32(vdupq_n_s32(four));
            }
            step::<M, V, 0>(&mut sums, g.w.add(16 * V * group), &inputs);
        }
        store::rows(g, row, sums, 128);
    }
}

#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn step<const M: usize, const V: usize, const LANE: i32>(
    sums: &mut [[int32x4_t; V]; M],
    w: *const i8,
    inputs: &[int8x16_t; M],
) {
    for v in 0..V {
        // SAFETY: the caller's: V vectors of weights.
        let w = unsafe { vld1q_s8(w.add(16 * v)) };
        for (sums, inputs) in sums.iter_mut().zip(inputs) {
            sums[v] = dot::<LANE>(sums[v], w, *inputs);
        }
    }
}
