//! AVX-512 VNNI: `vpdpbusd` multiplies 64 bytes and adds them four by four to 16 sums.

use crate::table::{Depthwise, Gemm, Layout, Table, Target, with_shape};
use std::arch::x86_64::*;

pub(super) static TABLE: Table = Table {
    name: "avx512vnni",
    layout: Layout { block: 64, step: 16, group: 4, channel },
    offset: 0,
    lifts: false,
    prepare: None,
    gemm: |g| {
        // SAFETY: this table is chosen only where the processor has what `gemm` needs.
        unsafe { gemm(g) }
    },
    depthwise_pack: |conv| pack(conv),
    depthwise_channel: |place| channel(64, place),
    depthwise: |d| {
        // SAFETY: as above.
        unsafe { depthwise(d) }
    },
};

/// Packing four vectors of sums to bytes works within 128-bit lanes, so in a whole block lane l of
/// vector v holds channels 16·l + 4·v and on, and packing puts them in order. Narrower blocks are
/// stored a vector at a time, in order as they are.
fn channel(width: usize, place: usize) -> usize {
    if width < 64 {
        return place;
    }
    let (vector, lane, i) = (place / 16, place % 16 / 4, place % 4);
    lane * 16 + vector * 4 + i
}

/// Rows of a tile: as many as leave a register for each sum.
const ROWS: [usize; 5] = [0, 8, 8, 8, 6];

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn gemm(g: &Gemm) {
    let vectors = g.width / 16;
    for (row, rows) in g.tiles(ROWS[vectors]) {
        // SAFETY: rows and block are as `Gemm` promises.
        unsafe { with_shape!(rows, vectors, tile(g, row)) }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn tile<const M: usize, const V: usize>(g: &Gemm, row: usize) {
    // SAFETY: `Gemm` promises M rows from `row` on, and a block of V vectors.
    unsafe {
        let mut sums = [[_mm512_setzero_si512(); V]; M];
        for v in 0..V {
            let bias = _mm512_loadu_si512(g.bias.add(16 * v).cast());
            for sums in &mut sums {
                sums[v] = bias;
            }
        }
        let a = g.a.add(row * g.lda);
        let mut w = g.w;
        for group in 0..g.groups {
            let mut weights = [_mm512_setzero_si512(); V];
            for (v, weights) in weights.iter_mut().enumerate() {
                *weights = _mm512_loadu_si512(w.add(64 * v).cast());
            }
            for (m, sums) in sums.iter_mut().enumerate() {
                let four = a.add(m * g.lda + 4 * group).cast::<i32>().read_unaligned();
                let four = _mm512_set1_epi32(four);
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = _mm512_dpbusd_epi32(*sum, four, weights);
                }
            }
            w = w.add(64 * V);
        }
        let mut scales = [_mm512_setzero_ps(); V];
        for (v, scale) in scales.iter_mut().enumerate() {
            *scale = _mm512_loadu_ps(g.scale.add(16 * v));
        }
        for (m, sums) in sums.iter().enumerate() {
            store::<V>(g, row + m, sums, &scales);
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn store<const V: usize>(g: &Gemm, row: usize, sums: &[__m512i; V], scales: &[__m512; V]) {
    // SAFETY: `Gemm` promises `channels` numbers in each row; masks hold the stores to them.
    unsafe {
        match g.out {
            Target::Bytes { to, step, range } => {
                let to = to.add(row * step).cast::<i8>();
                let mut steps = [_mm512_setzero_si512(); V];
                for v in 0..V {
                    let scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[v]), scales[v]);
                    steps[v] = _mm512_cvtps_epi32(scaled);
                }
                if V == 4 {
                    let bytes = bytes([steps[0], steps[1], steps[2], steps[3]], range);
                    _mm512_mask_storeu_epi8(to, mask(g.channels), bytes);
                    return;
                }
                let [zero, low, high] = range.map(|byte| _mm512_set1_epi32(i32::from(byte)));
                for (v, steps) in steps.into_iter().enumerate() {
                    let steps = _mm512_add_epi32(steps, zero);
                    let steps = _mm512_min_epi32(_mm512_max_epi32(steps, low), high);
                    let bytes = _mm512_cvtepi32_epi8(steps);
                    let mask = mask(g.channels.saturating_sub(16 * v)) as u16;
                    _mm_mask_storeu_epi8(to.add(16 * v), mask, bytes);
                }
            }
            Target::Floats { to, step } => {
                for v in 0..V {
                    let scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[v]), scales[v]);
                    let mask = mask(g.channels.saturating_sub(16 * v)) as u16;
                    _mm512_mask_storeu_ps(to.add(row * step + 16 * v), mask, scaled);
                }
            }
        }
    }
}

