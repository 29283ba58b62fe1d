//! NEON with matrix products: `usmmla` multiplies two rows of eight inputs by the eight weights of each
//! of two channels and adds to four sums: 32 multiplications. `usdot` is its dot product, for depthwise
//! convolutions. Their intrinsics are not stable in Rust yet, so they are written as assembly.

use super::{
    columns::{self, Column, Dot},
    store,
};
use crate::table::{Depthwise, Gemm, Layout, Prepare, Table, Target};
use std::arch::{aarch64::*, asm};

pub(super) static TABLE: Table = Table {
    name: "neoni8mm",
    layout: Layout { block: 8, step: 8, group: 8, channel: |_, place| place },
    offset: 0,
    lifts: true,
    prepare: Some(Prepare { size: 1, rows: 2, run: interleave }),
    gemm: |g| {
        // SAFETY: this table is chosen only where the processor has matrix products.
        unsafe { gemm(g) }
    },
    depthwise_pack: columns::pack,
    depthwise_channel: |place| place,
    depthwise: |d| {
        // SAFETY: as above.
        unsafe { depthwise(d) }
    },
};

#[target_feature(enable = "neon,i8mm")]
unsafe fn depthwise(d: &Depthwise) {
    // SAFETY: the caller's.
    unsafe { columns::row::<Mixed>(d) }
}

struct Mixed;

impl Dot for Mixed {
    const FLIP: u8 = 0;

    columns::dot!("usdot", "", "", "");
}

