//! NEON without dot products: two products of bytes are added in 16 bits (`smull`, `smlal2`), and pairs
//! of those to 32-bit sums (`sadalp`): 16 multiplications in three instructions.
//!
//! Only signed bytes can be multiplied, so maps hold bytes less 128, which `Table::offset` makes good.

use super::{depthwise, store};
use crate::table::{Gemm, Layout, Table, Target};
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
    let mut from = 0;
    if let Target::Bytes { to, step, .. } = g.out
        && let Some(lift) = g.lift
        && g.channels == 8
    {
        while from + ROWS <= g.rows {
            // SAFETY: rows and block are as `Gemm` promises.
            unsafe { bytes(g, to.add(from * step), step, lift, three(g, from)) };
            from += ROWS;
        }
    }
    while from < g.rows {
        // SAFETY: as above.
        unsafe {
            if from + ROWS <= g.rows {
                finish(g, from, three(g, from));
                from += ROWS;
            } else {
                finish(g, from, one(g, from).map(|sum| [sum]));
                from += 1;
            }
        }
    }
}

/// Three products of a vector of weights, added to their sums by `$add`.
macro_rules! channel {
    ($add:literal, $w:literal, $s0:literal, $s1:literal, $s2:literal) => {
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
            $add,
            $s0,
            ".4s, v5.8h\n",
            $add,
            $s1,
            ".4s, v6.8h\n",
            $add,
            $s2,
            ".4s, v7.8h\n",
        )
    };
}

/// A group of three rows and eight channels, and what counts those that are left.
macro_rules! group {
    ($add:literal, $count:literal) => {
        concat!(
            "ldr q0, [{a0}], #16\n",
            "ldr q1, [{a1}], #16\n",
            "ldr q2, [{a2}], #16\n",
            "ldp q3, q4, [{w}], #32\n",
            channel!($add, "v3", "v8", "v9", "v10"),
            channel!($add, "v4", "v11", "v12", "v13"),
            "ldp q3, q4, [{w}], #32\n",
            channel!($add, "v3", "v14", "v15", "v16"),
            channel!($add, "v4", "v17", "v18", "v19"),
            "ldp q3, q4, [{w}], #32\n",
            channel!($add, "v3", "v20", "v21", "v22"),
            channel!($add, "v4", "v23", "v24", "v25"),
            "ldp q3, q4, [{w}], #32\n",
            channel!($add, "v3", "v26", "v27", "v28"),
            $count,
            "\n",
            channel!($add, "v4", "v29", "v30", "v31"),
        )
    };
}

