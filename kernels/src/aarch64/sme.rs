//! SME: a square of sums (a tile) takes the outer product of a vector of rows and a vector of channels by
//! one instruction. Four tiles hold two vectors of rows by two of channels; with vectors of 256 bits `usmopa`
//! does 256 multiplications. The vectors are as long as the processor has them, and it must be put into its
//! streaming mode and out of it again, where the compiler's own vectors are not to be had: so the loops are
//! functions in assembly from the first instruction to the last, by the procedure call standard. Depthwise
//! convolutions are NEON's.

use super::{columns, i8mm};
use crate::{
    auxv,
    table::{FORCE, Gemm, Layout, Prepare, Table, Target},
};
use std::{
    arch::{asm, naked_asm},
    mem::offset_of,
    sync::OnceLock,
};

/// The way of a processor with SME, for who asks for it by name, and for nobody else: no processor was there to
/// measure it on, and Linux has kernels that offer SME and lose registers over it.
pub(super) fn table() -> Option<&'static Table> {
    const SME: usize = 1 << 23;
    const BYTES: usize = 1 << 26;
    const NAME: &str = "sme";
    static TABLE: OnceLock<Table> = OnceLock::new();
    let named = std::env::var_os(FORCE).is_some_and(|way| way == NAME);
    (named && auxv::has(auxv::HWCAP2, SME | BYTES)).then(|| {
        TABLE.get_or_init(|| {
            // Two vectors of 32 bits, of rows and of channels.
            let two = vector() / 2;
            Table {
                name: NAME,
                layout: Layout { block: two, step: two, group: 4, channel },
                offset: 0,
                lifts: true,
                prepare: Some(Prepare { size: 1, rows: two, run: interleave }),
                gemm,
                depthwise_pack: columns::pack,
                depthwise_channel: |place| place,
                depthwise: i8mm::TABLE.depthwise,
            }
        })
    })
}

