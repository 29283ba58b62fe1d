//! One step of a network, cut into parts for the threads and into tiles for the cache.

use crate::{
    Conv, Output,
    arena::SLACK,
    pack::{self, Packed},
    pool::Share,
    table::{Depthwise, Gemm, Table, Target, inside},
};
use std::{fmt, ops::Range};

/// Bytes of inputs that are multiplied before the next are fetched: they and a block of weights stay in
/// the cache next to the core.
const TILE: usize = 24 << 10;

/// A map in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// Bytes from the start of the memory.
    pub at: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
}

/// What a stage does, a depthwise convolution and the product after it being one.
pub(crate) enum Stage {
    Depthwise { from: Place, to: Place, window: Box<Window> },
    Product { from: Place, to: Place, depthwise: Option<Box<Window>>, dense: Box<Window> },
    Mean { from: Place, to: Place, zero: u8, scale: f32 },
}

/// A byte as maps hold it; done twice, the byte again.
pub(crate) fn flipped(byte: u8, table: &Table) -> u8 {
    byte ^ table.offset as u8
}

/// A convolution, packed, and the map it gives.
pub(crate) struct Window {
    kernel: [usize; 2],
    stride: [usize; 2],
    pads: [usize; 4],
    depth: usize,
    /// Height, width, channels.
    size: [usize; 3],
    output: Output,
    packed: Packed,
    /// A row of padding.
    pad: Vec<u8>,
}

impl Window {
    pub fn new(conv: &Conv, table: &Table, from: usize, [height, width]: [usize; 2]) -> Self {
        let pack = if conv.depthwise { pack::depthwise } else { pack::dense };
        Self {
            kernel: conv.kernel,
            stride: conv.stride,
            pads: conv.pads,
            depth: conv.depth(),
            size: [height, width, conv.outputs],
            output: conv.output,
            packed: pack(conv, table),
            pad: vec![flipped(conv.input_zero, table); from * conv.inputs + SLACK],
        }
    }

    fn range(&self) -> [u8; 3] {
        match self.output {
            Output::Bytes { zero, low, high } => [zero, low, high],
            Output::Floats => [0, 0, 255],
        }
    }

    /// Whether a pixel's inputs are its own channels and can be multiplied where they lie.
    fn direct(&self, table: &Table) -> bool {
        table.prepare.is_none()
            && self.kernel == [1, 1]
            && self.stride == [1, 1]
            && self.depth.is_multiple_of(table.layout.group)
    }

    /// Bytes from one pixel's gathered inputs to the next's.
    fn gathered(&self) -> usize {
        self.depth.next_multiple_of(16)
    }

    /// Rows of gathered inputs that make a tile.
    fn gathered_rows(&self) -> usize {
        tile(self.gathered() * self.size[1], self.size[0])
    }

    fn macs(&self) -> u64 {
        (self.size.iter().product::<usize>() * self.depth) as u64
    }
}

/// How many of `all` units of so many bytes make a tile.
fn tile(bytes: usize, all: usize) -> usize {
    (TILE / bytes).clamp(1, all)
}

/// Where the threads of one run read and write. Whoever makes one promises that the memory holds the
/// maps of every stage and, for each thread, its own scratch.
#[derive(Clone, Copy)]
pub(crate) struct Ground {
    pub maps: *mut u8,
    pub scratch: *mut u8,
}

impl Stage {
    /// Bytes of scratch that a thread needs.
    pub fn scratch(&self, table: &Table) -> usize {
        let Self::Product { dense, depthwise, .. } = self else { return 0 };
        if depthwise.is_none() && dense.direct(table) {
            return 0;
        }
        let rows = dense.gathered_rows() * dense.size[1];
        let (prepared, multiple) = table.prepare.as_ref().map_or((0, 1), |p| (p.size, p.rows));
        let bytes = rows.next_multiple_of(multiple) * dense.gathered() + SLACK;
        (1 + prepared) * bytes.next_multiple_of(64)
    }

