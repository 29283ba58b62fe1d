//! NEON of ARMv7: as on 64-bit ARM two products of bytes are added in 16 bits (`vmull`, `vmlal`), and
//! pairs of those to 32-bit sums (`vpadal`): 16 multiplications in three instructions. 16 registers hold
//! two rows by four channels.
//!
//! Only signed bytes can be multiplied, so maps hold bytes less 128, which `Table::offset` makes good.

use super::{Cut, depthwise};
use crate::{
    conv::requantize,
    table::{Gemm, Layout, Table, Target},
};
use std::{arch::naked_asm, mem::offset_of};

pub(super) static TABLE: Table = Table {
    name: "neon32",
    layout: Layout { block: 4, step: 4, group: 16, channel: |_, place| place },
    offset: 128,
    lifts: false,
    prepare: None,
    gemm,
    depthwise_pack: depthwise::pack,
    depthwise_channel: |place| place,
    depthwise: depthwise::row,
};

/// Pairs of rows of one block of channels, in the order in which assembly loads it.
#[repr(C)]
struct Rows {
    /// Sums of the first row's channels to begin with, four parts each, and of the second's.
    start: [[[i32; 4]; 4]; 2],
    scale: [f32; 4],
    cut: Cut,
    a: *const u8,
    lda: usize,
    w: *const i8,
    groups: usize,
    out: *mut u8,
    /// Bytes from one row's outputs to the next's.
    step: usize,
    /// 1 or more.
    pairs: usize,
}

unsafe fn gemm(g: &Gemm) {
    let range = if let Target::Bytes { range, .. } = g.out { range } else { [0, 0, 255] };
    // SAFETY: `Gemm` promises a whole block of numbers, rows that may be read and written, and a product
    // has at least one group and one row. The last of an odd number of rows makes a pair with itself.
    unsafe {
        let four = [0, 1, 2, 3];
        let start = four.map(|channel| [*g.bias.add(channel), 0, 0, 0]);
        let mut rows = Rows {
            start: [start; 2],
            scale: four.map(|channel| *g.scale.add(channel)),
            cut: Cut::new(range),
            a: g.a,
            lda: g.lda,
            w: g.w,
            groups: g.groups,
            out: std::ptr::null_mut(),
            step: 0,
            pairs: 1,
        };
        match g.out {
            Target::Bytes { to, step, .. } if g.channels == 4 => {
                if g.rows >= 2 {
                    (rows.out, rows.step, rows.pairs) = (to, step, g.rows / 2);
                    bytes(&rows);
                }
                if g.rows % 2 == 1 {
                    let last = g.rows - 1;
                    (rows.a, rows.lda) = (g.a.add(last * g.lda), 0);
                    (rows.out, rows.step, rows.pairs) = (to.add(last * step), 0, 1);
                    bytes(&rows);
                }
            }
            _ => few(g, &mut rows),
        }
    }
}

/// Floats, and blocks that are not full: rare, so only the sums are made by SIMD.
unsafe fn few(g: &Gemm, rows: &mut Rows) {
    for row in (0..g.rows).step_by(2) {
        let mut all = [0i32; 8];
        let there = (g.rows - row).min(2);
        // SAFETY: as above, and room for the sums of two rows.
        unsafe {
            rows.a = g.a.add(row * g.lda);
            rows.lda = if there == 2 { g.lda } else { 0 };
            rows.out = all.as_mut_ptr().cast();
            sums(rows);
            for (row, sums) in (row..row + there).zip(all.chunks_exact(4)) {
                for (channel, &sum) in sums.iter().enumerate().take(g.channels) {
                    let scale = *g.scale.add(channel);
                    match g.out {
                        Target::Bytes { to, step, range } => {
                            *to.add(row * step + channel) = requantize(sum, scale, range) ^ 128;
                        }
                        Target::Floats { to, step } => {
                            *to.add(row * step + channel) = sum as f32 * scale;
                        }
                    }
                }
            }
        }
    }
}

/// Products of two rows and two channels' weights, added to their four sums, and `load` before the last
/// of it, when neither rows nor weights are needed any more. Four at once keep an A53 busy, which does
/// instructions in order and waits four cycles for a product.
macro_rules! products {
    ($s0:literal, $s1:literal, $s2:literal, $s3:literal, $load:literal) => {
        concat!(
            "vmull.s8 q4, d0, d4\n",
            "vmull.s8 q5, d2, d4\n",
            "vmull.s8 q6, d0, d6\n",
            "vmull.s8 q7, d2, d6\n",
            "vmlal.s8 q4, d1, d5\n",
            "vmlal.s8 q5, d3, d5\n",
            "vmlal.s8 q6, d1, d7\n",
            "vmlal.s8 q7, d3, d7\n",
            $load,
            "\n",
            "vpadal.s16 ",
            $s0,
            ", q4\n",
            "vpadal.s16 ",
            $s1,
            ", q5\n",
            "vpadal.s16 ",
            $s2,
            ", q6\n",
            "vpadal.s16 ",
            $s3,
            ", q7\n",
        )
    };
}