/// Bytes of a vector in streaming mode.
fn vector() -> usize {
    let bytes: usize;
    // SAFETY: the processor has SME, as the kernel says.
    unsafe {
        asm!(
            ".arch_extension sme",
            "rdsvl {bytes}, #1",
            bytes = out(reg) bytes,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    bytes
}

/// The first vector has every other channel, the second those between: narrowed they lie in turns.
fn channel(width: usize, place: usize) -> usize {
    let half = width / 2;
    place % half * 2 + place / half
}

/// What to do, in the order in which assembly loads it.
#[repr(C)]
struct Work {
    a: *const u8,
    w: *const i8,
    /// Groups of four inputs.
    groups: usize,
    rows: usize,
    out: *mut u8,
    /// Bytes from one row's outputs to the next's.
    step: usize,
    /// Bytes of one row's inputs.
    lda: usize,
    channels: usize,
    bias: *const i32,
    scale: *const f32,
    lift: *const f32,
    zero: usize,
    low: usize,
    high: usize,
}

unsafe fn gemm(g: &Gemm) {
    let mut work = Work {
        a: g.a,
        w: g.w,
        groups: g.groups,
        rows: g.rows,
        out: std::ptr::null_mut(),
        step: 0,
        lda: g.lda,
        channels: g.channels,
        bias: g.bias,
        scale: g.scale,
        lift: g.lift.unwrap_or(g.scale),
        zero: 0,
        low: 0,
        high: 0,
    };
    // SAFETY: a block has two vectors of channels; rows and block are as `Gemm` promises, the rows as
    // `interleave` made them.
    unsafe {
        match g.out {
            Target::Floats { to, step } => {
                (work.out, work.step) = (to.cast(), size_of::<f32>() * step);
                floats(&work);
            }
            Target::Bytes { to, step, range } => {
                (work.out, work.step) = (to, step);
                [work.zero, work.low, work.high] = range.map(usize::from);
                match g.lift {
                    Some(_) => lifted(&work),
                    None => bytes(&work),
                }
            }
        }
    }
}

/// What every function here begins with: registers 8 to 15 are its caller's, and streaming mode empties them.
macro_rules! enter {
    () => {
        ".arch_extension sme
        stp d8, d9, [sp, #-64]!
        stp d10, d11, [sp, #16]
        stp d12, d13, [sp, #32]
        stp d14, d15, [sp, #48]
        smstart"
    };
}

/// And ends with.
macro_rules! leave {
    () => {
        "smstop
        ldp d10, d11, [sp, #16]
        ldp d12, d13, [sp, #32]
        ldp d14, d15, [sp, #48]
        ldp d8, d9, [sp], #64
        ret"
    };
}

/// Makes tiles of two vectors of rows: four inputs of every row, then the next four. Rows go into a square
/// of words, columns come out of it.
///
/// # Safety
/// What `Prepare` promises.
unsafe fn interleave(from: *const u8, to: *mut u8, rows: usize, bytes: usize) {
    // SAFETY: the caller's.
    unsafe { transpose(from, to, rows, bytes) }
}

/// # Safety
/// As `interleave`, which is this in Rust's own convention.
#[unsafe(naked)]
unsafe extern "C" fn transpose(from: *const u8, to: *mut u8, rows: usize, bytes: usize) {
    naked_asm!(
        enter!(),
        "ptrue p0.b",
        "cntw x5",
        "2:", // A tile of rows, of which x6 are the first vector's and x7 the second's.
        "cmp x2, x5",
        "csel x6, x2, x5, lo",
        "sub x2, x2, x6",
        "cmp x2, x5",
        "csel x7, x2, x5, lo",
        "sub x2, x2, x7",
        "mov x8, xzr",
        "3:", // A vector of inputs of each.
        "whilelo p1.b, x8, x3",
        "add x9, x0, x8",
        "mov w12, wzr",
        "4:",
        "ld1w {{za0h.s[w12, 0]}}, p1/z, [x9]",
        "add x9, x9, x3",
        "add w12, w12, #1",
        "cmp w12, w6",
        "b.lo 4b",
        "cbz x7, 6f",
        "mov w12, wzr",
        "5:",
        "ld1w {{za1h.s[w12, 0]}}, p1/z, [x9]",
        "add x9, x9, x3",
        "add w12, w12, #1",
        "cmp w12, w7",
        "b.lo 5b",
        "6:",
        // As many columns as the vector has words, by fours.
        "sub x10, x3, x8",
        "lsr x10, x10, #2",
        "cmp x10, x5",
        "csel x10, x10, x5, lo",
        "mov w12, wzr",
        "7:",
        "st1w {{za0v.s[w12, 0]}}, p0, [x1]",
        "st1w {{za1v.s[w12, 0]}}, p0, [x1, x5, lsl #2]",
        "addvl x1, x1, #2",
        "st1w {{za0v.s[w12, 1]}}, p0, [x1]",
        "st1w {{za1v.s[w12, 1]}}, p0, [x1, x5, lsl #2]",
        "addvl x1, x1, #2",
        "st1w {{za0v.s[w12, 2]}}, p0, [x1]",
        "st1w {{za1v.s[w12, 2]}}, p0, [x1, x5, lsl #2]",
        "addvl x1, x1, #2",
        "st1w {{za0v.s[w12, 3]}}, p0, [x1]",
        "st1w {{za1v.s[w12, 3]}}, p0, [x1, x5, lsl #2]",
        "addvl x1, x1, #2",
        "add w12, w12, #4",
        "cmp w12, w10",
        "b.lo 7b",
        "incb x8",
        "cmp x8, x3",
        "b.lo 3b",
        // The next tile's rows.
        "add x6, x6, x7",
        "madd x0, x6, x3, x0",
        "cbnz x2, 2b",
        leave!(),
    )
}

/// The products of a group of four inputs of two vectors of rows and two of channels, at such vectors of both.
#[rustfmt::skip]
macro_rules! group {
    ($first:literal, $second:literal) => {
        concat!(
            "ld1b {{z0.b}}, p0/z, [x13, ", $first, ", mul vl]\n",
            "ld1b {{z1.b}}, p0/z, [x13, ", $second, ", mul vl]\n",
            "ld1b {{z2.b}}, p0/z, [x14, ", $first, ", mul vl]\n",
            "ld1b {{z3.b}}, p0/z, [x14, ", $second, ", mul vl]\n",
            "usmopa za0.s, p0/m, p0/m, z0.b, z2.b\n",
            "usmopa za1.s, p0/m, p0/m, z0.b, z3.b\n",
            "usmopa za2.s, p0/m, p0/m, z1.b, z2.b\n",
            "usmopa za3.s, p0/m, p0/m, z1.b, z3.b\n",
        )
    };
}

/// A function of the sums of all tiles of `Work`, and of what becomes of a row of them in `z0` and `z1`: with
/// scale in `z24` and `z25`, lift in `z26` and `z27`, zero, low and high in `z21` to `z23`. It goes to `x5`;
/// `p1` says which of the channels are there where they are 16 bits each, `p2` and `p3` where they are 32.
macro_rules! product {
    ($(#[$what:meta])* $name:ident: $($row:literal)*) => {
        $(#[$what])*
        ///
        /// # Safety
        /// What is there may be read and written, and there is at least one group and one row.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(work: &Work) {
            naked_asm!(
                enter!(),
                "ptrue p0.b",
                "ldp x1, x2, [x0, {a}]",
                "ldp x3, x4, [x0, {groups}]",
                "ldp x5, x6, [x0, {out}]",
                "ldp x7, x8, [x0, {lda}]",
                "ldp x9, x10, [x0, {bias}]",
                "ld1w {{z28.s}}, p0/z, [x9]",
                "ld1w {{z29.s}}, p0/z, [x9, #1, mul vl]",
                "ld1w {{z24.s}}, p0/z, [x10]",
                "ld1w {{z25.s}}, p0/z, [x10, #1, mul vl]",
                "ldp x9, x10, [x0, {lift}]",
                "ld1w {{z26.s}}, p0/z, [x9]",
                "ld1w {{z27.s}}, p0/z, [x9, #1, mul vl]",
                "mov z21.h, w10",
                "ldp x9, x10, [x0, {low}]",
                "mov z22.h, w9",
                "mov z23.h, w10",
                "cntw x10",
                "whilelo p1.h, xzr, x8",
                "whilelo p2.s, xzr, x8",
                "whilelo p3.s, x10, x8",
                "cnth x11", // Rows of a tile.
                "mul x7, x7, x11",
                "2:",
                "zero {{za}}",
                "addha za0.s, p0/m, p0/m, z28.s",
                "addha za1.s, p0/m, p0/m, z29.s",
                "addha za2.s, p0/m, p0/m, z28.s",
                "addha za3.s, p0/m, p0/m, z29.s",
                "mov x13, x1",
                "mov x14, x2",
                "lsr x15, x3, #2",
                "cbz x15, 4f",
                "3:", // Four groups of four inputs.
                group!("#0", "#1"),
                group!("#2", "#3"),
                group!("#4", "#5"),
                group!("#6", "#7"),
                "addvl x13, x13, #8",
                "addvl x14, x14, #8",
                "subs x15, x15, #1",
                "b.ne 3b",
                "4:",
                "ands x15, x3, #3",
                "b.eq 6f",
                "5:",
                group!("#0", "#1"),
                "addvl x13, x13, #2",
                "addvl x14, x14, #2",
                "subs x15, x15, #1",
                "b.ne 5b",
                "6:",
                // The rows of the first two tiles that are there, and those of the others.
                "cmp x4, x10",
                "csel x15, x4, x10, lo",
                "sub x4, x4, x15",
                "mov w12, wzr",
                "7:",
                "mova z0.s, p0/m, za0h.s[w12, 0]",
                "mova z1.s, p0/m, za1h.s[w12, 0]",
                $($row,)*
                "add x5, x5, x6",
                "add w12, w12, #1",
                "cmp w12, w15",
                "b.lo 7b",
                "cmp x4, x10",
                "csel x15, x4, x10, lo",
                "sub x4, x4, x15",
                "cbz x15, 9f",
                "mov w12, wzr",
                "8:",
                "mova z0.s, p0/m, za2h.s[w12, 0]",
                "mova z1.s, p0/m, za3h.s[w12, 0]",
                $($row,)*
                "add x5, x5, x6",
                "add w12, w12, #1",
                "cmp w12, w15",
                "b.lo 8b",
                "add x1, x1, x7",
                "cbnz x4, 2b",
                "9:",
                leave!(),
                a = const offset_of!(Work, a),
                groups = const offset_of!(Work, groups),
                out = const offset_of!(Work, out),
                lda = const offset_of!(Work, lda),
                bias = const offset_of!(Work, bias),
                lift = const offset_of!(Work, lift),
                low = const offset_of!(Work, low),
            )
        }
    };
}

product! {
    /// Bytes of any range.
    bytes:
    "scvtf z0.s, p0/m, z0.s"
    "scvtf z1.s, p0/m, z1.s"
    "fmul z0.s, z0.s, z24.s"
    "fmul z1.s, z1.s, z25.s"
    "frintn z0.s, p0/m, z0.s"
    "frintn z1.s, p0/m, z1.s"
    "fcvtzs z0.s, p0/m, z0.s"
    "fcvtzs z1.s, p0/m, z1.s"
    "sqxtnb z0.h, z0.s"
    "sqxtnt z0.h, z1.s"
    "sqadd z0.h, z0.h, z21.h"
    "smax z0.h, p0/m, z0.h, z22.h"
    "smin z0.h, p0/m, z0.h, z23.h"
    "st1b {{z0.h}}, p1, [x5]"
}

product! {
    /// Bytes whose sums are lifted: what is below 0 becomes 0 when it is made an integer.
    lifted:
    "fmad z0.s, p0/m, z24.s, z26.s"
    "fmad z1.s, p0/m, z25.s, z27.s"
    "frintn z0.s, p0/m, z0.s"
    "frintn z1.s, p0/m, z1.s"
    "fcvtzu z0.s, p0/m, z0.s"
    "fcvtzu z1.s, p0/m, z1.s"
    "uqxtnb z0.h, z0.s"
    "uqxtnt z0.h, z1.s"
    "umin z0.h, z0.h, #255"
    "st1b {{z0.h}}, p1, [x5]"
}

product! {
    /// Floats, whose channels are packed in their own order.
    floats:
    "scvtf z0.s, p0/m, z0.s"
    "scvtf z1.s, p0/m, z1.s"
    "fmul z0.s, z0.s, z24.s"
    "fmul z1.s, z1.s, z25.s"
    "st1w {{z0.s}}, p2, [x5]"
    "st1w {{z1.s}}, p3, [x5, #1, mul vl]"
}
