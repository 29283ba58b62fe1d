//! A row of a depthwise convolution, eight channels at a time: products are added two by two in 16 bits,
//! then to 32-bit sums.

use super::Cut;
use crate::{Conv, table::Depthwise};
use std::{arch::naked_asm, mem::offset_of, ops::Range};

/// `[channels by 8][9 taps][8]`.
pub(super) fn pack(conv: &Conv) -> Vec<i8> {
    let mut packed = Vec::new();
    for first in (0..conv.outputs).step_by(8) {
        for tap in 0..9 {
            let channels = first..first + 8;
            packed.extend(channels.map(|channel| conv.tap(channel, tap / 3, tap % 3)));
        }
    }
    packed
}

/// Outputs next to each other of eight channels, in the order in which assembly loads it.
#[repr(C)]
struct Eight {
    cut: Cut,
    /// The three rows where the first output's window begins.
    rows: [*const u8; 3],
    /// Bytes from column to column.
    step: usize,
    /// Bytes from the last column of a window to where the next one begins.
    back: usize,
    out: *mut u8,
    /// Bytes from output to output.
    out_step: usize,
    bias: *const i32,
    /// 1 or more.
    columns: usize,
    w: *const i8,
    scale: *const f32,
}

impl Eight {
    unsafe fn outputs(
        &mut self,
        rows: [*const u8; 3],
        [step, stride]: [usize; 2],
        out: *mut u8,
        columns: usize,
    ) {
        (self.rows, self.step, self.back) = (rows, step, stride.wrapping_sub(2).wrapping_mul(step));
        (self.out, self.columns) = (out, columns);
        // SAFETY: the caller's.
        unsafe { bytes(self) };
    }
}

pub(super) unsafe fn row(d: &Depthwise) {
    let Range { start, end } = d.inside();
    for first in (0..d.channels).step_by(8) {
        let channels = (d.channels - first).min(8);
        // A vector is written whole, so those that are not full go elsewhere first.
        let (start, end) = if channels == 8 { (start, end) } else { (0, 0) };
        // SAFETY: `Depthwise` promises eight bytes of every column and an output for every column, and
        // weights and numbers for whole blocks of eight.
        unsafe {
            let mut eight = Eight {
                cut: Cut::new(d.range),
                rows: d.rows,
                step: 0,
                back: 0,
                out: d.out,
                out_step: d.out_step,
                bias: d.bias.add(first),
                columns: 0,
                w: d.w.add(first * 9),
                scale: d.scale.add(first),
            };
            let out = d.out.add(first);
            if start < end {
                let column = (start * d.stride - d.left) * d.step + first;
                let rows = d.rows.map(|row| row.add(column));
                let out = out.add(start * d.out_step);
                eight.outputs(rows, [d.step, d.stride], out, end - start);
            }
            for x in (0..start).chain(end..d.columns) {
                let mut window = [[[0u8; 8]; 3]; 3];
                for column in 0..3 {
                    let above = d.column(x * d.stride + column, first);
                    for (row, bytes) in window.iter_mut().zip(above) {
                        row[column] = bytes.cast::<[u8; 8]>().read_unaligned();
                    }
                }
                let rows = [0, 1, 2].map(|row| window[row].as_ptr().cast());
                let mut bytes = [0u8; 8];
                eight.outputs(rows, [8, 1], bytes.as_mut_ptr(), 1);
                out.add(x * d.out_step).copy_from_nonoverlapping(bytes.as_ptr(), channels);
            }
        }
    }
}

/// The outputs' bytes. The nine vectors of weights stay in registers.
///
/// # Safety
/// The processor has NEON; the windows may be read, weights and numbers too, and the outputs written.
#[unsafe(naked)]
unsafe extern "C" fn bytes(eight: &Eight) {
    naked_asm!(
        ".fpu neon",
        "push {{r4-r11, lr}}",
        "vpush {{d8-d15}}",
        "add lr, r0, #{w}",
        "ldm lr, {{r10, r11}}",
        "vld1.8 {{d0-d3}}, [r10]!",
        "vld1.8 {{d4-d7}}, [r10]!",
        "vld1.8 {{d8}}, [r10]",
        "vld1.32 {{d10-d13}}, [r11]",
        "vldmia r0, {{d14-d19}}",
        "add lr, r0, #{rows}",
        "ldm lr, {{r1-r9}}",
        "2:",
        "vld1.8 {{d28}}, [r1], r4",
        "vld1.8 {{d29}}, [r1], r4",
        "vld1.8 {{d30}}, [r1], r5",
        "vld1.8 {{d31}}, [r2], r4",
        "vld1.32 {{d20-d23}}, [r8]",
        "vmull.s8 q12, d28, d0",
        "vld1.8 {{d28}}, [r2], r4",
        "vmull.s8 q13, d30, d2",
        "vld1.8 {{d30}}, [r2], r5",
        "vmlal.s8 q12, d29, d1",
        "vld1.8 {{d29}}, [r3], r4",
        "vmlal.s8 q13, d31, d3",
        "vld1.8 {{d31}}, [r3], r4",
        "vaddw.s16 q10, q10, d24",
        "vaddw.s16 q11, q11, d25",
        "vmull.s8 q12, d28, d4",
        "vld1.8 {{d28}}, [r3], r5",
        "vaddw.s16 q10, q10, d26",
        "vaddw.s16 q11, q11, d27",
        "vmull.s8 q13, d29, d6",
        "vmlal.s8 q12, d30, d5",
        "vmlal.s8 q13, d31, d7",
        "vaddw.s16 q10, q10, d24",
        "vaddw.s16 q11, q11, d25",
        "vmull.s8 q12, d28, d8",
        "vaddw.s16 q10, q10, d26",
        "vaddw.s16 q11, q11, d27",
        "vaddw.s16 q10, q10, d24",
        "vaddw.s16 q11, q11, d25",
        "vcvt.f32.s32 q10, q10",
        "vcvt.f32.s32 q11, q11",
        "vmul.f32 q10, q10, q5",
        "vmul.f32 q11, q11, q6",
        "vadd.f32 q10, q10, q7",
        "vadd.f32 q11, q11, q7",
        "vqadd.s32 q10, q10, q8",
        "vqadd.s32 q11, q11, q8",
        "vqmovn.s32 d20, q10",
        "vqmovn.s32 d21, q11",
        "vqmovn.s16 d20, q10",
        "vmax.s8 d20, d20, d18",
        "vmin.s8 d20, d20, d19",
        "vst1.8 {{d20}}, [r6], r7",
        "subs r9, r9, #1",
        "bne 2b",
        "vpop {{d8-d15}}",
        "pop {{r4-r11, pc}}",
        w = const offset_of!(Eight, w),
        rows = const offset_of!(Eight, rows),
    );
}