    /// Multiplications.
    pub fn macs(&self) -> u64 {
        match self {
            Self::Depthwise { window, .. } => window.macs(),
            Self::Product { depthwise, dense, .. } => {
                dense.macs() + depthwise.as_ref().map_or(0, |window| window.macs())
            }
            Self::Mean { .. } => 0,
        }
    }

    /// Does one thread's share.
    ///
    /// # Safety
    /// `ground` keeps its promise, no other stage runs meanwhile, and every index of the share runs
    /// exactly once.
    pub unsafe fn run(&self, table: &Table, ground: Ground, share: &Share) {
        // SAFETY: handed on.
        unsafe {
            match self {
                Self::Mean { from, to, zero, scale } => {
                    mean(ground, [from, to], flipped(0, table), *zero, *scale, share);
                }
                Self::Depthwise { from, to, window } => {
                    let [height, width, step] = window.size;
                    for row in share.part(height) {
                        let out = ground.maps.add(to.at + row * width * step);
                        let map = ground.maps.add(from.at);
                        depthwise_row(window, table, map, from, row, out, step);
                    }
                }
                Self::Product { from, to, depthwise, dense } => {
                    let direct = depthwise.is_none() && dense.direct(table);
                    let parts = Parts::of(dense, direct, share);
                    product(from, to, depthwise.as_deref(), dense, &parts, table, ground);
                }
            }
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let window =
            |w: &Window, name| format!("{name}{}x{}/{}", w.kernel[0], w.kernel[1], w.stride[0]);
        let (from, to, what) = match self {
            Self::Mean { from, to, .. } => (from, to, "mean".to_owned()),
            Self::Depthwise { from, to, window: w } => (from, to, window(w, "depthwise ")),
            Self::Product { from, to, depthwise, dense } => {
                let first = depthwise.as_ref().map(|w| window(w, "depthwise ") + " + ");
                (from, to, first.unwrap_or_default() + &window(dense, ""))
            }
        };
        let size = |p: &Place| format!("{}x{}x{}", p.width, p.height, p.channels);
        write!(f, "{what} {} -> {}", size(from), size(to))
    }
}

/// What one thread does of a product.
struct Parts {
    direct: bool,
    /// Output rows, or pixels where the inputs are taken as they lie.
    units: Range<usize>,
    /// Pixels of a unit.
    pixels: usize,
    /// Units of a tile.
    tile: usize,
    blocks: Range<usize>,
    /// Bytes from one pixel's inputs to the next's.
    lda: usize,
}

impl Parts {
    /// By rows; by output channels where the rows do not come out even and there are channels enough.
    /// Depthwise rows are then made by every thread, which is a few percent of the product.
    fn of(dense: &Window, direct: bool, share: &Share) -> Self {
        let [height, width, _] = dense.size;
        let (all, pixels, lda, tile) = if direct {
            let all = height * width;
            (all, 1, dense.depth, tile(dense.depth, all))
        } else {
            (height, width, dense.gathered(), dense.gathered_rows())
        };
        let blocks = dense.packed.blocks.len();
        let longest = all.div_ceil(share.of) * share.of;
        let by_blocks = longest * 8 > all * 9 && blocks.is_multiple_of(share.of);
        let (units, blocks) =
            if by_blocks { (0..all, share.part(blocks)) } else { (share.part(all), 0..blocks) };
        Self { direct, units, pixels, tile, blocks, lda }
    }
}

unsafe fn product(
    from: &Place,
    to: &Place,
    depthwise: Option<&Window>,
    dense: &Window,
    parts: &Parts,
    table: &Table,
    ground: Ground,
) {
    let channels = dense.size[2];
    let mut units = parts.units.clone();
    while !units.is_empty() {
        let tile = units.start..(units.start + parts.tile).min(units.end);
        units.start = tile.end;
        let pixel = tile.start * parts.pixels;
        // SAFETY: tiles are parts of the maps of this stage, which `Ground` promises; the rows of a
        // tile fit in the scratch by `Stage::scratch`; `Packed` is of this table.
        unsafe {
            let maps = ground.maps.add(from.at);
            let a = if parts.direct {
                maps.add(pixel * parts.lda)
            } else {
                for (i, row) in tile.clone().enumerate() {
                    let out = ground.scratch.add(i * parts.pixels * parts.lda);
                    match depthwise {
                        Some(window) => {
                            depthwise_row(window, table, maps, from, row, out, parts.lda);
                        }
                        None => gather_row(dense, maps, from, row, out),
                    }
                }
                ground.scratch.cast_const()
            };
            let rows = tile.len() * parts.pixels;
            let (a, lda) = match &table.prepare {
                Some(prepare) => {
                    let bytes = rows * parts.lda;
                    let to = ground.scratch.add(bytes.next_multiple_of(64) + SLACK);
                    (prepare.run)(a, to, rows, parts.lda);
                    (to.cast_const(), prepare.size * parts.lda)
                }
                None => (a, parts.lda),
            };
            for block in &dense.packed.blocks[parts.blocks.clone()] {
                let at = pixel * channels + block.first;
                let out = match dense.output {
                    Output::Bytes { .. } => Target::Bytes {
                        to: ground.maps.add(to.at + at),
                        step: channels,
                        range: dense.range(),
                    },
                    Output::Floats => Target::Floats {
                        to: ground.maps.add(to.at).cast::<f32>().add(at),
                        step: channels,
                    },
                };
                (table.gemm)(&Gemm {
                    a,
                    lda,
                    rows,
                    groups: dense.depth.div_ceil(table.layout.group),
                    w: dense.packed.weights.as_ptr().add(block.weights),
                    bias: dense.packed.bias.as_ptr().add(block.numbers),
                    scale: dense.packed.scale.as_ptr().add(block.numbers),
                    lift: dense.packed.lift.as_ref().map(|lift| lift.as_ptr().add(block.numbers)),
                    width: block.width,
                    channels: block.channels,
                    out,
                });
            }
        }
    }
}

/// One row of a depthwise convolution.
///
/// # Safety
/// `map` is the start of a map as `from` says, with slack behind it; `out` may be written for a row of
/// outputs `step` bytes apart.
unsafe fn depthwise_row(
    window: &Window,
    table: &Table,
    map: *const u8,
    from: &Place,
    row: usize,
    out: *mut u8,
    step: usize,
) {
    let pad = window.pad.as_ptr();
    let rows = [0, 1, 2].map(|i| {
        let y = (row * window.stride[0] + i).checked_sub(window.pads[0]);
        let y = y.filter(|&y| y < from.height);
        // SAFETY: a row of the map.
        y.map_or(pad, |y| unsafe { map.add(y * from.width * from.channels) })
    });
    let work = Depthwise {
        rows,
        step: from.channels,
        width: from.width,
        pad,
        left: window.pads[1],
        stride: window.stride[1],
        channels: from.channels,
        w: window.packed.weights.as_ptr(),
        bias: window.packed.bias.as_ptr(),
        scale: window.packed.scale.as_ptr(),
        lift: window.packed.lift.as_ref().map(|lift| lift.as_ptr()),
        out,
        out_step: step,
        columns: window.size[1],
        range: window.range(),
    };
    // SAFETY: rows and padding may be read for their channels and, by the slack of maps and the length
    // of the padding, up to the next 16; weights and numbers are packed for this table.
    unsafe { (table.depthwise)(&work) };
}

/// Lays the inputs of a row of outputs side by side: for each output its window, row after row.
///
/// # Safety
/// As [`depthwise_row`], for outputs of [`Window::gathered`] bytes and slack behind the last.
unsafe fn gather_row(window: &Window, map: *const u8, from: &Place, row: usize, out: *mut u8) {
    let [high, wide] = window.kernel;
    let (channels, step) = (from.channels, window.gathered());
    let run = wide * channels;
    let source = |i: usize| {
        let y = (row * window.stride[0] + i).checked_sub(window.pads[0]);
        let y = y.filter(|&y| y < from.height);
        // SAFETY: a row of the map.
        y.map_or(window.pad.as_ptr(), |y| unsafe { map.add(y * from.width * channels) })
    };
    let (stride, left) = (window.stride[1], window.pads[1]);
    let Range { start, end } = inside(from.width, left, wide, stride, window.size[1]);
    let edge = |x: usize| {
        for i in 0..high {
            // SAFETY: `step` bytes for each output; the caller's map.
            unsafe { gather_edge(window, source(i), from, x, out.add(x * step + i * run)) };
        }
    };
    (0..start).for_each(edge);
    let first = |i: usize| {
        source(i).wrapping_add((start * stride).wrapping_sub(left).wrapping_mul(channels))
    };
    // SAFETY: as above. What a copy of 16 writes past its run is written over by the next, lies in the
    // filling up to `step` or in the slack. Reads stay in the map or its slack, or in the padding.
    unsafe {
        if high == 3 && run <= 16 {
            let (mut rows, mut out) = ([0, 1, 2].map(first), out.add(start * step));
            for _ in start..end {
                for (i, row) in rows.iter_mut().enumerate() {
                    let bytes = row.cast::<[u8; 16]>().read_unaligned();
                    out.add(i * run).cast::<[u8; 16]>().write_unaligned(bytes);
                    *row = row.wrapping_add(stride * channels);
                }
                out = out.wrapping_add(step);
            }
        } else {
            for x in start..end {
                for i in 0..high {
                    let row = first(i).wrapping_add((x - start) * stride * channels);
                    out.add(x * step + i * run).copy_from_nonoverlapping(row, run);
                }
            }
        }
    }
    (end..window.size[1]).for_each(edge);
}

/// One row of a window that reaches over the left or right edge.
unsafe fn gather_edge(window: &Window, row: *const u8, from: &Place, x: usize, out: *mut u8) {
    let channels = from.channels;
    for j in 0..window.kernel[1] {
        let column = (x * window.stride[1] + j).checked_sub(window.pads[1]);
        // SAFETY: a pixel of the row, or the padding, which is as long as one.
        unsafe {
            let source = match column.filter(|&column| column < from.width) {
                Some(column) => row.add(column * channels),
                None => window.pad.as_ptr(),
            };
            out.add(j * channels).copy_from_nonoverlapping(source, channels);
        }
    }
}

/// The mean of every channel, as floats.
unsafe fn mean(
    ground: Ground,
    [from, to]: [&Place; 2],
    flip: u8,
    zero: u8,
    scale: f32,
    share: &Share,
) {
    let pixels = from.height * from.width;
    for chunk in share.part(from.channels.div_ceil(64)) {
        let first = chunk * 64;
        let count = (from.channels - first).min(64);
        let mut sums = [0i32; 64];
        for pixel in 0..pixels {
            // SAFETY: a part of the map that `Ground` promises; nobody writes to it in this stage.
            let bytes = unsafe {
                let start = ground.maps.add(from.at + pixel * from.channels + first);
                std::slice::from_raw_parts(start, count)
            };
            sums.iter_mut().zip(bytes).for_each(|(sum, &byte)| *sum += i32::from(byte ^ flip));
        }
        for (i, sum) in sums.into_iter().enumerate().take(count) {
            let steps = sum - pixels as i32 * i32::from(zero);
            // SAFETY: this thread's part of the map of floats.
            unsafe {
                let out = ground.maps.add(to.at).cast::<f32>().add(first + i);
                *out = steps as f32 * scale / pixels as f32;
            }
        }
    }
}