/// The first `count` of 64.
#[inline(always)]
fn mask(count: usize) -> u64 {
    if count < 64 { (1 << count) - 1 } else { u64::MAX }
}

/// 64 rounded sums as bytes, in the order that [`channel`] is about.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn bytes(steps: [__m512i; 4], [zero, low, high]: [u8; 3]) -> __m512i {
    let zero = _mm512_set1_epi16(i16::from(zero));
    let first = _mm512_adds_epi16(_mm512_packs_epi32(steps[0], steps[1]), zero);
    let second = _mm512_adds_epi16(_mm512_packs_epi32(steps[2], steps[3]), zero);
    let bytes = _mm512_packus_epi16(first, second);
    let bytes = _mm512_max_epu8(bytes, _mm512_set1_epi8(low as i8));
    _mm512_min_epu8(bytes, _mm512_set1_epi8(high as i8))
}

/// `[channels by 64][column][vector][16 places][row 0, 1, 2, nothing]`.
fn pack(conv: &crate::Conv) -> Vec<i8> {
    let mut packed = Vec::new();
    for first in (0..conv.outputs).step_by(64) {
        for column in 0..3 {
            for place in 0..64 {
                let channel = first + channel(64, place);
                packed.extend((0..4).map(|row| conv.tap(channel, row, column)));
            }
        }
    }
    packed
}

/// Three rows of one column, interleaved so that the bytes above each other are one group of four.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn column(d: &Depthwise, x: usize, first: usize, mask: u64) -> [__m512i; 4] {
    let above = d.column(x, first);
    // SAFETY: a column of three rows, read as far as its channels go.
    let [a, b, c] = unsafe {
        [
            _mm512_maskz_loadu_epi8(mask, above[0].cast()),
            _mm512_maskz_loadu_epi8(mask, above[1].cast()),
            _mm512_maskz_loadu_epi8(mask, above[2].cast()),
        ]
    };
    let zero = _mm512_setzero_si512();
    let (ab, ab2) = (_mm512_unpacklo_epi8(a, b), _mm512_unpackhi_epi8(a, b));
    let (c1, c2) = (_mm512_unpacklo_epi8(c, zero), _mm512_unpackhi_epi8(c, zero));
    [
        _mm512_unpacklo_epi16(ab, c1),
        _mm512_unpackhi_epi16(ab, c1),
        _mm512_unpacklo_epi16(ab2, c2),
        _mm512_unpackhi_epi16(ab2, c2),
    ]
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn depthwise(d: &Depthwise) {
    for first in (0..d.channels).step_by(64) {
        let mask = mask(d.channels - first);
        // SAFETY: `Depthwise` promises the rows, packed weights and numbers for whole blocks of 64, and
        // an output for every column; masks hold reads and writes to the channels.
        unsafe {
            let w = d.w.add(first * 12);
            let mut bias = [_mm512_setzero_si512(); 4];
            let mut scale = [_mm512_setzero_ps(); 4];
            for v in 0..4 {
                bias[v] = _mm512_loadu_si512(d.bias.add(first + 16 * v).cast());
                scale[v] = _mm512_loadu_ps(d.scale.add(first + 16 * v));
            }
            let mut weights = [[_mm512_setzero_si512(); 4]; 3];
            for (c, weights) in weights.iter_mut().enumerate() {
                for (v, weights) in weights.iter_mut().enumerate() {
                    *weights = _mm512_loadu_si512(w.add(256 * c + 64 * v).cast());
                }
            }
            let mut columns = [column(d, 0, first, mask), column(d, 1, first, mask), [bias[0]; 4]];
            for x in 0..d.columns {
                if d.stride == 2 && x > 0 {
                    columns[0] = columns[2];
                    columns[1] = column(d, x * 2 + 1, first, mask);
                }
                columns[2] = column(d, x * d.stride + 2, first, mask);
                let mut steps = bias;
                for (column, weights) in columns.iter().zip(&weights) {
                    for v in 0..4 {
                        steps[v] = _mm512_dpbusd_epi32(steps[v], column[v], weights[v]);
                    }
                }
                for v in 0..4 {
                    let scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(steps[v]), scale[v]);
                    steps[v] = _mm512_cvtps_epi32(scaled);
                }
                let to = d.out.add(x * d.out_step + first);
                _mm512_mask_storeu_epi8(to.cast(), mask, bytes(steps, d.range));
                if d.stride == 1 {
                    columns[0] = columns[1];
                    columns[1] = columns[2];
                }
            }
        }
    }
}
