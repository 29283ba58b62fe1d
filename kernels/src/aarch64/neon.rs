//! NEON without dot products: two products of bytes are added in 16 bits (`smull`, `smlal2`), and pairs
//! of those to 32-bit sums (`sadalp`): 16 multiplications in three instructions.
//!
//! Only signed bytes can be multiplied, so maps hold bytes less 128, which `Table::offset` makes good.

use super::{depthwise, store};
use crate::table::{Gemm, Layout, Table};
use std::arch::{aarch64::*, asm};

pub(super) static TABLE: Table = Table {
    name: "neon",
    layout: Layout { block: 8, step: 8, group: 16, channel: |_, place| place },
    offset: 128,
    lifts: true,
    prepare: None,
    gemm,
    depthwise_pack: depthwise::pack,
    depthwise_channel: |place| place,
    depthwise: depthwise::row,
};

/// Rows of a tile: 24 sums, three vectors of inputs, one of weights and products fill the registers.
const ROWS: usize = 3;

unsafe fn gemm(g: &Gemm) {
    for (row, rows) in g.tiles(ROWS) {
        // SAFETY: rows and block are as `Gemm` promises.
        unsafe {
            match rows {
                1 => finish(g, row, fewer::<1>(g, row)),
                2 => finish(g, row, fewer::<2>(g, row)),
                _ => finish(g, row, three(g, row)),
            }
        }
    }
}

/// Three products of a vector of weights, added to their sums.
macro_rules! channel {
    ($w:literal, $s0:literal, $s1:literal, $s2:literal) => {
        concat!(
            "smull v5.8h, v0.8b, ",
            $w,
            ".8b\n",
            "smull v6.8h, v1.8b, ",
            $w,
            ".8b\n",
            "smull v7.8h, v2.8b, ",
            $w,
            ".8b\n",
            "smlal2 v5.8h, v0.16b, ",
            $w,
            ".16b\n",
            "smlal2 v6.8h, v1.16b, ",
            $w,
            ".16b\n",
            "smlal2 v7.8h, v2.16b, ",
            $w,
            ".16b\n",
            "sadalp ",
            $s0,
            ".4s, v5.8h\n",
            "sadalp ",
            $s1,
            ".4s, v6.8h\n",
            "sadalp ",
            $s2,
            ".4s, v7.8h\n",
        )
    };
}

/// The sums of three rows and eight channels, in four parts each. Left to itself the compiler starts so
/// many products at once that sums leave the registers, which costs a third more instructions.
unsafe fn three(g: &Gemm, row: usize) -> [[int32x4_t; 3]; 8] {
    // SAFETY: NEON is part of every aarch64. `Gemm` promises three rows of `groups · 16` inputs, and
    // 128 weights a group; a product has at least one group.
    unsafe {
        let mut sums = [[vdupq_n_s32(0); 3]; 8];
        let a = g.a.add(row * g.lda);
        asm!(
            "movi v8.2d, #0",
            "movi v9.2d, #0",
            "movi v10.2d, #0",
            "movi v11.2d, #0",
            "movi v12.2d, #0",
            "movi v13.2d, #0",
            "movi v14.2d, #0",
            "movi v15.2d, #0",
            "movi v16.2d, #0",
            "movi v17.2d, #0",
            "movi v18.2d, #0",
            "movi v19.2d, #0",
            "movi v20.2d, #0",
            "movi v21.2d, #0",
            "movi v22.2d, #0",
            "movi v23.2d, #0",
            "movi v24.2d, #0",
            "movi v25.2d, #0",
            "movi v26.2d, #0",
            "movi v27.2d, #0",
            "movi v28.2d, #0",
            "movi v29.2d, #0",
            "movi v30.2d, #0",
            "movi v31.2d, #0",
            "2:",
            "ldr q0, [{a0}], #16",
            "ldr q1, [{a1}], #16",
            "ldr q2, [{a2}], #16",
            "ldp q3, q4, [{w}], #32",
            channel!("v3", "v8", "v9", "v10"),
            channel!("v4", "v11", "v12", "v13"),
            "ldp q3, q4, [{w}], #32",
            channel!("v3", "v14", "v15", "v16"),
            channel!("v4", "v17", "v18", "v19"),
            "ldp q3, q4, [{w}], #32",
            channel!("v3", "v20", "v21", "v22"),
            channel!("v4", "v23", "v24", "v25"),
            "ldp q3, q4, [{w}], #32",
            channel!("v3", "v26", "v27", "v28"),
            "subs {groups}, {groups}, #1",
            channel!("v4", "v29", "v30", "v31"),
            "b.ne 2b",
            a0 = inout(reg) a => _,
            a1 = inout(reg) a.add(g.lda) => _,
            a2 = inout(reg) a.add(2 * g.lda) => _,
            w = inout(reg) g.w => _,
            groups = inout(reg) g.groups => _,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            out("v8") sums[0][0],
            out("v9") sums[0][1],
            out("v10") sums[0][2],
            out("v11") sums[1][0],
            out("v12") sums[1][1],
            out("v13") sums[1][2],
            out("v14") sums[2][0],
            out("v15") sums[2][1],
            out("v16") sums[2][2],
            out("v17") sums[3][0],
            out("v18") sums[3][1],
            out("v19") sums[3][2],
            out("v20") sums[4][0],
            out("v21") sums[4][1],
            out("v22") sums[4][2],
            out("v23") sums[5][0],
            out("v24") sums[5][1],
            out("v25") sums[5][2],
            out("v26") sums[6][0],
            out("v27") sums[6][1],
            out("v28") sums[6][2],
            out("v29") sums[7][0],
            out("v30") sums[7][1],
            out("v31") sums[7][2],
            options(readonly, nostack),
        );
        sums
    }
}

/// The same of one or two rows.
#[inline(always)]
unsafe fn fewer<const M: usize>(g: &Gemm, row: usize) -> [[int32x4_t; M]; 8] {
    // SAFETY: as above.
    unsafe {
        let mut sums = [[vdupq_n_s32(0); M]; 8];
        let a = g.a.add(row * g.lda).cast::<i8>();
        for group in 0..g.groups {
            for (i, sums) in sums.iter_mut().enumerate() {
                let w = vld1q_s8(g.w.add(128 * group + 16 * i));
                for (m, sum) in sums.iter_mut().enumerate() {
                    let a = vld1q_s8(a.add(m * g.lda + 16 * group));
                    let products = vmull_s8(vget_low_s8(a), vget_low_s8(w));
                    *sum = vpadalq_s16(*sum, vmlal_high_s8(products, a, w));
                }
            }
        }
        sums
    }
}

/// What becomes of the sums of `M` rows from `row` on.
#[inline(always)]
unsafe fn finish<const M: usize>(g: &Gemm, row: usize, sums: [[int32x4_t; M]; 8]) {
    // SAFETY: `Gemm` promises the rows, and a block of eight channels.
    unsafe {
        let bias = [vld1q_s32(g.bias), vld1q_s32(g.bias.add(4))];
        for m in 0..M {
            let four = |i: usize| {
                let [a, b, c, d] = [sums[i][m], sums[i + 1][m], sums[i + 2][m], sums[i + 3][m]];
                vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d))
            };
            let sums = [vaddq_s32(four(0), bias[0]), vaddq_s32(four(4), bias[1])];
            store::two(g, row + m, sums, 128);
        }
    }
}