/// A group of 16 inputs: of rows at `r4` and `r5` with the weights at `r6`.
macro_rules! group {
    () => {
        concat!(
            "vld1.8 {{d0-d1}}, [r4]!\n",
            "vld1.8 {{d4-d7}}, [r6]!\n",
            "vld1.8 {{d2-d3}}, [r5]!\n",
            products!("q8", "q12", "q9", "q13", "vld1.8 {{d4-d7}}, [r6]!"),
            products!("q10", "q14", "q11", "q15", ""),
        )
    };
}

/// The sums of two rows at `r1`, `r2` bytes apart, in `q0` and `q1`: from those at `r0` on, with `r8` groups
/// of weights at `r3`. Moves `r1` on to the next two. Two groups a turn; an odd number begins with the second.
macro_rules! pair {
    () => {
        concat!(
            "mov r4, r1\n",
            "add r5, r1, r2\n",
            "add r1, r1, r2, lsl #1\n",
            "mov r6, r3\n",
            "mov r7, r8\n",
            "vldmia r0, {{d16-d31}}\n",
            "tst r8, #1\n",
            "bne 4f\n",
            "3:\n",
            group!(),
            "4:\n",
            group!(),
            "subs r7, r7, #2\n",
            "bgt 3b\n",
            "vpadd.i32 d0, d16, d17\n",
            "vpadd.i32 d1, d18, d19\n",
            "vpadd.i32 d2, d20, d21\n",
            "vpadd.i32 d3, d22, d23\n",
            "vpadd.i32 d4, d24, d25\n",
            "vpadd.i32 d5, d26, d27\n",
            "vpadd.i32 d6, d28, d29\n",
            "vpadd.i32 d7, d30, d31\n",
            "vpadd.i32 d0, d0, d1\n",
            "vpadd.i32 d1, d2, d3\n",
            "vpadd.i32 d2, d4, d5\n",
            "vpadd.i32 d3, d6, d7\n",
        )
    };
}

/// The bytes of pairs of rows.
///
/// # Safety
/// The processor has NEON; what [`Gemm`] promises, for full blocks and as many rows.
#[unsafe(naked)]
unsafe extern "C" fn bytes(rows: &Rows) {
    naked_asm!(
        ".fpu neon",
        "push {{r4-r11, lr}}",
        "vpush {{d8-d15}}",
        "add r12, r0, #{scale}",
        "add lr, r0, #{a}",
        "ldm lr, {{r1-r3, r8-r11}}",
        "2:",
        pair!(),
        "vldmia r12, {{d8-d15}}",
        "vcvt.f32.s32 q0, q0",
        "vcvt.f32.s32 q1, q1",
        "vmul.f32 q0, q0, q4",
        "vmul.f32 q1, q1, q4",
        "vadd.f32 q0, q0, q5",
        "vadd.f32 q1, q1, q5",
        "vqadd.s32 q0, q0, q6",
        "vqadd.s32 q1, q1, q6",
        "vqmovn.s32 d0, q0",
        "vqmovn.s32 d1, q1",
        "vqmovn.s16 d0, q0",
        "vmax.s8 d0, d0, d14",
        "vmin.s8 d0, d0, d15",
        "vst1.32 {{d0[0]}}, [r9], r10",
        "vst1.32 {{d0[1]}}, [r9], r10",
        "subs r11, r11, #1",
        "bne 2b",
        "vpop {{d8-d15}}",
        "pop {{r4-r11, pc}}",
        scale = const offset_of!(Rows, scale),
        a = const offset_of!(Rows, a),
    );
}

/// The sums of one pair of rows, eight i32.
///
/// # Safety
/// As [`bytes`], but for what is written.
#[unsafe(naked)]
unsafe extern "C" fn sums(rows: &Rows) {
    naked_asm!(
        ".fpu neon",
        "push {{r4-r11, lr}}",
        "vpush {{d8-d15}}",
        "add lr, r0, #{a}",
        "ldm lr, {{r1-r3, r8-r11}}",
        pair!(),
        "vst1.32 {{d0-d3}}, [r9]",
        "vpop {{d8-d15}}",
        "pop {{r4-r11, pc}}",
        a = const offset_of!(Rows, a),
    );
}
