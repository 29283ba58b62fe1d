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

    columns::dot!(
        "sdot",
        "movi v17.16b, #128",
        "eor v16.16b, v16.16b, v17.16b",
        "eor v8.16b, v8.16b, v17.16b"
    );
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

/// Rows of a tile, by vectors of channels: as many sums as leave registers for inputs and weights. Of four
/// vectors six rows would fit, but with two vectors of weights at a time; five, of which maps of 25, 100
/// and 400 pixels are made up, take fewer instructions.
const ROWS: [usize; 4] = [0, 8, 8, 7];

#[target_feature(enable = "neon,dotprod")]
unsafe fn gemm(g: &Gemm) {
    let vectors = g.width / 4;
    if vectors < 4 {
        for (row, rows) in g.tiles(ROWS[vectors]) {
            // SAFETY: rows and block are as `Gemm` promises.
            unsafe { with_shape!(rows, vectors, tile(g, row)) }
        }
        return;
    }
    let mut row = 0;
    while row + 5 <= g.rows {
        // SAFETY: as above.
        unsafe { store::rows(g, row, five(g, row), 128) };
        row += 5;
    }
    if row < g.rows {
        // SAFETY: as above.
        unsafe { with_shape!(@ g.rows - row, 4, tile(g, row)) }
    }
}

/// The products of five rows, in `v0` to `v4`, with a group of 16 channels' weights.
macro_rules! products {
    (@ $lane:literal $($w:literal $s0:literal $s1:literal $s2:literal $s3:literal $s4:literal),*) => {
        concat!($(
            "sdot ", $s0, ".4s, ", $w, ".16b, v0.4b[", $lane, "]\n",
            "sdot ", $s1, ".4s, ", $w, ".16b, v1.4b[", $lane, "]\n",
            "sdot ", $s2, ".4s, ", $w, ".16b, v2.4b[", $lane, "]\n",
            "sdot ", $s3, ".4s, ", $w, ".16b, v3.4b[", $lane, "]\n",
            "sdot ", $s4, ".4s, ", $w, ".16b, v4.4b[", $lane, "]\n",
        )*)
    };
    ($lane:literal) => {
        concat!(
            "ld1 {{v8.16b-v11.16b}}, [{w}], #64\n",
            products!(@ $lane
                "v8" "v12" "v16" "v20" "v24" "v28",
                "v9" "v13" "v17" "v21" "v25" "v29",
                "v10" "v14" "v18" "v22" "v26" "v30",
                "v11" "v15" "v19" "v23" "v27" "v31"
            ),
        )
    };
}

/// The sums of five rows and 16 channels. The compiler loads weights by two vectors where four can be
/// loaded.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn five(g: &Gemm, row: usize) -> [[int32x4_t; 4]; 5] {
    let mut sums = [[vdupq_n_s32(0); 4]; 5];
    // SAFETY: `Gemm` promises five rows of `groups · 4` inputs, and 64 weights a group.
    unsafe {
        let a = g.a.add(row * g.lda);
        asm!(
            "ld1 {{v12.4s-v15.4s}}, [{bias}]",
            "ld1 {{v16.4s-v19.4s}}, [{bias}]",
            "ld1 {{v20.4s-v23.4s}}, [{bias}]",
            "ld1 {{v24.4s-v27.4s}}, [{bias}]",
            "ld1 {{v28.4s-v31.4s}}, [{bias}]",
            "cbz {fours}, 3f",
            "2:",
            "ldr q0, [{a0}], #16",
            "ldr q1, [{a1}], #16",
            "ldr q2, [{a2}], #16",
            "ldr q3, [{a3}], #16",
            "ldr q4, [{a4}], #16",
            products!("0"),
            products!("1"),
            products!("2"),
            "subs {fours}, {fours}, #1",
            products!("3"),
            "b.ne 2b",
            "3:",
            "cbz {rest}, 5f",
            "4:",
            "ldr s0, [{a0}], #4",
            "ldr s1, [{a1}], #4",
            "ldr s2, [{a2}], #4",
            "ldr s3, [{a3}], #4",
            "ldr s4, [{a4}], #4",
            "subs {rest}, {rest}, #1",
            products!("0"),
            "b.ne 4b",
            "5:",
            a0 = inout(reg) a => _,
            a1 = inout(reg) a.add(g.lda) => _,
            a2 = inout(reg) a.add(2 * g.lda) => _,
            a3 = inout(reg) a.add(3 * g.lda) => _,
            a4 = inout(reg) a.add(4 * g.lda) => _,
            w = inout(reg) g.w => _,
            bias = in(reg) g.bias,
            fours = inout(reg) g.groups / 4 => _,
            rest = inout(reg) g.groups % 4 => _,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _,
            out("v8") _, out("v9") _, out("v10") _, out("v11") _,
            out("v12") sums[0][0],
            out("v13") sums[0][1],
            out("v14") sums[0][2],
            out("v15") sums[0][3],
            out("v16") sums[1][0],
            out("v17") sums[1][1],
            out("v18") sums[1][2],
            out("v19") sums[1][3],
            out("v20") sums[2][0],
            out("v21") sums[2][1],
            out("v22") sums[2][2],
            out("v23") sums[2][3],
            out("v24") sums[3][0],
            out("v25") sums[3][1],
            out("v26") sums[3][2],
            out("v27") sums[3][3],
            out("v28") sums[4][0],
            out("v29") sums[4][1],
            out("v30") sums[4][2],
            out("v31") sums[4][3],
            options(readonly, nostack),
        );
    }
    sums
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