/// Adds the products of two rows of `a` and two channels of `w`: row 0 by both, row 1 by both.
#[inline]
#[target_feature(enable = "neon,i8mm")]
fn product(mut sums: int32x4_t, a: uint8x16_t, w: int8x16_t) -> int32x4_t {
    // SAFETY: an instruction on registers, which the processor has.
    unsafe {
        asm!(
            "usmmla {sums:v}.4s, {a:v}.16b, {w:v}.16b",
            sums = inout(vreg) sums,
            a = in(vreg) a,
            w = in(vreg) w,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

/// Rows of a tile: with 8 channels 20 sums, which leave registers for inputs and weights. Maps of 100 and
/// of 400 pixels come out even.
const ROWS: usize = 10;

/// Makes tiles of rows: 16 inputs of every pair of rows, then the next 16. Those of a pair are eight of the
/// one row, eight of the other, twice.
unsafe fn interleave(from: *const u8, to: *mut u8, rows: usize, bytes: usize) {
    for row in (0..rows).step_by(ROWS) {
        let pairs = (rows - row).min(ROWS).div_ceil(2);
        for pair in 0..pairs {
            // SAFETY: `Prepare` promises one row more than there are, and whole 16s in each.
            unsafe {
                let from = from.add((row + 2 * pair) * bytes);
                asm!(
                    "2:",
                    "ldr q0, [{first}], #16",
                    "ldr q1, [{second}], #16",
                    "subs {sixteens}, {sixteens}, #1",
                    "st2 {{v0.2d-v1.2d}}, [{to}], {step}",
                    "b.ne 2b",
                    first = inout(reg) from => _,
                    second = inout(reg) from.add(bytes) => _,
                    to = inout(reg) to.add(row * bytes + 32 * pair) => _,
                    step = in(reg) 32 * pairs,
                    sixteens = inout(reg) bytes / 16 => _,
                    out("v0") _, out("v1") _,
                    options(nostack),
                );
            }
        }
    }
}

/// What becomes of the sums of a block, each number twice: as the sums of two rows lie.
struct Twice {
    bias: [int32x4_t; 4],
    scale: [int32x4_t; 4],
    lift: [int32x4_t; 4],
}

/// Eight numbers of 32 bits, each two of them twice.
///
/// # Safety
/// They may be read.
#[inline(always)]
unsafe fn twice<T>(numbers: *const T) -> [int32x4_t; 4] {
    // SAFETY: the caller's.
    let [low, high] = [0, 4].map(|at| unsafe { vld1q_s64(numbers.add(at).cast()) });
    // SAFETY: NEON is part of every aarch64.
    unsafe {
        [
            vreinterpretq_s32_s64(vdupq_laneq_s64::<0>(low)),
            vreinterpretq_s32_s64(vdupq_laneq_s64::<1>(low)),
            vreinterpretq_s32_s64(vdupq_laneq_s64::<0>(high)),
            vreinterpretq_s32_s64(vdupq_laneq_s64::<1>(high)),
        ]
    }
}

#[target_feature(enable = "neon,i8mm")]
unsafe fn gemm(g: &Gemm) {
    // SAFETY: a block has eight channels; rows and block are as `Gemm` promises.
    unsafe {
        let numbers = Twice {
            bias: twice(g.bias),
            scale: twice(g.scale),
            lift: twice(g.lift.unwrap_or(g.scale)),
        };
        let mut row = 0;
        if let Target::Bytes { to, step, .. } = g.out
            && g.channels == 8
            && g.lift.is_some()
        {
            while row + ROWS <= g.rows {
                bytes(to.add(row * step), step, &numbers, &five(g, &numbers, row));
                row += ROWS;
            }
        }
        while row < g.rows {
            let rows = (g.rows - row).min(ROWS);
            match rows.div_ceil(2) {
                1 => store(g, row, rows, &fewer::<1>(g, &numbers, row)),
                2 => store(g, row, rows, &fewer::<2>(g, &numbers, row)),
                3 => store(g, row, rows, &fewer::<3>(g, &numbers, row)),
                4 => store(g, row, rows, &fewer::<4>(g, &numbers, row)),
                _ => store(g, row, rows, &five(g, &numbers, row)),
            }
            row += rows;
        }
    }
}

/// The products of pairs of rows with a group of eight channels' weights, in `v0` to `v3` or `v4` to `v7`.
macro_rules! products {
    ($w0:literal $w1:literal $w2:literal $w3:literal
     $($a:literal $s0:literal $s1:literal $s2:literal $s3:literal),*) => {
        concat!($(
            "usmmla ", $s0, ".4s, ", $a, ".16b, ", $w0, ".16b\n",
            "usmmla ", $s1, ".4s, ", $a, ".16b, ", $w1, ".16b\n",
            "usmmla ", $s2, ".4s, ", $a, ".16b, ", $w2, ".16b\n",
            "usmmla ", $s3, ".4s, ", $a, ".16b, ", $w3, ".16b\n",
        )*)
    };
}

/// The products of one pair of rows with both groups of 16 inputs.
macro_rules! pair {
    ($first:literal $second:literal, $s0:literal $s1:literal $s2:literal $s3:literal) => {
        concat!(
            products!("v0" "v1" "v2" "v3" $first $s0 $s1 $s2 $s3),
            products!("v4" "v5" "v6" "v7" $second $s0 $s1 $s2 $s3),
        )
    };
}

/// Those of the first four pairs, whose inputs and weights are loaded.
macro_rules! four_pairs {
    () => {
        concat!(
            "ld1 {{v8.16b-v11.16b}}, [{a}], #64\n",
            pair!("v8" "v9", "v12" "v13" "v14" "v15"),
            pair!("v10" "v11", "v16" "v17" "v18" "v19"),
            "ld1 {{v8.16b-v11.16b}}, [{a}], #64\n",
            pair!("v8" "v9", "v20" "v21" "v22" "v23"),
            pair!("v10" "v11", "v24" "v25" "v26" "v27"),
        )
    };
}

/// The sums of five pairs of rows. Left to itself the compiler loads so many inputs at once that they
/// leave the registers, and loads by two vectors where four can be loaded.
#[inline]
#[target_feature(enable = "neon,i8mm")]
unsafe fn five(g: &Gemm, numbers: &Twice, row: usize) -> [[int32x4_t; 4]; 5] {
    let mut sums = [[vdupq_n_s32(0); 4]; 5];
    // SAFETY: `Gemm` promises ten rows as `interleave` made them, and 64 weights a group.
    unsafe {
        asm!(
            "ld1 {{v12.4s-v15.4s}}, [{bias}]",
            "ld1 {{v16.4s-v19.4s}}, [{bias}]",
            "ld1 {{v20.4s-v23.4s}}, [{bias}]",
            "ld1 {{v24.4s-v27.4s}}, [{bias}]",
            "ld1 {{v28.4s-v31.4s}}, [{bias}]",
            "cbz {fours}, 3f",
            // 32 inputs: the fifth pair's of the first 16 are loaded with the first pair's of the others.
            "2:",
            "ld1 {{v0.16b-v3.16b}}, [{w}], #64",
            "ld1 {{v4.16b-v7.16b}}, [{w}], #64",
            four_pairs!(),
            "ld1 {{v8.16b-v11.16b}}, [{a}], #64",
            "subs {fours}, {fours}, #1",
            pair!("v8" "v9", "v28" "v29" "v30" "v31"),
            "ld1 {{v0.16b-v3.16b}}, [{w}], #64",
            "ld1 {{v4.16b-v7.16b}}, [{w}], #64",
            pair!("v10" "v11", "v12" "v13" "v14" "v15"),
            "ld1 {{v8.16b-v11.16b}}, [{a}], #64",
            pair!("v8" "v9", "v16" "v17" "v18" "v19"),
            pair!("v10" "v11", "v20" "v21" "v22" "v23"),
            "ld1 {{v8.16b-v11.16b}}, [{a}], #64",
            pair!("v8" "v9", "v24" "v25" "v26" "v27"),
            pair!("v10" "v11", "v28" "v29" "v30" "v31"),
            "b.ne 2b",
            "3:",
            "tbz {rest}, #1, 4f",
            "ld1 {{v0.16b-v3.16b}}, [{w}], #64",
            "ld1 {{v4.16b-v7.16b}}, [{w}], #64",
            four_pairs!(),
            "ldp q8, q9, [{a}], #32",
            pair!("v8" "v9", "v28" "v29" "v30" "v31"),
            "4:",
            // Eight inputs, beside which lie eight that are none.
            "tbz {rest}, #0, 5f",
            "ld1 {{v0.16b-v3.16b}}, [{w}]",
            "ldr q4, [{a}]",
            "ldr q5, [{a}, #32]",
            "ldr q6, [{a}, #64]",
            "ldr q7, [{a}, #96]",
            "ldr q8, [{a}, #128]",
            products!("v0" "v1" "v2" "v3"
                "v4" "v12" "v13" "v14" "v15",
                "v5" "v16" "v17" "v18" "v19",
                "v6" "v20" "v21" "v22" "v23",
                "v7" "v24" "v25" "v26" "v27",
                "v8" "v28" "v29" "v30" "v31"
            ),
            "5:",
            a = inout(reg) g.a.add(row * g.lda) => _,
            w = inout(reg) g.w => _,
            bias = in(reg) numbers.bias.as_ptr(),
            fours = inout(reg) g.groups / 4 => _,
            rest = in(reg) g.groups % 4,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            out("v4") _, out("v5") _, out("v6") _, out("v7") _,
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

/// The same of fewer.
#[target_feature(enable = "neon,i8mm")]
unsafe fn fewer<const P: usize>(g: &Gemm, numbers: &Twice, row: usize) -> [[int32x4_t; 4]; P] {
    // SAFETY: as above.
    unsafe {
        let mut sums = [numbers.bias; P];
        let mut add = |a: *const u8, w: *const i8| {
            for (p, sums) in sums.iter_mut().enumerate() {
                let inputs = vld1q_u8(a.add(32 * p));
                for (v, sum) in sums.iter_mut().enumerate() {
                    *sum = product(*sum, inputs, vld1q_s8(w.add(16 * v)));
                }
            }
        };
        let (mut a, mut w) = (g.a.add(row * g.lda), g.w);
        for _ in 0..g.groups / 2 {
            add(a, w);
            add(a.add(16), w.add(64));
            (a, w) = (a.wrapping_add(32 * P), w.wrapping_add(128));
        }
        if g.groups % 2 == 1 {
            add(a, w);
        }
        sums
    }
}

/// Which words of four vectors are the first row's; the second's come 8 bytes later.
static FIRST: [u8; 16] = [0, 1, 4, 5, 16, 17, 20, 21, 32, 33, 36, 37, 48, 49, 52, 53];

/// Five pairs of rows of eight bytes, whose sums are lifted.
#[inline]
#[target_feature(enable = "neon,i8mm")]
unsafe fn bytes(mut to: *mut u8, step: usize, numbers: &Twice, sums: &[[int32x4_t; 4]; 5]) {
    // SAFETY: the caller's: ten rows may be written.
    unsafe {
        let scale = store::load::<4>(numbers.scale.as_ptr().cast());
        let first = vld1q_u8(FIRST.as_ptr());
        let second = vaddq_u8(first, vdupq_n_u8(8));
        for sums in sums {
            let lift: [float32x4_t; 4] = store::four!(numbers.lift.as_ptr(), "v0" "v1" "v2" "v3");
            let steps = uint8x16x4_t(
                store::lowered(sums[0], scale[0], lift[0]),
                store::lowered(sums[1], scale[1], lift[1]),
                store::lowered(sums[2], scale[2], lift[2]),
                store::lowered(sums[3], scale[3], lift[3]),
            );
            let words = |row| vreinterpretq_u16_u8(vqtbl4q_u8(steps, row));
            let bytes = vqmovn_high_u16(vqmovn_u16(words(first)), words(second));
            asm!(
                "st1 {{{bytes:v}.d}}[0], [{to}], {step}",
                "st1 {{{bytes:v}.d}}[1], [{to}], {step}",
                bytes = in(vreg) bytes,
                to = inout(reg) to,
                step = in(reg) step,
                options(nostack, preserves_flags),
            );
        }
    }
}

/// What becomes of the sums of `rows` rows, one less than there are sums of where they are odd.
#[inline(never)]
unsafe fn store<const P: usize>(g: &Gemm, row: usize, rows: usize, sums: &[[int32x4_t; 4]; P]) {
    for (i, row) in (row..row + rows).enumerate() {
        // SAFETY: `Gemm` promises the rows, and a block of eight channels.
        unsafe {
            let [a, b, c, d] = sums[i / 2].map(|sums| vreinterpretq_s64_s32(sums));
            let [low, high] = match i % 2 {
                0 => [vzip1q_s64(a, b), vzip1q_s64(c, d)],
                _ => [vzip2q_s64(a, b), vzip2q_s64(c, d)],
            };
            store::two(g, row, [vreinterpretq_s32_s64(low), vreinterpretq_s32_s64(high)], 0);
        }
    }
}
