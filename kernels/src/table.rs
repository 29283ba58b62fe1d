//! The ways to compute, and the one choice between them.

#[cfg(doc)]
use crate::pack::Packed;
use crate::{Conv, scalar};
use std::{ops::Range, sync::OnceLock};

/// Matrix product of one block of output channels, with what becomes of the sums.
///
/// Whoever makes one promises that `a` may be read for `rows` rows, `lda` bytes apart, of
/// `groups · group` inputs each, as [`Prepare`] made them if the way has one; `w`, `bias`, `scale` and
/// `lift` for a whole block as the way's own [`Layout`] packs it; and that `out` may be written for `rows` rows of `channels`
/// numbers.
pub(crate) struct Gemm {
    pub a: *const u8,
    pub lda: usize,
    pub rows: usize,
    /// Groups of `Layout::group` inputs.
    pub groups: usize,
    pub w: *const i8,
    pub bias: *const i32,
    pub scale: *const f32,
    /// Where sums are lifted, what lowers them again; see [`Packed`].
    #[allow(dead_code)] // where no way lifts
    pub lift: Option<*const f32>,
    /// Channels of the block as packed, a multiple of `Layout::step`.
    pub width: usize,
    /// Channels that are there.
    pub channels: usize,
    pub out: Target,
}

impl Gemm {
    /// The rows in tiles of `most` at most, each as high as the others or nearly: a last tile of one row
    /// would leave the core waiting. First rows, and how many.
    #[inline]
    #[allow(dead_code)] // where a way takes its rows otherwise
    pub fn tiles(&self, most: usize) -> impl Iterator<Item = (usize, usize)> {
        let (rows, tiles) = (self.rows, self.rows.div_ceil(most));
        (0..tiles).map(move |tile| {
            let row = rows * tile / tiles;
            (row, rows * (tile + 1) / tiles - row)
        })
    }
}

/// Calls `tile::<ROWS, VECTORS>(g, row)` with up to 8 rows and 4 vectors of channels made constants.
#[allow(unused_macros)] // where assembly has one shape
macro_rules! with_shape {
    ($rows:expr, $vectors:expr, $tile:ident($g:expr, $row:expr)) => {
        match $vectors {
            4 => with_shape!(@ $rows, 4, $tile($g, $row)),
            3 => with_shape!(@ $rows, 3, $tile($g, $row)),
            2 => with_shape!(@ $rows, 2, $tile($g, $row)),
            _ => with_shape!(@ $rows, 1, $tile($g, $row)),
        }
    };
    (@ $rows:expr, $vectors:literal, $tile:ident($g:expr, $row:expr)) => {
        match $rows {
            1 => $tile::<1, $vectors>($g, $row),
            2 => $tile::<2, $vectors>($g, $row),
            3 => $tile::<3, $vectors>($g, $row),
            4 => $tile::<4, $vectors>($g, $row),
            5 => $tile::<5, $vectors>($g, $row),
            6 => $tile::<6, $vectors>($g, $row),
            7 => $tile::<7, $vectors>($g, $row),
            _ => $tile::<8, $vectors>($g, $row),
        }
    };
}
#[allow(unused_imports)] // where there is only the reference
pub(crate) use with_shape;

/// Where a row of outputs goes.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// Rows `step` bytes apart; zero, low, high.
    Bytes { to: *mut u8, step: usize, range: [u8; 3] },
    /// Rows `step` floats apart.
    Floats { to: *mut f32, step: usize },
}

/// One row of a 3×3 depthwise convolution.
///
/// Whoever makes one promises that every column of every row, `step` bytes apart, may be read for
/// `channels` bytes rounded up to 16, `pad` too; `w`, `bias`, `scale` and `lift` as
/// `Table::depthwise_pack` and [`Packed`] made them; and that `out` may be written for `columns` outputs.
pub(crate) struct Depthwise {
    /// The three rows under the window, of padding where they are beyond the map.
    pub rows: [*const u8; 3],
    /// Bytes from column to column.
    pub step: usize,
    /// Columns in.
    pub width: usize,
    /// A column of padding.
    pub pad: *const u8,
    /// Columns of padding on the left.
    pub left: usize,
    pub stride: usize,
    pub channels: usize,
    pub w: *const i8,
    pub bias: *const i32,
    pub scale: *const f32,
    /// Where sums are lifted, what lowers them again.
    #[allow(dead_code)] // where no way lifts
    pub lift: Option<*const f32>,
    pub out: *mut u8,
    /// Bytes from output to output.
    pub out_step: usize,
    /// Outputs.
    pub columns: usize,
    /// Zero, low, high.
    pub range: [u8; 3],
}

