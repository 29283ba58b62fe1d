//! One row of a depthwise convolution by dot products, 16 channels at a time: the three bytes of a column
//! that lie above each other, and one more of weight 0, are one group of four.

use super::store;
use crate::{Conv, table::Depthwise};
use std::arch::aarch64::*;

/// The methods of [`Dot`]. Left to itself the compiler keeps addresses on the stack and loads by two
/// vectors where four can be loaded.
///
/// Where turns are taken, `v0` to `v3` are a column and `v4` to `v7` another; `v8` to `v15` the sums of two
/// outputs, or of one and the weights of column 2; `v16` to `v19` rows as they are loaded, weights that are
/// not kept, and what sums become; `v20` to `v23` the groups, `v24` to `v27` the scale, `v28` to `v31` the
/// weights of column 1.
macro_rules! dot {
    ($dot:literal, $flip:literal, $first:literal, $second:literal) => {
        #[inline(always)]
        unsafe fn dot(sums: &mut [int32x4_t; 4], column: &Column, w: &mut *const i8) {
            // SAFETY: reads the caller's weights; otherwise instructions on registers.
            unsafe {
                std::arch::asm!(
                    "ld1 {{v16.16b-v19.16b}}, [{w}], #64",
                    concat!($dot, " {s0:v}.4s, {c0:v}.16b, v16.16b"),
                    concat!($dot, " {s1:v}.4s, {c1:v}.16b, v17.16b"),
                    concat!($dot, " {s2:v}.4s, {c2:v}.16b, v18.16b"),
                    concat!($dot, " {s3:v}.4s, {c3:v}.16b, v19.16b"),
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

        #[inline(always)]
        unsafe fn twos(t: &columns::Turns, [a, b]: [Column; 2], to: *mut u8) {
            // SAFETY: the caller's.
            unsafe {
                std::arch::asm!(
                    "2:",
                    "ld1 {{v8.4s-v11.4s}}, [{bias}]",
                    "ld1 {{v12.4s-v15.4s}}, [{bias}]",
                    "ld1 {{v16.16b-v19.16b}}, [{w0}]",
                    columns::four_dots!($dot, 8 9 10 11, 0 1 2 3, 16 17 18 19),
                    columns::four_dots!($dot, 12 13 14 15, 4 5 6 7, 16 17 18 19),
                    columns::next!("{p0}" 16 "{p1}" 17 "{p2}" 18, 0 20 1 21 2 22 3 23),
                    columns::four_dots!($dot, 8 9 10 11, 4 5 6 7, 28 29 30 31),
                    columns::four_dots!($dot, 12 13 14 15, 0 1 2 3, 28 29 30 31),
                    columns::next!("{q0}" 16 "{q1}" 17 "{q2}" 18, 4 20 5 21 6 22 7 23),
                    "ld1 {{v16.16b-v19.16b}}, [{w2}]",
                    columns::four_dots!($dot, 8 9 10 11, 0 1 2 3, 16 17 18 19),
                    columns::four_dots!($dot, 12 13 14 15, 4 5 6 7, 16 17 18 19),
                    "subs {turns}, {turns}, #1",
                    "ld1 {{v16.4s-v19.4s}}, [{lift}]",
                    columns::lowered!(16 17 18 19, 8 9 10 11),
                    "ld1 {{v8.4s-v11.4s}}, [{lift}]",
                    columns::lowered!(8 9 10 11, 12 13 14 15),
                    columns::narrowed!(16 17 18 19),
                    columns::narrowed!(8 9 10 11),
                    $flip,
                    $first,
                    $second,
                    "st1 {{v16.16b}}, [{to}], {out_step}",
                    "st1 {{v8.16b}}, [{to}], {out_step}",
                    "b.ne 2b",
                    columns::edge!(),
                    bias = in(reg) t.bias,
                    w0 = in(reg) t.w[0],
                    w2 = in(reg) t.w[2],
                    lift = in(reg) t.lift,
                    p0 = inout(reg) t.columns[0][0] => _,
                    p1 = inout(reg) t.columns[0][1] => _,
                    p2 = inout(reg) t.columns[0][2] => _,
                    q0 = inout(reg) t.columns[1][0] => _,
                    q1 = inout(reg) t.columns[1][1] => _,
                    q2 = inout(reg) t.columns[1][2] => _,
                    step = in(reg) t.step,
                    turns = inout(reg) t.turns => _,
                    edge = inout(reg) usize::from(t.edge) => _,
                    pad = in(reg) t.pad,
                    to = inout(reg) to => _,
                    out_step = in(reg) t.out_step,
                    inout("v0") a[0] => _, inout("v1") a[1] => _,
                    inout("v2") a[2] => _, inout("v3") a[3] => _,
                    inout("v4") b[0] => _, inout("v5") b[1] => _,
                    inout("v6") b[2] => _, inout("v7") b[3] => _,
                    out("v8") _, out("v9") _, out("v10") _, out("v11") _,
                    out("v12") _, out("v13") _, out("v14") _, out("v15") _,
                    out("v16") _, out("v17") _, out("v18") _, out("v19") _,
                    in("v20") t.groups[0], in("v21") t.groups[1],
                    in("v22") t.groups[2], in("v23") t.groups[3],
                    in("v24") t.scale[0], in("v25") t.scale[1],
                    in("v26") t.scale[2], in("v27") t.scale[3],
                    in("v28") t.kept[0][0], in("v29") t.kept[0][1],
                    in("v30") t.kept[0][2], in("v31") t.kept[0][3],
                    options(nostack),
                );
            }
        }

        #[inline(always)]
        unsafe fn ones(t: &columns::Turns, a: Column, to: *mut u8) {
            // SAFETY: the caller's.
            unsafe {
                std::arch::asm!(
                    "2:",
                    "ld1 {{v8.4s-v11.4s}}, [{bias}]",
                    "ld1 {{v16.16b-v19.16b}}, [{w0}]",
                    columns::four_dots!($dot, 8 9 10 11, 0 1 2 3, 16 17 18 19),
                    columns::next!("{p0}" 16 "{p1}" 17 "{p2}" 18, 4 20 5 21 6 22 7 23),
                    columns::four_dots!($dot, 8 9 10 11, 4 5 6 7, 28 29 30 31),
                    columns::next!("{q0}" 16 "{q1}" 17 "{q2}" 18, 0 20 1 21 2 22 3 23),
                    columns::four_dots!($dot, 8 9 10 11, 0 1 2 3, 12 13 14 15),
                    "subs {turns}, {turns}, #1",
                    "ld1 {{v16.4s-v19.4s}}, [{lift}]",
                    columns::lowered!(16 17 18 19, 8 9 10 11),
                    columns::narrowed!(16 17 18 19),
                    $flip,
                    $first,
                    "st1 {{v16.16b}}, [{to}], {out_step}",
                    "b.ne 2b",
                    columns::edge!(),
                    bias = in(reg) t.bias,
                    w0 = in(reg) t.w[0],
                    lift = in(reg) t.lift,
                    p0 = inout(reg) t.columns[0][0] => _,
                    p1 = inout(reg) t.columns[0][1] => _,
                    p2 = inout(reg) t.columns[0][2] => _,
                    q0 = inout(reg) t.columns[1][0] => _,
                    q1 = inout(reg) t.columns[1][1] => _,
                    q2 = inout(reg) t.columns[1][2] => _,
                    step = in(reg) t.step,
                    turns = inout(reg) t.turns => _,
                    edge = inout(reg) usize::from(t.edge) => _,
                    pad = in(reg) t.pad,
                    to = inout(reg) to => _,
                    out_step = in(reg) t.out_step,
                    inout("v0") a[0] => _, inout("v1") a[1] => _,
                    inout("v2") a[2] => _, inout("v3") a[3] => _,
                    out("v4") _, out("v5") _, out("v6") _, out("v7") _,
                    out("v8") _, out("v9") _, out("v10") _, out("v11") _,
                    in("v12") t.kept[1][0], in("v13") t.kept[1][1],
                    in("v14") t.kept[1][2], in("v15") t.kept[1][3],
                    out("v16") _, out("v17") _, out("v18") _, out("v19") _,
                    in("v20") t.groups[0], in("v21") t.groups[1],
                    in("v22") t.groups[2], in("v23") t.groups[3],
                    in("v24") t.scale[0], in("v25") t.scale[1],
                    in("v26") t.scale[2], in("v27") t.scale[3],
                    in("v28") t.kept[0][0], in("v29") t.kept[0][1],
                    in("v30") t.kept[0][2], in("v31") t.kept[0][3],
                    options(nostack),
                );
            }
        }
    };
}
pub(super) use dot;

/// A column's products with four vectors of weights.
macro_rules! four_dots {
    ($dot:literal, $($sum:literal)*, $($column:literal)*, $($w:literal)*) => {
        concat!($($dot, " v", $sum, ".4s, v", $column, ".16b, v", $w, ".16b\n"),*)
    };
}
pub(super) use four_dots;

/// A column of the three rows at some addresses, which go `step` on.
macro_rules! next {
    ($($address:literal $row:literal)*, $($column:literal $groups:literal)*) => {
        concat!(
            $("ld1 {{v", $row, ".16b}}, [", $address, "], {step}\n",)*
            $("tbl v", $column, ".16b, {{v16.16b-v18.16b}}, v", $groups, ".16b\n"),*
        )
    };
}
pub(super) use next;

/// Sums that are lifted, in steps of the output, where the lift is.
macro_rules! lowered {
    ($($lift:literal)*, $($sum:literal)*) => {
        concat!(
            columns::scaled!($($lift)*, $($sum)*, 24 25 26 27),
            $("fcvtnu v", $lift, ".4s, v", $lift, ".4s\n"),*
        )
    };
}
pub(super) use lowered;

/// Sums that are scaled and added.
macro_rules! scaled {
    ($($to:literal)*, $($sum:literal)*, $($scale:literal)*) => {
        concat!($("fmla v", $to, ".4s, v", $sum, ".4s, v", $scale, ".4s\n"),*)
    };
}
pub(super) use scaled;

/// Steps of the output as bytes, in the first register.
macro_rules! narrowed {
    ($($a:literal $b:literal $c:literal $d:literal),*) => {
        concat!($(
            "uzp1 v", $a, ".8h, v", $a, ".8h, v", $b, ".8h\n",
            "uzp1 v", $c, ".8h, v", $c, ".8h, v", $d, ".8h\n",
            "uqxtn v", $a, ".8b, v", $a, ".8h\n",
            "uqxtn2 v", $a, ".16b, v", $c, ".8h\n"
        ),*)
    };
}
pub(super) use narrowed;

/// After the last turn: if there is one more, its second column is the padding.
macro_rules! edge {
    () => {
        "cbz {edge}, 3f
        mov {edge}, xzr
        mov {turns}, #1
        mov {q0}, {pad}
        mov {q1}, {pad}
        mov {q2}, {pad}
        b 2b
        3:"
    };
}
pub(super) use edge;

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

    /// Two outputs a turn, at stride 1; `before` are the two columns before the turns'.
    ///
    /// # Safety
    /// The processor has it; what [`Turns`] names may be read, and written.
    unsafe fn twos(turns: &Turns, before: [Column; 2], to: *mut u8);

    /// One output a turn, at stride 2; `before` is the column before the turns'.
    ///
    /// # Safety
    /// The same.
    unsafe fn ones(turns: &Turns, before: Column, to: *mut u8);
}

/// Some turns of a row, each of two columns, and 16 channels of their outputs.
pub(super) struct Turns {
    /// How many, one at least, and whether there is one more, whose second column is the padding.
    pub turns: usize,
    pub edge: bool,
    pub pad: *const u8,
    /// The two columns of the first turn.
    pub columns: [[*const u8; 3]; 2],
    /// Bytes from turn to turn.
    pub step: usize,
    pub out_step: usize,
    /// Each column's weights.
    pub w: [*const i8; 3],
    /// Those of columns 1 and 2.
    pub kept: [[int8x16_t; 4]; 2],
    pub bias: *const i32,
    pub scale: [float32x4_t; 4],
    pub lift: *const f32,
    pub groups: Column,
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

/// A column of three rows.
///
/// # Safety
/// 16 bytes of each row may be read.
#[inline(always)]
unsafe fn column(rows: [*const u8; 3], groups: &Column) -> Column {
    // SAFETY: the caller's.
    unsafe {
        let rows = uint8x16x3_t(vld1q_u8(rows[0]), vld1q_u8(rows[1]), vld1q_u8(rows[2]));
        groups.map(|group| vqtbl3q_u8(rows, group))
    }
}

/// # Safety
/// `Depthwise`'s, and the processor has `D`.
#[inline(always)]
pub(super) unsafe fn row<D: Dot>(d: &Depthwise) {
    for first in (0..d.channels).step_by(16) {
        // SAFETY: `Depthwise` promises the rows, packed weights and numbers for whole blocks of 16.
        unsafe {
            let from = match d.lift {
                Some(lift) if d.channels - first >= 16 => turns::<D>(d, lift, first),
                _ => 0,
            };
            (from..d.columns).for_each(|x| output::<D>(d, first, x));
        }
    }
}

/// Sixteen channels of a row's first outputs, which are lifted, and how many those are: few are left, and only
/// where columns do not come out even.
#[inline(always)]
unsafe fn turns<D: Dot>(d: &Depthwise, lift: *const f32, first: usize) -> usize {
    let outputs = if d.stride == 1 { 2 } else { 1 };
    // Columns of the map from the first turn's on; those before it are as many as a turn's outputs.
    let columns = (d.width + d.left).saturating_sub(outputs);
    let all = d.columns / outputs;
    let turns = all.min(columns / 2);
    if d.left > outputs || turns == 0 {
        return 0;
    }
    // SAFETY: the caller's; turns are as many as have both columns in the map, and one more if it has one.
    unsafe {
        let w = [0, 64, 128].map(|at| d.w.add(first * 12 + at));
        let next = d.column(outputs, first);
        let t = Turns {
            turns,
            edge: turns < all && columns % 2 == 1,
            pad: d.pad.wrapping_add(first),
            columns: [next, next.map(|row| row.wrapping_add(d.step))],
            step: 2 * d.step,
            out_step: d.out_step,
            w,
            kept: [vectors(w[1]), vectors(w[2])],
            bias: d.bias.add(first),
            scale: store::load(d.scale.add(first)),
            lift: lift.add(first),
            groups: vectors(GROUPS.as_ptr()),
        };
        let before = column(d.column(0, first), &t.groups);
        let to = d.out.add(first);
        match d.stride {
            1 => D::twos(&t, [before, column(d.column(1, first), &t.groups)], to),
            _ => D::ones(&t, before, to),
        }
        (turns + usize::from(t.edge)) * outputs
    }
}

/// Four vectors that follow each other.
#[inline(always)]
unsafe fn vectors<T, V>(from: *const T) -> [V; 4] {
    // SAFETY: the caller's.
    [0, 1, 2, 3].map(|v| unsafe { from.cast::<V>().add(v).read_unaligned() })
}

/// Sixteen channels of one output.
#[inline(always)]
unsafe fn output<D: Dot>(d: &Depthwise, first: usize, x: usize) {
    // SAFETY: `Depthwise` promises the columns, numbers for 16 channels and the output.
    unsafe {
        let groups = vectors(GROUPS.as_ptr());
        let mut sums: [int32x4_t; 4] = vectors(d.bias.add(first));
        let mut w = d.w.add(first * 12);
        for at in x * d.stride..x * d.stride + 3 {
            D::dot(&mut sums, &column(d.column(at, first), &groups), &mut w);
        }
        let scale = store::load(d.scale.add(first));
        let bytes = match d.lift {
            Some(lift) => {
                store::bytes::<true>(&sums, &scale, &store::load(lift.add(first)), d.range, D::FLIP)
            }
            None => store::bytes::<false>(&sums, &scale, &scale, d.range, D::FLIP),
        };
        store::write(d.out.add(x * d.out_step + first), bytes, d.channels - first);
    }
}