/// The sums of three rows and eight channels, in four parts each. Left to itself the compiler starts so
/// many products at once that sums leave the registers, which costs a third more instructions. The first
/// group's products are the sums' beginning, so that none begins at 0.
#[inline(always)]
unsafe fn three(g: &Gemm, row: usize) -> [[int32x4_t; 3]; 8] {
    // SAFETY: NEON is part of every aarch64. `Gemm` promises three rows of `groups · 16` inputs, and
    // 128 weights a group; a product has at least one group.
    unsafe {
        let mut sums = [[vdupq_n_s32(0); 3]; 8];
        let a = g.a.add(row * g.lda);
        asm!(
            group!("saddlp ", "sub {groups}, {groups}, #1"),
            "tbz {groups}, #0, 2f",
            group!("sadalp ", "sub {groups}, {groups}, #1"),
            "2:",
            "cbz {groups}, 4f",
            "3:",
            group!("sadalp ", ""),
            group!("sadalp ", "subs {groups}, {groups}, #2"),
            "b.ne 3b",
            "4:",
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

/// Three rows of eight bytes, whose sums are lifted, left in the registers where [`three`] has them. The
/// compiler keeps them on the stack meanwhile, and makes three instructions of each two `addp`.
#[inline(always)]
unsafe fn bytes(g: &Gemm, to: *mut u8, step: usize, lift: *const f32, sums: [[int32x4_t; 3]; 8]) {
    // SAFETY: `Gemm` promises the numbers of eight channels, and three rows that may be written.
    unsafe {
        asm!(
            // Halves of eight sums, then all of them, row by row.
            "addp v8.4s, v8.4s, v11.4s",
            "addp v9.4s, v9.4s, v12.4s",
            "addp v10.4s, v10.4s, v13.4s",
            "addp v14.4s, v14.4s, v17.4s",
            "addp v15.4s, v15.4s, v18.4s",
            "addp v16.4s, v16.4s, v19.4s",
            "addp v20.4s, v20.4s, v23.4s",
            "addp v21.4s, v21.4s, v24.4s",
            "addp v22.4s, v22.4s, v25.4s",
            "addp v26.4s, v26.4s, v29.4s",
            "addp v27.4s, v27.4s, v30.4s",
            "addp v28.4s, v28.4s, v31.4s",
            "ldp q0, q1, [{bias}]",
            "addp v8.4s, v8.4s, v14.4s",
            "addp v9.4s, v9.4s, v15.4s",
            "addp v10.4s, v10.4s, v16.4s",
            "ldp q2, q3, [{scale}]",
            "addp v20.4s, v20.4s, v26.4s",
            "addp v21.4s, v21.4s, v27.4s",
            "addp v22.4s, v22.4s, v28.4s",
            "ldp q4, q5, [{lift}]",
            "add v8.4s, v8.4s, v0.4s",
            "add v9.4s, v9.4s, v0.4s",
            "add v10.4s, v10.4s, v0.4s",
            "ldp q6, q7, [{lift}]",
            "add v20.4s, v20.4s, v1.4s",
            "add v21.4s, v21.4s, v1.4s",
            "add v22.4s, v22.4s, v1.4s",
            "ldp q0, q1, [{lift}]",
            "fmla v4.4s, v8.4s, v2.4s",
            "fmla v6.4s, v9.4s, v2.4s",
            "fmla v0.4s, v10.4s, v2.4s",
            "fmla v5.4s, v20.4s, v3.4s",
            "fmla v7.4s, v21.4s, v3.4s",
            "fmla v1.4s, v22.4s, v3.4s",
            "fcvtnu v4.4s, v4.4s",
            "fcvtnu v6.4s, v6.4s",
            "fcvtnu v0.4s, v0.4s",
            "fcvtnu v5.4s, v5.4s",
            "fcvtnu v7.4s, v7.4s",
            "fcvtnu v1.4s, v1.4s",
            "uzp1 v4.8h, v4.8h, v5.8h",
            "uzp1 v6.8h, v6.8h, v7.8h",
            "uzp1 v0.8h, v0.8h, v1.8h",
            "movi v8.16b, #128",
            "uqxtn v4.8b, v4.8h",
            "uqxtn v0.8b, v0.8h",
            "uqxtn2 v4.16b, v6.8h",
            "eor v0.8b, v0.8b, v8.8b",
            "eor v4.16b, v4.16b, v8.16b",
            "st1 {{v4.d}}[0], [{to}], {step}",
            "st1 {{v4.d}}[1], [{to}], {step}",
            "str d0, [{to}]",
            to = inout(reg) to => _,
            step = in(reg) step,
            bias = in(reg) g.bias,
            scale = in(reg) g.scale,
            lift = in(reg) lift,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            inout("v8") sums[0][0] => _,
            inout("v9") sums[0][1] => _,
            inout("v10") sums[0][2] => _,
            in("v11") sums[1][0],
            in("v12") sums[1][1],
            in("v13") sums[1][2],
            inout("v14") sums[2][0] => _,
            inout("v15") sums[2][1] => _,
            inout("v16") sums[2][2] => _,
            in("v17") sums[3][0],
            in("v18") sums[3][1],
            in("v19") sums[3][2],
            inout("v20") sums[4][0] => _,
            inout("v21") sums[4][1] => _,
            inout("v22") sums[4][2] => _,
            in("v23") sums[5][0],
            in("v24") sums[5][1],
            in("v25") sums[5][2],
            inout("v26") sums[6][0] => _,
            inout("v27") sums[6][1] => _,
            inout("v28") sums[6][2] => _,
            in("v29") sums[7][0],
            in("v30") sums[7][1],
            in("v31") sums[7][2],
            options(nostack, preserves_flags),
        );
    }
}

/// The same of one row.
#[inline(always)]
unsafe fn one(g: &Gemm, row: usize) -> [int32x4_t; 8] {
    // SAFETY: as above.
    unsafe {
        let mut sums = [vdupq_n_s32(0); 8];
        let a = g.a.add(row * g.lda).cast::<i8>();
        for group in 0..g.groups {
            let a = vld1q_s8(a.add(16 * group));
            for (i, sum) in sums.iter_mut().enumerate() {
                let w = vld1q_s8(g.w.add(128 * group + 16 * i));
                let products = vmull_s8(vget_low_s8(a), vget_low_s8(w));
                *sum = vpadalq_s16(*sum, vmlal_high_s8(products, a, w));
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