/// Of `outputs` next to each other, those whose window of `wide` columns is inside a map of `width`, which
/// has `left` columns of padding before it.
pub(crate) fn inside(
    width: usize,
    left: usize,
    wide: usize,
    stride: usize,
    outputs: usize,
) -> Range<usize> {
    let end = (width + left).checked_sub(wide).map_or(0, |last| last / stride + 1).min(outputs);
    left.div_ceil(stride).min(end)..end
}

impl Depthwise {
    /// Outputs whose whole window is inside the map from left to right.
    #[allow(dead_code)] // where a way asks for each column
    pub fn inside(&self) -> Range<usize> {
        inside(self.width, self.left, 3, self.stride, self.columns)
    }

    /// The three bytes above each other at column `x` of the padded map.
    #[inline(always)]
    pub fn column(&self, x: usize, channel: usize) -> [*const u8; 3] {
        match x.checked_sub(self.left).filter(|&x| x < self.width) {
            // Inside the map, which may be read there.
            Some(x) => self.rows.map(|row| row.wrapping_add(x * self.step + channel)),
            None => [self.pad.wrapping_add(channel); 3],
        }
    }
}

/// How a way wants the weights of a matrix product.
pub(crate) struct Layout {
    /// Channels of a block at most.
    pub block: usize,
    /// Blocks are narrower only by multiples of this.
    pub step: usize,
    /// Inputs that lie side by side for one channel.
    pub group: usize,
    /// The channel at a place of a block of `width` channels that go out as bytes.
    pub channel: fn(width: usize, place: usize) -> usize,
}

/// Makes of bytes what products are of.
pub(crate) struct Prepare {
    /// Bytes that one becomes.
    pub size: usize,
    /// Rows are written by so many, even if fewer are there.
    pub rows: usize,
    /// From, to, rows, bytes of each: a multiple of 16. As many rows may be read as are written.
    pub run: unsafe fn(*const u8, *mut u8, usize, usize),
}

/// One way to compute, for one kind of processor.
pub(crate) struct Table {
    pub name: &'static str,
    pub layout: Layout,
    /// What maps hold less than the bytes they stand for: 128 where only signed bytes can be
    /// multiplied, 0 elsewhere.
    pub offset: i32,
    /// Whether it takes sums that are lifted; see [`Packed`].
    pub lifts: bool,
    /// What is done to the inputs of a product once for all blocks.
    pub prepare: Option<Prepare>,
    pub gemm: unsafe fn(&Gemm),
    pub depthwise_pack: fn(&Conv) -> Vec<i8>,
    /// The channel at a place of 64, for bias and scale of a depthwise convolution.
    pub depthwise_channel: fn(place: usize) -> usize,
    pub depthwise: unsafe fn(&Depthwise),
}

/// The variable that forces a way by its name.
pub const FORCE: &str = "FACELATCH_KERNELS";

/// Every way this processor has, the best first; the reference is the last.
pub(crate) fn all() -> &'static [&'static Table] {
    static ALL: OnceLock<Vec<&'static Table>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut all = Vec::new();
        #[cfg(target_arch = "x86_64")]
        crate::x86::add(&mut all);
        #[cfg(target_arch = "aarch64")]
        crate::aarch64::add(&mut all);
        #[cfg(target_arch = "arm")]
        crate::arm::add(&mut all);
        all.push(&scalar::TABLE);
        all
    })
}

/// The way every network of this process takes, chosen at the first call.
pub(crate) fn chosen() -> &'static Table {
    static CHOSEN: OnceLock<&'static Table> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        let named = |name: String| all().iter().find(|table| table.name == name);
        std::env::var(FORCE).ok().and_then(named).unwrap_or(&all()[0])
    })
}

/// Whether this process computes by SIMD, or by the plain reference because it was told to. Where it is
/// neither, other code is faster.
pub fn is_fast() -> bool {
    chosen().name != scalar::TABLE.name || std::env::var_os(FORCE).is_some()
}

/// A value of the variable [`FORCE`] that names no way of this processor.
pub fn unknown_way() -> Option<String> {
    let forced = std::env::var(FORCE).ok()?;
    all().iter().all(|table| table.name != forced).then_some(forced)
}

/// The name of the way this process computes, and of every other it could be made to take with the
/// variable [`FORCE`].
pub fn ways() -> (&'static str, Vec<&'static str>) {
    (chosen().name, all().iter().map(|t| t.name).collect())
}
